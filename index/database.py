"""The catalogue's database: connections, transactions, schema."""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, select, table
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import Column

from index import server
from index.errors import InvalidValue, StoreUnavailable
from index.faults import database_faults, disk_faults
from index.schema import HEAD, metadata

FILE_MODE = 0o640  # of what holds pictures or vectors of people
_CHUNK = 500  # values in one IN list
_BUSY_SECONDS = 30
_CHECKPOINT_MILLISECONDS = 2000  # writers wait behind a checkpoint
T = TypeVar("T")

_REVISIONS = Path(__file__).parent / "revisions"
_ROOM = threading.Lock()
_READING = {"begin": "BEGIN"}
_WRITING = {"begin": "BEGIN IMMEDIATE"}
# FULL: a commit is on the disk before it is answered. secure_delete: what is deleted is overwritten with zeros.
# A page of 8 KiB holds three vectors of 512; one of 4 KiB wastes half of itself. A log of 64 MiB: digests fall all
# over their index, and a checkpoint writes each of its pages once, however often it changed since the last.
_PRAGMAS = (
    "page_size = 8192",
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "foreign_keys = ON",
    "cache_size = -16384",
    "wal_autocheckpoint = 8192",
)


class Database:
    """A SQLite file or a PostgreSQL server. One door for writes, any number of readers, who never wait for a writer."""

    def __init__(self, url: str | URL) -> None:
        parsed = _parse(url)
        self.file = file_of(parsed)
        if self.file is not None:
            make_folder(self.file.parent)
            _take_room_beside(self.file)
        self._engine = server.engine(parsed, _BUSY_SECONDS) if self.file is None else _engine(parsed, self.file)
        event.listen(self._engine, "begin", _begin)
        reading, writing = (server.READING, server.WRITING) if self.file is None else (_READING, _WRITING)
        self._reader = self._engine.execution_options(**reading)
        self._writer = self._engine.execution_options(**writing)
        self._door = threading.Lock()
        self._opened: tuple[int, int] | None = None  # the SQLite file that the first connection opened

    @classmethod
    def open(cls, url: str | URL) -> Self:
        """Open a database, or make it, with this release's schema.

        Raises `StoreUnavailable` for a schema that is newer, and where a restore was cut short.
        """
        database = cls(url)
        try:
            database._require_whole()
            database._migrate()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection whose reads all see the store at one moment."""
        self._require_in_place()
        with database_faults(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give the one connection that may write; commit at the end, roll back on any error."""
        self._require_in_place()
        with self._door, database_faults(), self._writer.begin() as connection:
            yield connection

    def damage(self) -> list[str]:
        """Let the database look at its own structure; return what it finds wrong."""
        if self.file is None:
            return []
        with self.read() as connection:
            return damage(connection)

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the database and empty it; False when a reader was in the way."""
        if self.file is None:
            return True
        with self._door, database_faults(), self._engine.connect() as connection:
            raw = sqlite_driver(connection)
            raw.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_MILLISECONDS}")
            busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            raw.execute(f"PRAGMA busy_timeout = {1000 * _BUSY_SECONDS}")
            return bool(busy == 0)

    def vacuum(self) -> None:
        """Rewrite the database file, so that nothing is left of what was once in it; clean a server's tables."""
        if self.file is None:
            with database_faults(), self._engine.connect() as connection:
                server.clean(connection, list(metadata.tables))
            return
        with self._door, database_faults(), self._engine.connect() as connection:
            sqlite_driver(connection).execute("VACUUM")

    def copy(self, target: Path) -> None:
        """Copy the SQLite file, as it is at one moment, while others read and write."""
        make_file(target)
        with database_faults(), closing(sqlite3.connect(target)) as copy, self._engine.connect() as connection:
            sqlite_driver(connection).backup(copy)

    def close(self) -> None:
        """Close every connection; SQLite then moves its write-ahead log into the database."""
        self._engine.dispose()

    def _require_in_place(self) -> None:
        """Raise `StoreUnavailable` where the file was moved, removed or replaced since it was opened.

        Connections that are open would go on with the file that is gone, and new ones begin with the one in its place.
        """
        if self.file is None:
            return
        found = file_number(self.file)
        self._opened = self._opened or found
        if found != self._opened:
            raise StoreUnavailable(
                "the catalogue's file was moved away, removed or replaced while it was in use: nothing was written; "
                "stop this process, and start it again once the data folder is as it should be"
            )

    def _require_whole(self) -> None:
        """Raise `StoreUnavailable` where a restore was cut short: its pictures are there, and not the catalogue."""
        if self.file is not None and restoring(self.file).exists():
            raise StoreUnavailable(
                f"a restore into this data folder was cut short: run it again, or remove {restoring(self.file).name} "
                "to begin with an empty gallery"
            )

    def _migrate(self) -> None:
        """Bring the schema to this release's revision."""
        if self.file is None:
            server.require_usable(self._engine)
        with self.read() as connection:
            if _revision(connection) == HEAD:
                return
        with self.write() as connection:
            if _revision(connection) != HEAD:  # another process may have been first
                _upgrade(connection)


