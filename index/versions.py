"""Which model versions a catalogue needs: those that its embeddings are of, and the one that serves."""

from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, func, inspect, select

from index.database import Database, file_of
from index.migration import UNDER_WAY
from index.schema import embeddings, ledger, migrations, versions


@dataclass(frozen=True, slots=True)
class VersionUse:
    """How a catalogue uses one model version."""

    version: str
    embeddings: int
    serving: bool
    migrating: bool = False  # the galleries are moved from or to it


def versions_in_use(database_url: str) -> tuple[VersionUse, ...]:
    """Return the versions that hold embeddings, serve or are moved from or to, by name; none without a catalogue.

    Nothing is written, and an older schema is read as it is. Raises `StoreUnavailable` for a database that does not
    answer, `StoreDamaged` for one that cannot be read.
    """
    file = file_of(database_url)
    if file is not None and not file.exists():
        return ()
    with closing(Database(database_url)) as database, database.read() as connection:
        if not inspect(connection).has_table(versions.name):
            return ()
        counted = select(embeddings.c.version_id, func.count().label("held")).group_by(embeddings.c.version_id)
        held = {row.version_id: row.held for row in connection.execute(counted)}
        serving = connection.scalar(select(ledger.c.serving_version_id))
        moving = _migrating(connection)
        known = connection.execute(select(versions.c.id, versions.c.version).order_by(versions.c.version)).all()
    uses = (VersionUse(row.version, held.get(row.id, 0), row.id == serving, row.id in moving) for row in known)
    return tuple(use for use in uses if use.embeddings or use.serving or use.migrating)


def _migrating(connection: Connection) -> set[int]:
    if not inspect(connection).has_table(migrations.name):
        return set()
    under_way = select(migrations.c.source_id, migrations.c.target_id).where(migrations.c.state.in_(UNDER_WAY))
    return {number for row in connection.execute(under_way) for number in row}
