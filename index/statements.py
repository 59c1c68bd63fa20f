"""Statements that every query and every enrolment runs, given to SQLite's driver directly."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, Table, insert
from sqlalchemy.dialects import sqlite

from index.database import sqlite_driver


class DirectSelect:
    """A select that is run by every query.

    On SQLite its driver is asked directly: what SQLAlchemy does for a statement that it has compiled before takes
    three times as long as the statement itself, since between two queries the model empties the processor's caches.
    So its parameters are given, and its rows come, in SQLite's own types. A server has a statement of its own where it
    needs one, and gets it through SQLAlchemy.
    """

    def __init__(self, statement: Select[Any], server: Select[Any] | None = None) -> None:
        self._statement = statement
        self._server = statement if server is None else server

    def rows(self, connection: Connection, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """Return all rows, in the transaction that the connection is in, or begins."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._server, parameters).all()
        if not connection.in_transaction():
            connection.begin()
        sql, fixed = self._compiled
        found: list[tuple[Any, ...]] = sqlite_driver(connection).execute(sql, fixed | parameters).fetchall()
        return found

    @cached_property
    def _compiled(self) -> tuple[str, dict[str, Any]]:
        """The statement's text, and those of its parameters that are always the same."""
        compiled = self._statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        return compiled.string, dict(compiled.params)


class DirectInsert:
    """An insert of many rows, each with a value for every column of the table, in SQLite's own types.

    On SQLite its driver takes them as they are: SQLAlchemy would go through every value of every row, which takes a
    tenth of an enrolment. The connection is in a transaction.
    """

    def __init__(self, table: Table) -> None:
        self._statement = insert(table)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows."""
        if connection.dialect.name == "sqlite":
            sqlite_driver(connection).executemany(self._text, rows)
        else:
            connection.execute(self._statement, rows)

    @cached_property
    def _text(self) -> str:
        return self._statement.compile(dialect=sqlite.dialect(paramstyle="named")).string