def file_of(url: str | URL) -> Path | None:
    """Return where a SQLite database lies; None for a database server."""
    parsed = _parse(url)
    return Path(parsed.database).resolve() if parsed.get_backend_name() == "sqlite" and parsed.database else None


def file_number(path: Path) -> tuple[int, int] | None:
    """Return which file or folder a path leads to, as its device and number there; None when it leads to none."""
    with disk_faults("the data folder"), suppress(FileNotFoundError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def restoring(file: Path) -> Path:
    """Return where a restore prepares the catalogue that is to lie at `file`."""
    return file.with_name(file.name + ".restoring")


def damage(connection: Connection) -> list[str]:
    """Return what SQLite finds wrong with its file, one line each."""
    lines = list(connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars())
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    problems = [str(line) for line in lines if line != "ok"]
    return problems + [f"a row of {row[0]} points to nothing in {row[2]}" for row in orphans[:20]]


def _take_room_beside(file: Path) -> None:
    """Let SQLite rewrite files by way of a copy beside the first one: the usual folder may be small, or memory.

    The setting is the whole process's, and must not change while another thread is in SQLite: so it is made once.
    """
    folder = str(file.parent).replace("'", "''")
    with _ROOM, closing(sqlite3.connect(":memory:")) as connection:
        if connection.execute("PRAGMA temp_store_directory").fetchone() is None:
            with suppress(sqlite3.OperationalError):  # a folder that cannot be written in is told by what writes
                connection.execute(f"PRAGMA temp_store_directory = '{folder}'")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they are still there after a power cut."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    with disk_faults("the data folder"):
        for part in reversed(missing):
            part.mkdir(exist_ok=True)
            sync_folder(part.parent)


def make_file(file: Path) -> None:
    """Make a file that not everybody may read, where there is none: SQLite lets them, and goes by what it finds.

    One that is there is not opened: closing it again would give up the locks that SQLite has on it in this process
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    with disk_faults("the data folder"), suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(file: Path) -> None:
    """Put a file's content on the disk."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chunks(items: Iterable[T], size: int = _CHUNK) -> Iterator[list[T]]:
    """Cut a sequence into lists that one SQL statement takes."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _parse(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise InvalidValue("database_url", "expected a database URL such as sqlite:////data/reid.db") from exc
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidValue("database_url", "expected a SQLite file, found a database in memory: it would not last")
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername.partition("+")[0] != "sqlite" and parsed.drivername != "postgresql+psycopg":
        raise InvalidValue("database_url", f"expected sqlite or postgresql+psycopg, found {parsed.drivername}")
    return parsed


def _engine(url: URL, file: Path) -> Engine:
    connect = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(url, pool_size=16, max_overflow=48, connect_args=connect)
    event.listen(engine, "do_connect", lambda *_: make_file(file))  # no earlier: a refused opening leaves no file
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def sqlite_driver(connection: Connection) -> sqlite3.Connection:
    """Return SQLite's own connection beneath SQLAlchemy's."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get("begin")
    if statement and connection.dialect.name == "sqlite":
        sqlite_driver(connection).execute(statement)  # as a `DirectSelect` does: every query begins
    elif statement:
        connection.exec_driver_sql(statement)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(select(Column("version_num")).select_from(table("alembic_version")))


def _upgrade(connection: Connection) -> None:
    from alembic import command  # a store that is up to date opens without it
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_REVISIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise StoreUnavailable(
            f"the catalogue's schema is at revision {_revision(connection)}, this release knows up to {HEAD}: "
            "install the release that wrote it, or a newer one"
        ) from exc
