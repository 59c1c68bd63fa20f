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


@pytest.mark.parametrize("split", [QUERY, GALLERY])
def test_empty_folder_is_named(tmp_path: Path, split: str) -> None:
    empty(market(tmp_path) / split)
    assert BOXES.fits(tmp_path)
    with pytest.raises(DatasetError, match=f"expected JPEG or PNG files in .*{split}"):
        BOXES.read(tmp_path)


def test_what_is_only_measured_needs_nothing_to_train_on(tmp_path: Path) -> None:
    empty(market(tmp_path) / TRAIN)
    assert BOXES.fits(tmp_path)
    dataset = BOXES.read(tmp_path)
    assert (len(dataset.train), len(dataset.query) > 0, len(dataset.gallery) > 0) == (0, True, True)
    with pytest.raises(DatasetError, match=f"expected train images in {tmp_path / TRAIN}, found none"):
        dataset.require("train")


def test_what_is_only_trained_on_needs_nothing_to_measure(tmp_path: Path) -> None:
    whole = BOXES.read(market(tmp_path / "whole"))
    (tmp_path / "whole" / TRAIN).rename(tmp_path / TRAIN)
    assert BOXES.fits(tmp_path)
    dataset = BOXES.read(tmp_path)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (len(whole.train), 0, 0)
    assert [path.name for path in dataset.train.paths] == [path.name for path in whole.train.paths]
    with pytest.raises(DatasetError, match=f"expected query images in {tmp_path / QUERY}, found none"):
        dataset.require("query")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_foreign_name_is_shown(tmp_path: Path) -> None:
    (market(tmp_path) / TRAIN / "holiday.jpg").touch()
    with pytest.raises(DatasetError, match=r"such as 0002_c1s1_000451_03\.jpg, found .*holiday\.jpg"):
        BOXES.read(tmp_path)


def test_one_foreign_name_does_not_hide_what_the_data_set_is(tmp_path: Path) -> None:
    (market(tmp_path) / TRAIN / "0000.jpg").touch()
    assert BOXES.fits(tmp_path)
    for path in tmp_path.glob("*/*"):
        path.rename(path.with_name(f"x{path.name}"))
    assert not BOXES.fits(tmp_path)


def test_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [path.name for path in BOXES.read(market(tmp_path)).train.paths]
    assert names == sorted(names)
    assert len(names) == 4
