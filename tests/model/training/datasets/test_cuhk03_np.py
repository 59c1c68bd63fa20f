from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.cuhk03_np import LAYOUTS
from tests.model.training.datasets.trees import cuhk03_config, cuhk03_np, cuhk03_release, write_picture

LABELED, DETECTED = LAYOUTS
FILES = [f"1_{person:03d}_{view}_{number:02d}.png" for person in (1, 2, 3) for view, number in ((1, 1), (2, 6))]


def test_three_folders_are_read(tmp_path: Path) -> None:
    cuhk03_np(tmp_path)
    for layout, file in ((LABELED, "0003_c1_1.png"), (DETECTED, "0003_c1_2.png")):
        assert layout.fits(tmp_path)
        dataset = layout.readers[0](tmp_path)
        assert dataset.train.identities.tolist() == [1, 1, 2, 2]
        assert dataset.train.cameras.tolist() == [1, 2, 1, 2]
        assert [path.name for path in dataset.query.paths] == [file]
        assert (dataset.name, dataset.protocol) == (layout.name, "re-identification")


def test_lists_are_read_by_indices_from_1(tmp_path: Path) -> None:
    for file in FILES:
        write_picture(tmp_path / "images_labeled" / file)
    cuhk03_config(tmp_path, "labeled", FILES, [7, 7, 8, 8, 9, 9], [[1, 2, 5, 6], [3], [4]])
    assert (LABELED.fits(tmp_path), DETECTED.fits(tmp_path)) == (True, False)
    dataset = LABELED.readers[0](tmp_path)
    assert dataset.train.identities.tolist() == [7, 7, 9, 9]
    assert dataset.train.cameras.tolist() == [1, 2, 1, 2]
    assert [path.name for path in dataset.query.paths] == ["1_002_1_01.png"]
    assert [path.name for path in dataset.gallery.paths] == ["1_002_2_06.png"]
    assert dataset.train.listed


def test_lists_unpack_the_release(tmp_path: Path) -> None:
    cuhk03_release(tmp_path / "cuhk03_release" / "cuhk-03.mat", [[(1, 1)]])
    cuhk03_config(tmp_path, "detected", FILES, [7, 7, 8, 8, 9, 9], [[1, 2, 5, 6], [3], [4]])
    assert DETECTED.fits(tmp_path)
    assert DETECTED.readers[0](tmp_path).train.paths[0].is_file()


@pytest.mark.parametrize(
    ("labels", "train", "message"),
    [
        ([1, 2, 3, 4, 5], [1], "found 6 files, 5 labels and indices from 1 to 4;"),
        ([1, 2, 3, 4, 5, 6], [7], "found 6 files, 6 labels and indices from 3 to 7;"),
        ([1, 2, 3, 4, 5, 6], [0], "found 6 files, 6 labels and indices from 0 to 4;"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(
    tmp_path: Path, labels: list[int], train: list[int], message: str
) -> None:
    for file in FILES:
        write_picture(tmp_path / "images_labeled" / file)
    cuhk03_config(tmp_path, "labeled", FILES, labels, [train, [3], [4]])
    with pytest.raises(DatasetError, match=message):
        LABELED.readers[0](tmp_path)


def test_neither_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cuhk03-np-labeled: expected the folders bounding_box_train.*/labeled;"):
        LABELED.readers[0](tmp_path)
