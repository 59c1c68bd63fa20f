from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.cuhk03 import LAYOUTS
from tests.model.training.datasets.trees import cuhk03_release

LABELED, DETECTED = LAYOUTS
TEST_SETS = [[(1, 1), (2, 1)], *[[(1, 2)]] * 18, [(1, 3), (1, 2)]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cuhk03_release(tmp_path / "cuhk03_release" / "cuhk-03.mat", TEST_SETS)
    return tmp_path


def test_each_of_the_20_splits_tests_with_its_own_people(root: Path) -> None:
    assert len(LABELED.readers) == 20
    first, last = (LABELED.readers[position](root) for position in (0, 19))
    assert set(first.query.identities) == {1001, 2001}
    assert set(first.train.identities) == {1002, 1003}
    assert set(last.query.identities) == {1002, 1003}
    assert set(last.train.identities) == {1001, 2001}
    assert (first.name, last.name) == ("cuhk03-labeled:1", "cuhk03-labeled:20")
    assert first.train.sha256() != last.train.sha256()


def test_a_person_has_two_views_and_is_searched_single_shot(root: Path) -> None:
    dataset = DETECTED.readers[0](root)
    assert dataset.query.cameras.tolist() == [1, 1, 2, 1, 1, 2]
    assert dataset.query.paths[0] == root / "images_detected" / "1_001_1_01.png"
    assert dataset.gallery is dataset.query
    assert dataset.protocol == "single-shot"


def test_a_release_with_fewer_test_sets_is_refused(tmp_path: Path) -> None:
    cuhk03_release(tmp_path / "cuhk-03.mat", TEST_SETS[:3])
    with pytest.raises(DatasetError, match="expected 20 test sets, found 3"):
        LABELED.readers[0](tmp_path)


def test_without_the_release_there_are_no_splits(tmp_path: Path) -> None:
    (tmp_path / "images_labeled").mkdir()
    assert not LABELED.fits(tmp_path)
    with pytest.raises(DatasetError, match=r"cuhk03-labeled:1: expected cuhk-03\.mat"):
        LABELED.readers[0](tmp_path)


def test_an_empty_picture_folder_is_told(root: Path) -> None:
    (root / "images_labeled").mkdir()
    with pytest.raises(DatasetError, match="images_labeled, found none; remove the folder"):
        LABELED.readers[0](root)
