import json
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

from tests.model.training.datasets.trees import cub200, market, write_picture
from tests.model.training.test_commands import reid


def test_counts_are_printed_for_each_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("data", market(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["protocol"]) == ("market1501", "re-identification")
    assert told["splits"]["train"] == {"images": 4, "identities": 2, "cameras": 2, "cameras_per_identity": 2.0}
    assert told["splits"]["gallery"] == {"images": 2, "identities": 2, "cameras": 2, "cameras_per_identity": 1.0}


def test_people_read_a_table_with_the_terms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert reid("data", market(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "research use only" in printed
    assert "cameras per identity" in printed
    assert [record.message[:40] for record in caplog.records] == ["these are not the published pictures of "]


def test_a_data_set_without_cameras_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("data", cub200(tmp_path)) == 0
    assert "cameras" not in capsys.readouterr().out


def test_broken_pictures_of_all_splits_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = market(tmp_path)
    for folder in ("bounding_box_train", "query"):
        next((root / folder).iterdir()).write_bytes(b"torn")
    assert reid("data", root, "--dataset", "market1501") == 1
    error = capsys.readouterr().err
    assert "2 of 7 pictures cannot be read" in error
    assert "Traceback" not in error


def test_one_picture_of_two_people_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Ann/1.jpg", "Ann/2.jpg", "Bob/3.jpg", "Bob/4.jpg"):
        write_picture(tmp_path / name)
    assert reid("data", tmp_path, "--dataset", "folder") == 0
    write_picture(tmp_path / "Bob" / "4.jpg", seed=crc32(b"1.jpg"))
    capsys.readouterr()
    assert reid("data", tmp_path, "--dataset", "folder") == 1
    assert "pictures that are there under several identities: 1, " in capsys.readouterr().err


def test_looking_a_data_set_over_needs_no_torch() -> None:
    code = "import sys, model.training.data; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
