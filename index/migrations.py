"""Moving all galleries to another model version, while they are read and written.

Each step is one transaction, so a process that dies leaves a state to go on from. The one that works holds the
migration for a while, and another takes over when it has not been heard of for longer.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from index import audit, catalogue, clock, ledger, migration, reembedding, removal
from index.catalogue import GALLERIES, Gallery
from index.database import Database
from index.erasure import Eraser
from index.errors import MigrationRefused, MigrationState, MigrationUnderWay
from index.faults import disk_faults
from index.indexes import Indexes
from index.ledger import Version
from index.migration import BEFORE_SWITCH, UNDER_WAY, Migration, State
from index.pictures import PictureStore
from index.records import Action
from index.reembedding import LEFT_OUT, Pending
from index.schema import galleries
from index.validation import Side, Validation

_HELD_SECONDS = 30
_LISTED = 100
_FREED = 500  # vectors of one transaction: others write between two
_ROOM = 1.2  # of the disk that a migration is estimated to take


class Migrations:
    """The migrations of one store."""

    def __init__(self, database: Database, pictures: PictureStore, indexes: Indexes, eraser: Eraser) -> None:
        self._database = database
        self._pictures = pictures
        self._indexes = indexes
        self._eraser = eraser

    def latest(self) -> list[Migration]:
        """Return the latest, the newest first."""
        with self._database.read() as connection:
            return migration.listed(connection, _LISTED)

    def get(self, migration_id: str) -> Migration:
        """Return one; raise `MigrationNotFound`."""
        with self._database.read() as connection:
            return migration.read(connection, migration_id)

    def under_way(self) -> Migration | None:
        """Return the one that is not final."""
        with self._database.read() as connection:
            return migration.under_way(connection)

    def serving(self) -> str:
        """Return the version that the catalogue says serves; this process may have to follow yet."""
        with self._database.read() as connection:
            return ledger.serving(connection).name

    def plan(
        self,
        version: str,
        dim: int,
        *,
        leave_out: bool = False,
        same_model: bool = False,
        forced: bool = False,
        actor: str | None = None,
    ) -> Migration:
        """Begin a migration that `actor` asks for; one of empty galleries is final at once.

        `leave_out`: samples that cannot be embedded again, for their picture was not kept or cannot be read, do not
        stop it; they are hidden after the switch, back after a rollback or once their picture is enrolled again, and
        erased when it is finalized. `same_model`: no sample needs its picture, for what serves has the vectors that the
        version would have. `forced`: nor does it stop when the version finds fewer people than the one that serves.
        Raises `MigrationState` for the version that serves, `MigrationUnderWay`, `MigrationRefused`.
        """
        with self._database.write() as connection:
            source, target = ledger.serving(connection), ledger.version(connection, version, dim)
            if source.number == target.number:
                raise MigrationState(f"expected a version that is not active, found {version}, which is")
            count = catalogue.count(connection)
            if count == 0:
                planned = migration.begin(connection, source.number, target.number, state=State.FINALIZED, total=0)
                migration.keep_vectors(connection, target.number)
                ledger.serve(connection, target.number)
            else:
                if not (leave_out or same_model):
                    _require_pictures(connection, target)
                planned = self._plan(connection, source, target, count, leave_out=leave_out, forced=forced)
            audit.write_migration(connection, Action.START_MIGRATION, planned, actor)
            if count == 0:
                audit.write_migration(connection, Action.SWITCH_VERSION, planned, actor)
            return migration.read(connection, planned)

    def _plan(
        self,
        connection: Connection,
        source: Version,
        target: Version,
        count: int,
        *,
        leave_out: bool,
        forced: bool,
    ) -> str:
        earlier = migration.unfreed(connection)
        if earlier is not None and earlier.state is State.FINALIZED and earlier.left_out:
            raise MigrationUnderWay(f"migration {earlier.migration_id} still erases what it left out: try again later")
        needed = reembedding.disk_bytes(count, target.dim)
        self._require_room(needed)
        migration.keep_vectors(connection, target.number)  # those of an earlier try are used
        reembedding.try_again(connection, target.number)
        return migration.begin(
            connection,
            source.number,
            target.number,
            state=State.PLANNED,
            total=count,
            leave_out=leave_out,
            forced=forced,
            disk_bytes=needed,
        )

    def _require_room(self, needed: int) -> None:
        if self._database.file is None:
            return  # the server's disk is not ours to look at
        with disk_faults("the data folder"):
            free = shutil.disk_usage(self._database.file.parent).free
        if free < _ROOM * needed:
            raise MigrationRefused(
                f"expected {_ROOM * needed / 1e6:.0f} MB free on the data folder's disk for the vectors of another "
                f"version, found {free / 1e6:.0f} MB"
            )

    # --- the work -------------------------------------------------------------------------------------------------

    def hold(self, migration_id: str, owner: str, dead: str | None = None) -> bool:
        """Take the work on, or keep it; False while another has it that is not known to be `dead`."""
        with self._database.write() as connection:
            now, found = clock.shared(connection), migration.read(connection, migration_id)
            if found.owner not in (None, owner, dead) and (found.owned_until or 0) > now:
                return False
            migration.write(connection, migration_id, owner=owner, owned_until=now + _HELD_SECONDS * 1_000_000)
            return True

    def release(self, owner: str) -> None:
        """Let another take the work on at once."""
        with self._database.write() as connection:
            found = migration.under_way(connection)
            if found is not None and found.owner == owner:
                migration.write(connection, found.migration_id, owner=None, owned_until=None)

    def pending(self, moving: Migration, limit: int) -> list[Pending]:
        """Return the next samples without a vector of the version that does not serve."""
        with self._database.read() as connection:
            return reembedding.pending(connection, _other(moving), moving.position, limit)

    def put(
        self, moving: Migration, vectors: Mapping[int, bytes], position: int, *, rate: float | None = None
    ) -> Migration:
        """Store vectors, `LEFT_OUT` for samples that cannot be embedded, and remember how far the work is.

        A migration that is not under way any more is returned as it is.
        """
        with self._database.write() as connection:
            found = migration.read(connection, moving.migration_id)
            if found.state is not moving.state or found.state not in UNDER_WAY:
                return found
            logged = found.state in (State.VALIDATING, State.SWITCHED) or migration.known_before(connection, found)
            reembedding.put(connection, _other(found), vectors, logged=logged)
            columns: dict[str, Any] = {
                "position": max(position, found.position),
                "owned_until": clock.shared(connection) + _HELD_SECONDS * 1_000_000,
            }
            if found.state in BEFORE_SWITCH:
                empty = sum(vector == LEFT_OUT for vector in vectors.values())
                columns |= {"done": found.done + len(vectors), "left_out": found.left_out + empty, "rate": rate}
            if found.state is State.PLANNED:
                columns["state"] = State.RUNNING
            migration.write(connection, moving.migration_id, **columns)
            return migration.read(connection, moving.migration_id)

    def copied(self, moving: Migration, limit: int) -> dict[int, bytes]:
        """Return what the target's vectors of the next samples are when it is the very model of the source."""
        with self._database.read() as connection:
            return reembedding.copies(connection, moving.source_id, moving.target_id, moving.position, limit)

    def begin_validation(self, moving: Migration) -> Migration:
        """All is embedded again: load the target's index, which the next state's steps need."""
        with self._database.write() as connection:
            total = catalogue.count(connection)
            found = migration.move(
                connection, moving.migration_id, BEFORE_SWITCH, State.VALIDATING, total=total, done=total, rate=None
            )
        self.load(found.target_id)
        return found

    def load(self, version_id: int) -> None:
        """Bring a version's index into memory, unless it is there."""
        with self._database.read() as connection:
            version = ledger.version_numbered(connection, version_id)
        self._indexes.load(version)

    def validate(self, moving: Migration, source: Side, target: Side) -> dict[str, Any]:
        """Compare the two versions over the samples; see `Validation`."""
        return Validation(self._database, self._indexes, self._pictures, moving).run(source, target)

    def load_serving(self) -> None:
        """Bring the index of the version that the catalogue says serves into memory."""
        with self._database.read() as connection:
            version = ledger.serving(connection)
        self._indexes.load(version)

    def fail(self, moving: Migration, error: str, validation: Mapping[str, Any] | None = None) -> Migration:
        """Stop before the switch; what was embedded is kept for another try, or until it is cancelled."""
        told = {} if validation is None else {"validation": json.dumps(validation)}
        with self._database.write() as connection:
            return migration.move(connection, moving.migration_id, BEFORE_SWITCH, State.FAILED, error=error, **told)

    def switch(self, moving: Migration, validation: Mapping[str, Any]) -> Migration | None:
        """Let the target serve; None while samples that were enrolled meanwhile have no vector of it."""
        with self._database.write() as connection:
            found = migration.read(connection, moving.migration_id)
            if found.state is State.VALIDATING and reembedding.pending(connection, found.target_id, found.position, 1):
                return None
            ledger.serve(connection, found.target_id)
            actor = audit.starter(connection, moving.migration_id)
            audit.write_migration(connection, Action.SWITCH_VERSION, moving.migration_id, actor)
            return migration.move(
                connection,
                moving.migration_id,
                (State.VALIDATING,),
                State.SWITCHED,
                validation=json.dumps(validation),
                position=ledger.last_sample(connection),
            )

    # --- wishes ---------------------------------------------------------------------------------------------------

    def cancel(self, migration_id: str, actor: str | None = None) -> Migration:
        """Stop one before its switch, and free what it embedded."""
        with self._database.write() as connection:
            before = (*BEFORE_SWITCH, State.FAILED)
            done = migration.move(connection, migration_id, before, State.CANCELLED, position=0, rate=None)
            audit.write_migration(connection, Action.CANCEL_MIGRATION, migration_id, actor)
            return done

    def roll_back(self, migration_id: str, actor: str | None = None) -> Migration | None:
        """Let the source serve again; None while samples that were enrolled meanwhile have no vector of it."""
        with self._database.write() as connection:
            found = migration.read(connection, migration_id)
            if found.state is State.SWITCHED:
                if reembedding.pending(connection, found.source_id, found.position, 1):
                    return None
                ledger.serve(connection, found.source_id)
            done = migration.move(connection, migration_id, (State.SWITCHED,), State.ROLLED_BACK, position=0)
            audit.write_migration(connection, Action.ROLL_BACK_MIGRATION, migration_id, actor)
            return done

    def finalize(self, migration_id: str, actor: str | None = None) -> Migration:
        """Give up the way back; `free_some` then frees the old vectors."""
        with self._database.write() as connection:
            done = migration.move(connection, migration_id, (State.SWITCHED,), State.FINALIZED, position=0)
            audit.write_migration(connection, Action.FINALIZE_MIGRATION, migration_id, actor)
            return done

    # --- afterwards -----------------------------------------------------------------------------------------------

    def free_some(self, grace: float = 0.0) -> bool:
        """Free some vectors that a migration left over, `grace` seconds after its end; False: nothing is left."""
        with self._database.read() as connection:
            found = migration.unfreed(connection)
        if found is None or found.left_over is None or datetime.now(UTC) < found.changed_at + timedelta(seconds=grace):
            return False
        name, number = found.left_over
        self._indexes.drop(name)
        if found.state is State.FINALIZED and found.left_out and self._erase_some(found):
            return True
        with self._database.write() as connection:
            serves = ledger.serving(connection).number == number  # an empty store took it meanwhile
            last = None if serves else reembedding.free(connection, number, found.position, _FREED)
            done = {"freed": True} if last is None else {"position": last}
            migration.write(connection, found.migration_id, **done)
        if last is None and not serves:
            self._indexes.forget(number)
        return True

    def _erase_some(self, over: Migration) -> bool:
        """Erase samples that were left out; False when none is there."""
        with self._database.write() as connection:
            some = reembedding.left_out(connection, over.target_id, _FREED)
            if not some:
                return False
            into = Gallery(*connection.execute(GALLERIES.where(galleries.c.id == some[0][0])).one())
            removed = removal.remove(connection, into.id, [key for gallery, key in some if gallery == into.id])
            entry = audit.write(connection, Action.LEAVE_OUT, into, removed)
        self._indexes.follow()
        self._eraser.erase(into.id, removed, entry)
        return True


def _require_pictures(connection: Connection, target: Version) -> None:
    lost = reembedding.without_picture(connection, target.number)
    if lost:
        told = ", ".join(f"{count} of gallery {name!r}" for name, count in lost.items())
        raise MigrationRefused(
            f"expected a picture of every sample, found samples without one: {told}. They cannot be embedded "
            "again; to move without them, and erase them when the migration is finalized, ask with leave_out"
        )


def _other(moving: Migration) -> int:
    """Return the number of the version that does not serve."""
    return moving.source_id if moving.state is State.SWITCHED else moving.target_id
