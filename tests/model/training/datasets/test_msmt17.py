from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.msmt17 import VERSIONS
from tests.model.training.datasets.trees import msmt17

V1, V2 = VERSIONS


@pytest.mark.parametrize("inner", ["", "MSMT17_V1"])
def test_training_is_the_first_two_lists(tmp_path: Path, inner: str) -> None:
    msmt17(tmp_path / inner)
    train = V1.read(tmp_path).train
    assert [path.name[:11] for path in train.paths] == ["0000_000_01", "0000_001_15", "0001_000_01", "0001_001_02"]
    assert train.cameras.tolist() == [1, 15, 1, 2]
    assert all(path.is_relative_to(tmp_path / inner / "train") for path in train.paths)


def test_persons_of_the_test_are_others_than_those_of_training(tmp_path: Path) -> None:
    dataset = V1.read(msmt17(tmp_path))
    assert len(set(dataset.train.identities)) == 2
    assert not set(dataset.train.identities) & set(dataset.query.identities)
    assert dataset.query.identities.tolist() == dataset.gallery.identities.tolist()
    assert dataset.gallery.cameras.tolist() == [4, 14]


def test_version_2_has_folders_of_its_own(tmp_path: Path) -> None:
    msmt17(tmp_path / "MSMT17_V2", train="mask_train_v2", test="mask_test_v2")
    assert (V1.fits(tmp_path), V2.fits(tmp_path)) == (False, True)
    assert len(V2.read(tmp_path).gallery) == 2
    with pytest.raises(DatasetError, match=r"msmt17-v1: expected the folders train and test.*MSMT17_V1"):
        V1.read(tmp_path)


@pytest.mark.parametrize("line", ["0000/0000_000_01_0303morning_0015_0.jpg", "0000.jpg 0", ""])
def test_a_line_that_is_not_a_file_and_a_person_is_shown(tmp_path: Path, line: str) -> None:
    path = msmt17(tmp_path) / "list_val.txt"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DatasetError, match=r"list_val\.txt line 2: expected a line such as '0000/"):
        V1.read(tmp_path)


def test_a_listed_file_that_is_missing_is_shown(tmp_path: Path) -> None:
    dataset = V1.read(msmt17(tmp_path))
    dataset.query.paths[1].unlink()
    with pytest.raises(DatasetError, match=r"msmt17-v1/query: 1 of the 2 listed files are missing, among them .*0001_"):
        V1.read(tmp_path)
