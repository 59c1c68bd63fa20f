"""Deleting a gallery: the first transaction closes it, so that nobody finds it; the next ones empty it, bit by bit."""

import secrets

from sqlalchemy import Connection, delete, func, select, update

from index import audit, ledger, removal
from index.database import Database
from index.records import Action
from index.schema import CLOSED, STANDING, audit_log, cameras, galleries, identities, samples

_BATCH = 500  # samples of one transaction: others write between two


def close(connection: Connection, number: int) -> None:
    """Let nobody find a gallery, whatever is still in it; its name is free at once."""
    name = CLOSED + secrets.token_hex(16)  # that nobody can guess: a gallery is only ever asked for by its name
    closed = update(galleries).where(galleries.c.id == number)
    connection.execute(closed.values(name=name, retention_days=None))
    ledger.log(connection, number, [None])


def empty(database: Database, number: int, entry: int) -> None:
    """Delete what a closed gallery holds, then the gallery, and count it in the audit log.

    Another process that was opened meanwhile may be at it as well.
    """
    while True:
        with database.write() as connection:
            query = select(samples.c.id).where(samples.c.gallery_id == number).order_by(samples.c.id).limit(_BATCH)
            keys = connection.scalars(query).all()
            if not keys:
                _drop(connection, number)
                return
            audit.add(connection, entry, removal.remove(connection, number, keys))


def finish(database: Database) -> None:
    """Empty the galleries that a process which died, or a failure, left closed."""
    entry = func.max(audit_log.c.id)
    query = select(galleries.c.id, entry).join(audit_log, audit_log.c.gallery_id == galleries.c.id)
    with database.read() as connection:
        left = connection.execute(
            query.where(~STANDING, audit_log.c.action == Action.DELETE_GALLERY).group_by(galleries.c.id)
        ).all()
    for number, entered in left:
        empty(database, number, entered)
    if left:
        database.checkpoint()


def _drop(connection: Connection, number: int) -> None:
    for named in (identities, cameras):
        connection.execute(delete(named).where(named.c.gallery_id == number))
    connection.execute(delete(galleries).where(galleries.c.id == number))
