import sqlite3
from pathlib import Path

import pytest

from app.engine import open_engine
from app.settings import load_settings
from tests.app.cli.conftest import Reid

LONG = "market1501-r50-recalibrated@12"


def test_a_list_of_long_names_and_numbers_is_readable_at_80_characters(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_engine(load_settings()) as engine:
        planned = engine.gallery.migrations.plan(LONG, engine.embedder.dim)
    with sqlite3.connect(data_dir / "reid.db") as connection:
        connection.execute("UPDATE migrations SET state = 'validating', total = 1000000, done = 999999")
    connection.close()
    monkeypatch.setenv("COLUMNS", "80")
    heading, *lines = reid("migrations", "list").out.splitlines()
    assert lines[0].split()[:5] == [planned.migration_id, "validating", "999999", "of", "1000000"]
    cells = [line[heading.index("from →") :].strip() for line in lines]
    assert "".join(cells).replace(" ", "") == f"tiny@1→{LONG}"
    assert max(map(len, lines)) <= 80
    monkeypatch.setenv("COLUMNS", "60")
    heading, *lines = reid("migrations", "list").out.splitlines()
    cells = [line[heading.index("from") :].strip() for line in lines]
    assert "".join(cells).replace(" ", "").endswith(f"tiny@1→{LONG}")  # folded more, and still there


def test_a_migration_that_is_unknown_is_told_with_where_to_look(reid: Reid, data_dir: Path) -> None:
    ran = reid("migrations", "show", "1")
    assert (ran.code, ran.err) == (
        1, "reid: no migration '1' was started: see reid migrations list, or GET /migrations\n",
    )  # fmt: skip
