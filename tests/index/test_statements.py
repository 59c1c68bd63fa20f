from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import bindparam, insert, literal, select

from index import catalogue
from index.database import Database
from index.errors import StoreDamaged
from index.schema import cameras
from index.statements import DirectSelect

NAMED = DirectSelect(select(cameras.c.id, cameras.c.name, literal(7)).where(cameras.c.name == bindparam("name")))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path}/reid.db")
    with opened.write() as connection:
        catalogue.ensure_default(connection)
    add(opened, "door")
    yield opened
    opened.close()


def add(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(insert(cameras).values(gallery_id=1, name=name))


def test_parameters_are_given_and_rows_come(database: Database) -> None:
    with database.read() as connection:
        assert NAMED.rows(connection, {"name": "door", "more": []}) == [(1, "door", 7)]
        assert NAMED.rows(connection, {"name": "yard"}) == []


def test_it_reads_within_the_transaction_that_it_begins(database: Database) -> None:
    with database.read() as connection:
        NAMED.rows(connection, {"name": "door"})
        add(database, "yard")
        assert NAMED.rows(connection, {"name": "yard"}) == []
        assert connection.execute(select(cameras.c.name)).scalars().all() == ["door"]
    with database.read() as connection:
        assert NAMED.rows(connection, {"name": "yard"}) == [(2, "yard", 7)]


def test_it_reads_within_the_transaction_that_was_begun(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(select(cameras.c.name)).scalars().all() == ["door"]
        add(database, "yard")
        assert NAMED.rows(connection, {"name": "yard"}) == []


def test_a_fault_is_told_as_one_of_the_store(database: Database) -> None:
    database.close()
    assert database.file is not None
    page = 8192  # the first one tells what is where
    content = database.file.read_bytes()
    database.file.write_bytes(content[:page] + b"x" * (len(content) - page))
    with pytest.raises(StoreDamaged), database.read() as connection:
        NAMED.rows(connection, {"name": "door"})
