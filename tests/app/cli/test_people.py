from pathlib import Path

import pytest

from app.cli.entries import BadEntry, Entry
from app.cli.failures import CommandError
from app.cli.people import PeopleFolder
from tests.app.cli.test_market import touch


def test_each_folder_is_a_person(tmp_path: Path) -> None:
    touch(tmp_path / "bert", "2.JPG", "10.png")
    anna = touch(tmp_path / "anna o'brien, 2", "1.webp")
    (tmp_path / "zoe").symlink_to(anna)
    source = PeopleFolder(tmp_path)
    entries = [entry for entry in source.entries() if isinstance(entry, Entry)]
    assert [(entry.path, entry.identity, entry.camera) for entry in entries] == [
        (anna / "1.webp", "anna o'brien, 2", None),
        (tmp_path / "bert" / "10.png", "bert", None),
        (tmp_path / "bert" / "2.JPG", "bert", None),
        (tmp_path / "zoe" / "1.webp", "zoe", None),
    ]
    assert [entry.where for entry in entries][:2] == ["anna o'brien, 2/1.webp", "bert/10.png"]
    assert (source.total, source.notes) == (4, ())


def test_what_is_no_persons_picture_is_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, "group.jpg", ".DS_Store")
    touch(tmp_path / "anna", "1.jpg", "notes.txt", ".hidden.jpg")
    touch(tmp_path / "anna" / "2024", "2.jpg")
    touch(tmp_path / ".thumbnails", "3.jpg")
    source = PeopleFolder(tmp_path)
    assert [entry.where for entry in source.entries()] == ["anna/1.jpg"]
    assert source.notes == ("left out, no picture in a person's folder: 3",)


def test_a_name_that_no_person_can_have_fails_alone(tmp_path: Path) -> None:
    touch(tmp_path / "a\nb", "1.jpg")
    touch(tmp_path / "bert", "1.jpg")
    bad, good = PeopleFolder(tmp_path).entries()
    assert isinstance(bad, BadEntry)
    assert bad.detail.startswith("identity: ")
    assert isinstance(good, Entry)


def test_a_folder_without_such_folders_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        CommandError, match=r"expected a subfolder for each person with pictures in it \(\.jpg, .*none$"
    ):
        PeopleFolder(tmp_path)
