"""A migration's row: the move of all galleries from one model version to another, and the states it goes through.

`planned -> running -> validating -> switched -> finalized | rolled_back`; until the switch it can be `cancelled` or
have `failed`, and one that failed can still be cancelled, which frees what it embedded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from index import clock, ledger, ulid, values
from index.errors import MigrationNotFound, MigrationState, MigrationUnderWay
from index.ledger import Version
from index.schema import migrations, versions

_SOURCE, _TARGET = versions.alias("source"), versions.alias("target")


class State(StrEnum):
    """Where a migration is."""

    PLANNED = "planned"
    RUNNING = "running"  # samples are embedded again
    VALIDATING = "validating"
    SWITCHED = "switched"  # the target serves; the source's vectors are kept
    FINALIZED = "finalized"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


BEFORE_SWITCH = (State.PLANNED, State.RUNNING, State.VALIDATING)
UNDER_WAY = (*BEFORE_SWITCH, State.SWITCHED)


@dataclass(frozen=True, slots=True)
class Migration:
    """One move from a version to another."""

    migration_id: str
    source: str
    source_id: int
    target: str
    target_id: int
    state: State
    leave_out: bool  # samples that cannot be embedded again do not stop it
    forced: bool  # nor does that it finds fewer people
    created_at: datetime
    changed_at: datetime
    total: int  # samples
    done: int
    left_out: int  # of those done: they could not be embedded again
    position: int  # the last sample that was looked at
    rate: float | None  # samples a second
    disk_bytes: int  # that the target's vectors were estimated to take
    validation: Mapping[str, Any]
    error: str | None
    owner: str | None
    owned_until: int | None
    freed: bool

    @property
    def eta_s(self) -> float | None:
        """The seconds until all samples are embedded again; None where that is not known."""
        if self.state not in (State.PLANNED, State.RUNNING) or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate)

    @property
    def left_over(self) -> tuple[str, int] | None:
        """The version whose vectors are of no more use, and its number."""
        if self.state is State.FINALIZED:
            return self.source, self.source_id
        if self.state in (State.CANCELLED, State.ROLLED_BACK):
            return self.target, self.target_id
        return None


def begin(
    connection: Connection,
    source_id: int,
    target_id: int,
    *,
    state: State,
    total: int,
    leave_out: bool = False,
    forced: bool = False,
    disk_bytes: int = 0,
) -> str:
    """Write down a new migration; return its id. Raises `MigrationUnderWay`."""
    if (other := under_way(connection)) is not None:
        raise MigrationUnderWay(
            f"expected no migration under way, found {other.migration_id} to {other.target}, which is "
            f"{other.state}: finalize it, roll it back or cancel it first"
        )
    now = clock.now()
    migration_id = ulid.following(_latest(connection), now // 1000, 1)[0]
    row = {
        "id": migration_id,
        "source_id": source_id,
        "target_id": target_id,
        "state": state,
        "leave_out": leave_out,
        "forced": forced,
        "created_at": now,
        "changed_at": now,
        "total": total,
        "done": 0,
        "left_out": 0,
        "position": 0,
        "disk_bytes": disk_bytes,
        "freed": state is State.FINALIZED,
    }
    connection.execute(insert(migrations).values(row))
    return migration_id


def read(connection: Connection, migration_id: str) -> Migration:
    """Return one; raise `MigrationNotFound`."""
    row = connection.execute(_rows().where(migrations.c.id == migration_id)).one_or_none()
    if row is None:
        raise MigrationNotFound(f"no migration {migration_id[:64]!r} was started")
    return _migration(row)


def listed(connection: Connection, limit: int) -> list[Migration]:
    """Return the latest, the newest first."""
    return [_migration(row) for row in connection.execute(_rows().order_by(migrations.c.id.desc()).limit(limit))]


def under_way(connection: Connection) -> Migration | None:
    """Return the one that is not final."""
    row = connection.execute(_rows().where(migrations.c.state.in_(UNDER_WAY))).one_or_none()
    return None if row is None else _migration(row)


def written_versions(connection: Connection) -> tuple[Version, dict[str, Version]]:
    """Return the version that serves, and by name all that a new sample gets a vector of, where one is given."""
    serving = ledger.serving(connection)
    wanted = {serving.name: serving}
    if (migration := under_way(connection)) is not None:
        for number in (migration.source_id, migration.target_id):
            other = ledger.version_numbered(connection, number)
            wanted[other.name] = other
    return serving, wanted


def unfreed(connection: Connection) -> Migration | None:
    """Return one that is over and has vectors left that are of no more use."""
    over = (State.FINALIZED, State.CANCELLED, State.ROLLED_BACK)
    query = _rows().where(~migrations.c.freed, migrations.c.state.in_(over)).order_by(migrations.c.id)
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else _migration(row)


def write(connection: Connection, migration_id: str, **columns: object) -> None:
    """Write columns of one."""
    connection.execute(update(migrations).where(migrations.c.id == migration_id).values(columns))


def move(
    connection: Connection, migration_id: str, before: tuple[State, ...], after: State, **columns: object
) -> Migration:
    """Take one from a state to the next; raise `MigrationState` when it is in none of those `before`."""
    now = read(connection, migration_id)
    if now.state not in before:
        raise MigrationState(f"expected a migration that is {' or '.join(before)}, found one that is {now.state}")
    write(connection, migration_id, state=after, changed_at=clock.now(), **columns)
    return read(connection, migration_id)


def known_before(connection: Connection, moving: Migration) -> bool:
    """Tell whether an earlier migration had this target: a process may still have an index of it in memory."""
    theirs = (migrations.c.source_id == moving.target_id) | (migrations.c.target_id == moving.target_id)
    query = select(migrations.c.id).where(theirs, migrations.c.id != moving.migration_id).limit(1)
    return connection.execute(query).first() is not None


def keep_vectors(connection: Connection, version_id: int) -> None:
    """Let no earlier migration free the vectors of a version that is to be used again."""
    before = (migrations.c.state == State.FINALIZED) & (migrations.c.source_id == version_id)
    tried = migrations.c.state.in_((State.CANCELLED, State.ROLLED_BACK, State.FAILED))  # what failed may be cancelled
    mine = before | (tried & (migrations.c.target_id == version_id))
    connection.execute(update(migrations).where(mine, ~migrations.c.freed).values(freed=True))


def _rows() -> Select[Any]:
    joined = migrations.join(_SOURCE, _SOURCE.c.id == migrations.c.source_id)
    joined = joined.join(_TARGET, _TARGET.c.id == migrations.c.target_id)
    names = (_SOURCE.c.version.label("source"), _TARGET.c.version.label("target"))
    return select(migrations, *names).select_from(joined)


def _latest(connection: Connection) -> str:
    query = select(migrations.c.id).order_by(migrations.c.id.desc()).limit(1)
    return connection.scalar(query) or ulid.LEAST


def _migration(row: Row[Any]) -> Migration:
    columns = dict(row._mapping)
    columns["migration_id"] = columns.pop("id")
    columns["state"] = State(columns["state"])
    columns["validation"] = json.loads(columns["validation"] or "{}")
    for moment in ("created_at", "changed_at"):
        columns[moment] = values.moment(columns[moment])
    return Migration(**columns)
