"""The backups that the catalogue remembers, so that an erasure can tell which still hold what it erased."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, or_, select, update

from index import clock
from index.schema import backups


def begin(connection: Connection, name: str) -> int:
    """Write down a backup before anything is copied; return the time, in UTC microseconds, that it has from now on."""
    made_at = clock.now()
    connection.execute(insert(backups).values(name=name, made_at=made_at))
    return made_at


def put(connection: Connection, name: str, made_at: int, last_seq: int, last_sample: int) -> None:
    """Write down what a backup holds: every sample up to the last that was in the catalogue."""
    row = {"made_at": made_at, "last_seq": last_seq, "last_sample": last_sample}
    if connection.execute(update(backups).where(backups.c.name == name).values(row)).rowcount == 0:
        connection.execute(insert(backups).values(name=name, **row))


def forget(connection: Connection, names: Iterable[str]) -> None:
    """Forget backups that are gone."""
    connection.execute(delete(backups).where(backups.c.name.in_(list(names))))


def names(connection: Connection) -> set[str]:
    """Return the names of all that are remembered."""
    return set(connection.scalars(select(backups.c.name)))


def holding(connection: Connection, keys: Sequence[int]) -> tuple[str, ...]:
    """Return the backups, oldest first, that hold any of these samples, or may: a backup that is being made counts."""
    if not keys:
        return ()
    may_hold = or_(backups.c.last_sample.is_(None), backups.c.last_sample >= min(keys))
    return tuple(connection.scalars(select(backups.c.name).where(may_hold).order_by(backups.c.made_at)))
