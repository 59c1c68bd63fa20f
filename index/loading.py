"""Opening the index from snapshot and catalogue, and writing the snapshot."""

import logging
import threading
from collections.abc import Iterator

import numpy as np
from sqlalchemy import Connection, exists, or_, select

from index import catalogue
from index.database import Database
from index.errors import StoreDamaged, StoreUnavailable
from index.follower import Follower, Shard, read_facts, read_vectors
from index.records import Embedding
from index.roster import Facts, Ints
from index.schema import change_log, galleries, samples
from index.snapshots import Snapshot, Snapshots, Stamp

_log = logging.getLogger(__name__)
_BLOCK_ROWS = 4096
_LEAST_CHANGES = 10_000  # reading fewer from the catalogue takes no time worth a snapshot
_CHANGED_PART = 0.25


class Abandoned(Exception):  # not an error: the snapshot was not needed any more
    """The rows that a snapshot was to hold have changed."""


def load(connection: Connection, follower: Follower, snapshots: Snapshots, version: str) -> None:
    """Fill the follower's shards with the catalogue's state, from snapshots as far as they hold."""
    last = catalogue.last_seq(connection)
    store = catalogue.store_id(connection)
    for gallery in connection.scalars(select(galleries.c.id)).all():
        facts = read_facts(connection, samples.c.gallery_id == gallery)
        kept = _usable(snapshots, Stamp(store, gallery, version, follower.dim, 0, last), facts)
        follower.shards[gallery] = _shard(connection, follower, facts, kept)
    follower.applied = last


def save(database: Database, follower: Follower, snapshots: Snapshots, version: str, gallery: int) -> bool:
    """Write a gallery's snapshot while others read and write; False when a removal made it useless."""
    with follower.lock.reading():
        shard = follower.shard(gallery)
        rows, seq, removals = np.flatnonzero(shard.roster.live), follower.applied, shard.removals
        unsaved = shard.unsaved
        ids = shard.roster.facts.ids[rows]
    with database.read() as connection:
        stamp = Stamp(catalogue.store_id(connection), gallery, version, follower.dim, len(ids), seq)
    try:
        draft = snapshots.draft(stamp, ids, _blocks(follower, shard, rows, removals))
    except Abandoned:
        return False
    with database.write() as connection:  # nothing can be deleted between this look and the renaming
        if _removed_since(connection, gallery, seq):
            draft.unlink(missing_ok=True)
            return False
        snapshots.publish(draft, gallery)
    shard.unsaved -= unsaved
    return True


def _usable(snapshots: Snapshots, expected: Stamp, facts: Facts) -> tuple[Ints, Embedding] | None:
    """Return the part of a gallery's snapshot that the catalogue still has; say loudly when there is none."""
    try:
        snapshot = snapshots.read(expected.gallery)
        if snapshot is None:
            return None
        _compare(snapshot, expected)
        still = np.isin(snapshot.ids, facts.ids)
        ids = snapshot.ids[still]
        if not np.array_equal(facts.ids[: len(ids)], ids):
            raise StoreDamaged("it lacks samples that were enrolled before others that it has")
    except StoreDamaged as exc:
        _log.error("index snapshot of gallery %d not used, rebuilding from the catalogue: %s", expected.gallery, exc)
        snapshots.discard(expected.gallery)
        return None
    if not still.all():  # a deletion was cut short: what it deleted must not stay in the file
        snapshots.discard(expected.gallery)
    return ids, snapshot.vectors[still] if not still.all() else snapshot.vectors


def _compare(snapshot: Snapshot, expected: Stamp) -> None:
    found = snapshot.stamp
    for field in ("store", "gallery", "version", "dim"):
        if getattr(found, field) != getattr(expected, field):
            raise StoreDamaged(f"expected {field} {getattr(expected, field)}, found {getattr(found, field)}")
    if found.seq > expected.seq:
        raise StoreDamaged(f"it is at change {found.seq}, the catalogue only at {expected.seq}")
    if bool((np.diff(snapshot.ids) <= 0).any()):
        raise StoreDamaged("its samples are out of order")


def _shard(connection: Connection, follower: Follower, facts: Facts, kept: tuple[Ints, Embedding] | None) -> Shard:
    shard = follower.new_shard()
    known = 0
    if kept is not None:
        known = len(kept[0])
        shard.vectors.load(kept[1][start : start + _BLOCK_ROWS] for start in range(0, known, _BLOCK_ROWS))
        shard.roster.append(facts.take(np.arange(known)))
    for start in range(known, len(facts.ids), _BLOCK_ROWS):
        part = facts.take(np.arange(start, min(start + _BLOCK_ROWS, len(facts.ids))))
        vectors = read_vectors(connection, follower.version_id, follower.dim, part.ids.tolist())
        there = np.array([key in vectors for key in part.ids.tolist()], dtype=np.bool_)
        if not there.all():
            _log.error("%d samples have no embedding of the serving version: run `reid gallery check`", (~there).sum())
        part = part.take(there)
        stacked = np.array([vectors[key] for key in part.ids.tolist()], dtype=np.float32)
        shard.put(part, stacked.reshape(-1, follower.dim))
    return shard


def _blocks(follower: Follower, shard: Shard, rows: Ints, removals: int) -> Iterator[Embedding]:
    """Give the shard's rows block by block, with the lock free in between."""
    blocks = shard.vectors.save(rows)
    while True:
        with follower.lock.reading():
            if shard.removals != removals:
                raise Abandoned
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _removed_since(connection: Connection, gallery: int, seq: int) -> bool:
    there = exists().where(samples.c.id == change_log.c.sample)
    query = select(change_log.c.seq).where(
        change_log.c.gallery_id == gallery, change_log.c.seq > seq, or_(change_log.c.sample.is_(None), ~there)
    )
    return connection.execute(query.limit(1)).first() is not None


class Keeper:
    """Writes snapshots: in the background when enough has changed, and when the store closes."""

    def __init__(self, database: Database, follower: Follower, snapshots: Snapshots, version: str) -> None:
        self._database = database
        self._follower = follower
        self._snapshots = snapshots
        self._version = version
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()

    def look(self) -> None:
        """Start writing when enough has changed since the last snapshots; return at once."""
        if not self._start.acquire(blocking=False):
            return  # another thread is at it
        try:
            idle = self._thread is None or not self._thread.is_alive()
            if idle and self._due(_LEAST_CHANGES, _CHANGED_PART):
                work = (_LEAST_CHANGES, _CHANGED_PART)
                self._thread = threading.Thread(target=self._save, args=work, name="snapshots", daemon=True)
                self._thread.start()
        finally:
            self._start.release()

    def save_all(self) -> None:
        """Write what has changed at all."""
        with self._start:
            if self._thread is not None:
                self._thread.join()
            self._save(1, 0.0)

    def _due(self, least: int, part: float) -> list[int]:
        shards = list(self._follower.shards.items())
        return [
            gallery for gallery, shard in shards if shard.unsaved >= max(least, part * len(shard.roster))
        ]  # fmt: skip

    def _save(self, least: int, part: float) -> None:
        for gallery in self._due(least, part):
            try:
                save(self._database, self._follower, self._snapshots, self._version, gallery)
            except StoreUnavailable as exc:  # the next opening reads the catalogue instead
                _log.warning("no snapshot of gallery %d was written: %s", gallery, exc)
