from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.lists import read_lines


def test_lines_are_read_without_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a 1\r\nb 2 \n")
    assert read_lines(path) == ["a 1", "b 2"]


def test_what_is_no_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected the list .*list\.txt, found none"):
        read_lines(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="expected text, found byte 0xff"):
        read_lines(tmp_path / "list.txt")
