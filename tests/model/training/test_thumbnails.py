import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from model.training.datasets.images import label_files
from model.training.thumbnails import thumbnail


def shown(path: Path) -> bytes:
    kind, _, text = thumbnail(label_files("one", [path], [(1, 1)]), 0).uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return base64.b64decode(text)


def test_a_small_picture_is_shown_as_its_file_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 128), "teal").save(path)
    assert shown(path) == path.read_bytes()


def test_a_large_one_is_shown_smaller_and_upright(tmp_path: Path) -> None:
    path, noise = tmp_path / "a.jpg", np.random.default_rng(0).integers(256, size=(400, 800, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be turned by a quarter
    Image.fromarray(noise).save(path, exif=turned)
    with Image.open(io.BytesIO(shown(path))) as image:
        assert (image.size, image.getexif().get(0x0112)) == ((128, 256), None)
