from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.bounding_boxes import GALLERY, QUERY, TRAIN
from model.training.datasets.market1501 import BOXES
from tests.model.training.datasets.trees import market


@pytest.mark.parametrize("missing", [TRAIN, QUERY, GALLERY])
def test_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    (market(tmp_path) / missing).rename(tmp_path / "elsewhere")
    assert not BOXES.fits(tmp_path)
    with pytest.raises(DatasetError, match=f"expected the folders.*{missing}.*give the folder"):
        BOXES.read(tmp_path)


def test_empty_folder_is_named(tmp_path: Path) -> None:
    for path in (market(tmp_path) / QUERY).iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"expected JPEG or PNG files in .*query"):
        BOXES.read(tmp_path)


def test_foreign_name_is_shown(tmp_path: Path) -> None:
    (market(tmp_path) / TRAIN / "holiday.jpg").touch()
    with pytest.raises(DatasetError, match=r"such as 0002_c1s1_000451_03\.jpg, found .*holiday\.jpg"):
        BOXES.read(tmp_path)


def test_one_foreign_name_does_not_hide_what_the_data_set_is(tmp_path: Path) -> None:
    (market(tmp_path) / TRAIN / "0000.jpg").touch()
    assert BOXES.fits(tmp_path)
    for path in (tmp_path / TRAIN).iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    assert not BOXES.fits(tmp_path)


def test_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [path.name for path in BOXES.read(market(tmp_path)).train.paths]
    assert names == sorted(names)
    assert len(names) == 4
