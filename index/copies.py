"""Copies of a catalogue, as they lie in a backup: single SQLite files to which nobody writes."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, and_, create_engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from index import catalogue, removal
from index.database import Database, chunks, sync_file
from index.faults import database_faults
from index.schema import galleries, identities, ledger, samples, versions

_DIGESTS = select(samples.c.digest).where(samples.c.picture_stored).distinct().order_by(samples.c.digest)


@dataclass(frozen=True, slots=True)
class Content:
    """What a catalogue says of itself."""

    store_id: str
    last_seq: int
    last_sample: int
    model_version: str
    dim: int
    samples: int
    identities: int
    pictures: int


@contextmanager
def reading(file: Path) -> Iterator[Connection]:
    """Give a connection that reads a copy and makes no file beside it, also where nothing can be written."""
    address = f"file:{quote(str(file))}?mode=ro&immutable=1"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)
    with database_faults(), engine.connect() as connection:
        yield connection


def content(connection: Connection) -> Content:
    """Read what is in a copy."""
    joined = ledger.join(versions, versions.c.id == ledger.c.serving_version_id)
    stamp = select(ledger.c.store_id, ledger.c.last_seq, ledger.c.last_sample, versions.c.version, versions.c.dim)
    counts = [
        connection.scalar(select(func.count()).select_from(counted)) or 0
        for counted in (samples, identities, _DIGESTS.subquery())
    ]
    return Content(*connection.execute(stamp.select_from(joined)).one(), *counts)


def digests(connection: Connection) -> Iterator[bytes]:
    """Yield every picture that a copy's samples use, in order."""
    yield from connection.execution_options(yield_per=1000).scalars(_DIGESTS)


def without(file: Path, lost: set[bytes]) -> int:
    """Delete the samples of pictures that are not to be had any more from a copy; count them."""
    deleted = 0
    with closing(Database(URL.create("sqlite", database=str(file)))) as database, database.write() as connection:
        for gallery in connection.scalars(select(galleries.c.id)).all():
            for chunk in chunks(lost):
                found = and_(samples.c.gallery_id == gallery, samples.c.digest.in_(chunk), samples.c.picture_stored)
                keys = catalogue.numbers_of(connection, found)
                deleted += len(removal.remove(connection, gallery, keys).keys)
    return deleted


def compact(file: Path) -> None:
    """Rewrite a copy as one file in which nothing is left of what was deleted, and put it on the disk."""
    with database_faults(), closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    sync_file(file)


def sha256(file: Path) -> str:
    """Return the hash of a file's bytes, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
