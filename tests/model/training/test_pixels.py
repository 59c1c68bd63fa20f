from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import preprocess
from model.card import InputContract
from model.errors import ExportError
from model.synthetic import render
from model.training.pixels import check_pixels, plain_pixels

CONTRACT = InputContract(height=64, width=32)


def test_every_kind_of_picture_is_served_as_it_is_decoded_plainly(tmp_path: Path) -> None:
    small, large = (Image.fromarray(render(1, 0, 0, height=side, width=side // 2)) for side in (128, 512))
    small.save(tmp_path / "small.png")
    small.convert("L").save(tmp_path / "grey.jpg")
    large.save(tmp_path / "fraction.jpg")
    large.convert("CMYK").save(tmp_path / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "turned.jpg", exif=exif)
    small.convert("P").save(tmp_path / "palette.bmp")
    check_pixels(tuple(sorted(tmp_path.iterdir())), CONTRACT)


def test_a_transparent_picture_and_one_of_16_bits_are_passed_over(tmp_path: Path) -> None:
    Image.fromarray(render(1, 0, 0)).convert("RGBA").save(tmp_path / "clear.png")
    Image.fromarray(np.zeros((128, 64), dtype=np.uint16)).save(tmp_path / "deep.png")
    assert [plain_pixels(path, 64, 32) for path in sorted(tmp_path.iterdir())] == [None, None]
    check_pixels(tuple(tmp_path.iterdir()), CONTRACT)


def test_what_differs_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "person.png"
    Image.fromarray(render(1, 0, 0)).save(path)
    monkeypatch.setattr(preprocess, "_turn", lambda picture, _: np.array(picture)[:, ::-1])
    with pytest.raises(ExportError, match=r"within 0.25 grey levels on average, found [0-9.]+ at person.png"):
        check_pixels((path,), CONTRACT)
