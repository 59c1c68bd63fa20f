"""The ledger: which model version serves, the numbers that are given out, and the log of what was changed."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from index.errors import ModelMismatch
from index.schema import change_log, ledger, versions
from index.statements import DirectInsert


class Version(NamedTuple):
    """A model version as the catalogue numbers it, and the length of its embeddings."""

    name: str
    number: int
    dim: int


LAST_SEQ = select(ledger.c.last_seq)
_VERSIONS = select(versions.c.version, versions.c.id, versions.c.dim)  # each row is a `Version`
_CHANGES = DirectInsert(change_log)


def store_id(connection: Connection) -> str:
    """Return what tells this store from every other."""
    return str(connection.execute(select(ledger.c.store_id)).scalar_one())


def last_seq(connection: Connection) -> int:
    """Return the number of the last change."""
    return connection.scalar(LAST_SEQ) or 0


def last_sample(connection: Connection) -> int:
    """Return the last number that was given to a sample."""
    return int(connection.execute(select(ledger.c.last_sample)).scalar_one())


def number_samples(connection: Connection, count: int) -> range:
    """Give out the next numbers; who writes has come through the door, so no other takes them."""
    first = last_sample(connection) + 1
    connection.execute(update(ledger).values(last_sample=first + count - 1))
    return range(first, first + count)


def log(connection: Connection, gallery: int, touched: Sequence[int | None]) -> None:
    """Append samples to the change log (None: the whole gallery) and advance the ledger."""
    if not touched:
        return
    last = last_seq(connection)
    rows = [{"seq": last + step, "gallery_id": gallery, "sample": it} for step, it in enumerate(touched, 1)]
    _CHANGES.run(connection, rows)
    connection.execute(update(ledger).values(last_seq=last + len(touched)))


def version(connection: Connection, name: str, dim: int) -> Version:
    """Return a model version; a new one is written down. Raises `ModelMismatch` for one of another dimension."""
    found = connection.execute(_VERSIONS.where(versions.c.version == name)).one_or_none()
    if found is None:
        done = connection.execute(insert(versions).values(version=name, dim=dim)).inserted_primary_key
        assert done is not None
        return Version(name, int(done[0]), dim)
    if found.dim != dim:
        raise ModelMismatch(f"version {name} has embeddings of {found.dim} numbers here, expected {dim}")
    return Version(*found)


def version_numbered(connection: Connection, number: int) -> Version:
    """Return a model version by its number."""
    return Version(*connection.execute(_VERSIONS.where(versions.c.id == number)).one())


def serve(connection: Connection, version_id: int) -> None:
    """Make a version the one that serves."""
    connection.execute(update(ledger).values(serving_version_id=version_id))


def serving(connection: Connection) -> Version:
    """Return the version that serves in a store that was opened with one, as every `GalleryStore` is."""
    found = opened_with(connection)
    assert found is not None
    return found


def opened_with(connection: Connection) -> Version | None:
    """Return the version that serves; None in a store that was never opened with one."""
    row = connection.execute(_VERSIONS.where(versions.c.id == select(ledger.c.serving_version_id).scalar_subquery()))
    found = row.one_or_none()
    return None if found is None else Version(*found)
