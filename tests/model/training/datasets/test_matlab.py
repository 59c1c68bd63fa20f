from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.matlab import read_matlab

scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed")


def test_variables_come_in_the_order_asked_for(tmp_path: Path) -> None:
    scipy_io.savemat(tmp_path / "a.mat", {"first": [1, 2], "second": 3})
    second, first = read_matlab(tmp_path / "a.mat", "second", "first")
    assert (int(second), first.tolist()) == (3, [1, 2])


def test_a_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    scipy_io.savemat(tmp_path / "a.mat", {"first": [1, 2]})
    with pytest.raises(DatasetError, match="expected the variable third, found first"):
        read_matlab(tmp_path / "a.mat", "third")


@pytest.mark.parametrize(
    "content", [b"", b"not MATLAB", b"x" * 1000, b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" * 99]
)
def test_another_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DatasetError, match="expected a MATLAB file of version 5"):
        read_matlab(tmp_path / "a.mat", "first")


def test_a_file_cut_short_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, {"first": list(range(1000))})
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DatasetError, match="expected a MATLAB file of version 5"):
        read_matlab(path, "first")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found none"):
        read_matlab(tmp_path / "a.mat", "first")
