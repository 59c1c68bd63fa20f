from pathlib import Path

import pytest

from app.cli.failures import CommandError
from app.cli.market import MarketFolder


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_the_gallery_of_a_tree_is_read(tmp_path: Path) -> None:
    touch(tmp_path / "query", "0009_c1s1_000001_00.jpg")
    folder = touch(tmp_path / "bounding_box_test", "0002_c3s2_000451_03.jpg", "1501_c6s4_001902_01.jpg")
    source = MarketFolder(tmp_path)
    assert [(entry.path, entry.identity, entry.camera) for entry in source.entries()] == [
        (folder / "0002_c3s2_000451_03.jpg", "0002", "c3"),
        (folder / "1501_c6s4_001902_01.jpg", "1501", "c6"),
    ]
    assert source.total == 2
    assert source.notes == ()


def test_one_folder_of_such_files_is_read(tmp_path: Path) -> None:
    names = ["0002_c1s1_000451_03.jpg", "1488_c1s6_023021_02.jpg.jpg"]  # the data set has some of the latter kind
    touch(tmp_path, *names)
    assert [entry.where for entry in MarketFolder(tmp_path).entries()] == names


def test_junk_and_other_files_are_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, "-1_c1s1_000401_03.jpg", "-1_c1s1_000401_04.jpg", "0002_c1s1_000451_03.jpg", "Thumbs.db")
    source = MarketFolder(tmp_path)
    assert source.total == 1
    assert source.notes == (
        "left out 2 junk pictures (identity -1)",
        "left out 1 file not named like 0002_c1s1_000451_03.jpg",
    )


def test_each_distractor_is_somebody_else_and_stays_so(tmp_path: Path) -> None:
    names = ["0000_c1s1_000151_01.jpg", "0000_c1s1_000151_02.jpg", "0000_c2s1_000151_01.jpg"]
    touch(tmp_path, *names)
    found = [entry.identity for entry in MarketFolder(tmp_path).entries()]
    assert found == ["distractor-c1s1_000151_01", "distractor-c1s1_000151_02", "distractor-c2s1_000151_01"]
    touch(tmp_path, "0000_c1s1_000000_01.jpg")
    assert [entry.identity for entry in MarketFolder(tmp_path).entries()][1:] == found


def test_another_layout_is_refused_with_what_was_found(tmp_path: Path) -> None:
    touch(tmp_path, "holiday.jpg")
    with pytest.raises(CommandError, match=r"found 1 file, such as 'holiday.jpg'.*write a CSV manifest"):
        MarketFolder(tmp_path)


def test_a_folder_for_each_person_is_told_where_it_can_go(tmp_path: Path) -> None:
    touch(tmp_path / "anna", "1.jpg")
    touch(tmp_path / "bert", "1.jpg")
    found = "found no files but 2 folders, such as 'anna'; where each is a person, give --by-folder; .* a CSV manifest"
    with pytest.raises(CommandError, match=found):
        MarketFolder(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="found no files"):
        MarketFolder(tmp_path)
