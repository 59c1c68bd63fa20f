"""The audit log: who deleted, when, where and how many, which keys came and went, and who changed the version.

It names nobody who is enrolled, and no file.
"""

import logging

from sqlalchemy import Connection, insert, select, update

from index import clock
from index.catalogue import Gallery
from index.database import Database
from index.errors import GalleryError
from index.records import Action
from index.removal import Removed
from index.schema import audit_log, migrations, versions

_log = logging.getLogger(__name__)
_SOURCE, _TARGET = versions.alias("source"), versions.alias("target")
ENTRIES = select(audit_log, _SOURCE.c.version, _TARGET.c.version).select_from(
    audit_log.outerjoin(migrations, migrations.c.id == audit_log.c.migration_id)
    .outerjoin(_SOURCE, _SOURCE.c.id == migrations.c.source_id)
    .outerjoin(_TARGET, _TARGET.c.id == migrations.c.target_id)
)
_LONGEST_ACTOR = 64  # a name of the system may be longer


def write(connection: Connection, action: Action, gallery: Gallery, removed: Removed, actor: str | None = None) -> int:
    """Write down a deletion in its own transaction, and which key asked for it; return the entry's number."""
    where = {"gallery_id": gallery.id, "gallery": gallery.name}
    return _insert(connection, action, len(removed.keys), len(removed.vectors), actor=actor, **where)


def write_key(connection: Connection, action: Action, key_id: str, gallery: str | None, actor: str | None) -> None:
    """Write down that a key was made or revoked, and the gallery that it is bound to, in that transaction."""
    _insert(connection, action, 0, 0, key_id=key_id, gallery=gallery, actor=actor)


def write_restore(connection: Connection, samples: int, vectors: int) -> int:
    """Write down that the whole store was restored; return the entry's number."""
    return _insert(connection, Action.RESTORE, samples, vectors)


def write_migration(connection: Connection, action: Action, migration_id: str, actor: str | None) -> None:
    """Write down what became of a migration and who asked for it, in that transaction."""
    _insert(connection, action, 0, 0, migration_id=migration_id, actor=actor and actor[:_LONGEST_ACTOR])


def starter(connection: Connection, migration_id: str) -> str | None:
    """Return who asked for a migration, as far as that was written down."""
    query = select(audit_log.c.actor).where(
        audit_log.c.migration_id == migration_id, audit_log.c.action == Action.START_MIGRATION
    )
    return connection.execute(query).scalar()


def add(connection: Connection, entry: int, removed: Removed) -> None:
    """Count a further part of the same deletion to its entry, in that part's own transaction."""
    grown = {
        "samples": audit_log.c.samples + len(removed.keys),
        "vectors": audit_log.c.vectors + len(removed.vectors),
    }
    connection.execute(update(audit_log).where(audit_log.c.id == entry).values(grown))


def settle(database: Database, entry: int, pictures: int, verified: bool | None) -> None:
    """Add what is known once the traces are cleared. The deletion is done by then: a failure is only logged."""
    cleared = update(audit_log).where(audit_log.c.id == entry).values(pictures=pictures, verified=verified)
    try:
        with database.write() as connection:
            connection.execute(cleared)
    except GalleryError as exc:
        _log.warning("entry %d of the audit log stays without its pictures and its reading back: %s", entry, exc)


def _insert(connection: Connection, action: Action, samples: int, vectors: int, **more: object) -> int:
    row = {"at": clock.now(), "action": action, "samples": samples, "vectors": vectors, **more}
    done = connection.execute(insert(audit_log).values(row)).inserted_primary_key
    assert done is not None
    return int(done[0])
