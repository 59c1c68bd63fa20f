import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.notes import Notes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE names (name)")
    return path


@pytest.fixture
def notes(file: Path) -> Iterator[Notes]:
    opened = Notes(file)
    yield opened
    opened.close()


def commit(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO names VALUES ('anna')")


def test_a_note_is_kept_while_nobody_commits(file: Path, notes: Notes) -> None:
    notes.current()["who"] = "anna"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM names").fetchone() == (0,)
        connection.execute("INSERT INTO names VALUES ('berta')")  # and not committed
        assert notes.current() == {"who": "anna"}
    assert notes.current() == {"who": "anna"}


def test_a_commit_ends_it(file: Path, notes: Notes) -> None:
    notes.current()["who"] = "anna"
    commit(file)
    assert notes.current() == {}
    assert notes.current() == {}


def test_a_commit_of_another_process_ends_it(file: Path, notes: Notes) -> None:
    notes.current()["who"] = "anna"
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM names'); c.commit()"
    commit(file)
    notes.current()["who"] = "anna"
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    assert notes.current() == {}


def test_what_was_read_before_a_commit_is_not_kept_after_it(file: Path, notes: Notes) -> None:
    before = notes.current()
    commit(file)
    notes.current()
    before["who"] = "anna"  # noted late
    assert notes.current() == {}


def test_a_checkpoint_of_the_log_is_not_in_its_way(file: Path, notes: Notes) -> None:
    commit(file)
    notes.current()
    with closing(sqlite3.connect(file)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


def test_nothing_is_kept_of_a_server(tmp_path: Path) -> None:
    notes = Notes(None)
    notes.current()["who"] = "anna"
    assert notes.current() == {}
    notes.close()


def test_nothing_is_kept_of_a_file_that_cannot_be_asked(file: Path) -> None:
    notes = Notes(file)
    notes.current()["who"] = "anna"
    notes.close()
    assert notes.current() == {}
