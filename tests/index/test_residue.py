import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import residue
from tests.index.people import behind_its_back, enrol, open_store, sample, vector, vectors


@pytest.mark.parametrize("offset", [0, 1, 7, 4090, (1 << 24) - 3])
def test_a_needle_is_found_wherever_it_lies(tmp_path: Path, offset: int) -> None:
    file = tmp_path / "file"
    text = vector(1, 64).tobytes()
    file.write_bytes(bytes(offset) + text + bytes(5))
    wanted = [residue.needle(vector(2, 64).tobytes()), residue.needle(text), (b"01M82RV8DQ5V7W78VY7GTGHFGN", 18)]
    assert residue.scan(file, [one for one in wanted if one is not None]) == {1}


def test_many_needles_in_one_pass_by_another_process(tmp_path: Path) -> None:
    rows = vectors(500, 3, 32)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" + rows[100].tobytes() + b"yz" + rows[400].tobytes())
    two.write_bytes(rows[7].tobytes()[4:])
    needles = [chosen for row in rows if (chosen := residue.needle(row.tobytes())) is not None]
    assert residue.find([one, two, tmp_path / "none"], needles) == {100, 400}


def test_any_number_of_needles_is_looked_for_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the gallery and of the other process does not grow with their number."""
    run, sizes = subprocess.run, []

    def measured(*given: Any, **more: Any) -> Any:  # noqa: ANN401 - as it is given
        sizes.append(len(more["input"]))
        return run(*given, **more)

    monkeypatch.setattr(subprocess, "run", measured)
    monkeypatch.setattr(residue, "_AT_ONCE", 30)
    rows = vectors(100, 3, 32)
    (tmp_path / "file").write_bytes(rows[29].tobytes() + rows[30].tobytes() + rows[99].tobytes())
    needles = [chosen for row in rows if (chosen := residue.needle(row.tobytes())) is not None]
    assert residue.find([tmp_path / "file"], needles) == {29, 30, 99}
    assert len(sizes) == 4
    assert max(sizes) < 30 * (len(needles[0][0]) + 20) + 1000


def test_a_part_of_a_needle_is_no_needle(tmp_path: Path) -> None:
    file = tmp_path / "file"
    chosen = residue.needle(vector(1, 64).tobytes())
    assert chosen is not None
    text, place = chosen
    file.write_bytes(bytes(1000) + text[place : place + 8] + bytes(1000))
    assert residue.scan(file, [chosen]) == set()


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert residue.scan(tmp_path / "file", [(b"12345678", 0)]) == set()
    (tmp_path / "file").write_bytes(b"123")
    assert residue.scan(tmp_path / "file", [(b"12345678", 0)]) == set()


def test_a_vector_of_zeros_but_one_is_looked_for_by_that_one(tmp_path: Path) -> None:
    row = np.zeros(32, dtype=np.float32)
    row[31] = 1.0
    chosen = residue.needle(row.tobytes())
    assert chosen is not None
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    assert residue.scan(file, [chosen]) == set()
    file.write_bytes(bytes(40) + row.tobytes())
    assert residue.scan(file, [chosen]) == {0}


@pytest.mark.parametrize("number", [0, 1, 2, 127, 128, 300, 40_000, 9_000_000, 3_000_000_000, 1 << 45])
@pytest.mark.parametrize("gallery", [1, 2, 130])
def test_a_name_is_looked_for_as_the_database_wrote_it(folder: Path, gallery: int, number: int) -> None:
    name = f"Erika {number} " + "é" * (number % 100)
    open_store(folder).close()
    behind_its_back(
        folder,
        "INSERT INTO identities (id, gallery_id, name) VALUES (:id, :gallery, :name)",
        {"id": number, "gallery": gallery, "name": name},
    )
    needles = residue.cells(gallery, number, name)
    assert residue.scan(folder / "reid.db", needles) == {0, 1}  # the row, and its place among the unique names
    for other in ((gallery + 1, number, name), (gallery, number, name[:-1]), (gallery, number, name[1:])):
        assert residue.scan(folder / "reid.db", residue.cells(*other)) == set()


def test_an_external_id_is_looked_for_as_its_index_has_it(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1), sample(2, external_id="employee 4711")])
    assert residue.scan(folder / "reid.db", residue.cells(1, 2, "employee 4711")) == {1}


def test_a_name_too_short_to_be_told_from_chance_is_not_looked_for() -> None:
    assert residue.cells(1, 5, "5") == []
    assert len(residue.cells(1, 5, "Eva")) == 2


def test_many_texts_that_end_alike_are_looked_for_at_once(tmp_path: Path) -> None:
    names = [f"person {number} of the house" for number in range(5000)]
    needles = [needle for number, name in enumerate(names) for needle in residue.cells(1, number, name)]
    (tmp_path / "file").write_bytes(b"".join(text for text, _ in needles[::2]))
    began = time.monotonic()
    assert residue.scan(tmp_path / "file", needles) == set(range(0, len(needles), 2))
    assert time.monotonic() - began < 5  # a comparison of each with each takes a minute


@pytest.mark.parametrize("around", [(2, b""), (0, b"\0\0")])
def test_a_copy_that_is_partly_overwritten_is_found(tmp_path: Path, around: tuple[int, bytes]) -> None:
    """SQLite's list of cells grows over its beginning, the next cell over its end."""
    record = bytes([28, 4, 9, 61, 2]) + b"employee 4711 of the big" + bytes([8, 177])
    lost, end = around
    (tmp_path / "file").write_bytes(bytes(lost) + record[lost : len(record) - len(end)] + end)
    assert residue.scan(tmp_path / "file", residue.cells(1, 2225, "employee 4711 of the big")) == {1}
