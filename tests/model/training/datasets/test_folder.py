from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.folder import LAYOUT, find_pictures, read
from tests.model.training.datasets.trees import write_picture


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        write_picture(root / name)
    return root


def test_a_subfolder_is_an_identity(tmp_path: Path) -> None:
    root = pictures(tmp_path / "people", "Bob/1.jpg", "Ann/2.jpg", "Ann/1.png", "loose.jpg")
    (root / "Ann" / "notes.txt").touch()
    dataset = read(root)
    assert [path.relative_to(root).as_posix() for path in dataset.train.paths] == [
        "Ann/1.png",
        "Ann/2.jpg",
        "Bob/1.jpg",
    ]
    assert dataset.train.identities.tolist() == [1, 1, 2]
    assert len(set(dataset.train.cameras)) == 3
    assert (len(dataset.query), dataset.protocol, dataset.train.name) == (0, "retrieval", "people/train")


def test_two_folders_are_two_splits(tmp_path: Path) -> None:
    root = pictures(tmp_path, "train/Ann/1.jpg", "train/Ann/2.jpg", "test/Bob/1.jpg", "test/Ann/3.jpg")
    dataset = read(root)
    assert dataset.train.identities.tolist() == [1, 1]
    assert sorted(dataset.query.identities.tolist()) == [1, 2]
    assert dataset.gallery is dataset.query


def test_a_picture_in_another_subfolder_is_another_data_set(tmp_path: Path) -> None:
    before = read(pictures(tmp_path, "Ann/1.jpg", "Bob/2.jpg")).train.sha256()
    (tmp_path / "Ann" / "1.jpg").rename(tmp_path / "Bob" / "1.jpg")
    assert read(tmp_path).train.sha256() != before


@pytest.mark.parametrize("names", [(), ("a.jpg",), ("train/Ann/1.jpg", "test/1.jpg")])
def test_a_folder_without_pictures_in_subfolders_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError, match="expected a subfolder of JPEG, PNG, WebP or BMP files for each identity in"):
        read(pictures(tmp_path, *names))


def test_every_kind_of_picture_is_read_and_what_is_none_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("anna/1.jpg", "anna/2.WEBP", "bert/1.bmp", "bert/2.png", "bert/notes.txt", "bert/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures(tmp_path)] == ["1.jpg", "2.WEBP", "1.bmp", "2.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"left out 1 files in {tmp_path} that are not named as JPEG, PNG, WebP or BMP pictures"
    ]


def test_it_is_read_only_when_named(tmp_path: Path) -> None:
    assert not LAYOUT.fits(pictures(tmp_path, "Ann/1.jpg"))
