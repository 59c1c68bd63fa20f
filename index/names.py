"""The names of identities and cameras, each a number within its gallery."""

from collections.abc import Iterable

from sqlalchemy import Connection, Select, Table, bindparam, delete, exists, insert, select

from index.database import chunks
from index.schema import cameras, identities, samples


def _numbered_in(names: Table) -> Select[tuple[str, int]]:
    among = names.c.name.in_(bindparam("wanted", expanding=True))
    return select(names.c.name, names.c.id).where(names.c.gallery_id == bindparam("gallery"), among)


_NUMBERED = {names: _numbered_in(names) for names in (identities, cameras)}  # made once: building one takes long


def identity_numbers(connection: Connection, gallery: int, wanted: Iterable[str]) -> dict[str, int]:
    """Return the numbers of those identities that are there."""
    return _numbered(connection, identities, gallery, wanted)


def camera_numbers(connection: Connection, gallery: int, wanted: Iterable[str]) -> dict[str, int]:
    """Return the numbers of those cameras that are there."""
    return _numbered(connection, cameras, gallery, wanted)


def ensure_identities(connection: Connection, gallery: int, wanted: Iterable[str]) -> dict[str, int]:
    """Return the numbers of identities; new ones are written down."""
    return _ensured(connection, identities, gallery, set(wanted))


def ensure_cameras(connection: Connection, gallery: int, wanted: Iterable[str | None]) -> dict[str, int]:
    """Return the numbers of cameras; new ones are written down."""
    return _ensured(connection, cameras, gallery, {name for name in wanted if name is not None})


def drop_empty_identities(connection: Connection, among: Iterable[int]) -> list[tuple[int, str]]:
    """Forget the names of identities that have no sample left; return each with its number."""
    used = exists().where(samples.c.identity_id == identities.c.id)
    dropped: list[tuple[int, str]] = []
    for chunk in chunks(among):
        forget = delete(identities).where(identities.c.id.in_(chunk), ~used)
        rows = connection.execute(forget.returning(identities.c.id, identities.c.name)).all()
        dropped += [(row.id, row.name) for row in rows]
    return dropped


def _numbered(connection: Connection, names: Table, gallery: int, wanted: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(wanted):
        rows = connection.execute(_NUMBERED[names], {"gallery": gallery, "wanted": chunk}).all()
        found.update((row.name, row.id) for row in rows)
    return found


def _ensured(connection: Connection, names: Table, gallery: int, wanted: set[str]) -> dict[str, int]:
    found = _numbered(connection, names, gallery, wanted)
    if new := sorted(wanted - found.keys()):
        connection.execute(insert(names), [{"gallery_id": gallery, "name": name} for name in new])
        found |= _numbered(connection, names, gallery, new)
    return found
