"""What is done to the index in the background: taking back space, learning codes, writing snapshots."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import numpy as np
from sqlalchemy import Connection, exists, or_, select

from index import learning, ledger
from index.codes import Codes
from index.database import Database
from index.errors import GalleryError
from index.follower import Follower, Shard
from index.loading import from_catalogue
from index.records import Embedding
from index.roster import Ints
from index.schema import change_log, samples
from index.snapshots import Learnt, Snapshots, Stamp
from index.vectors import BLOCK_ROWS

_log = logging.getLogger(__name__)
_DEAD_PART = 0.25  # the part of dead rows from which their place is taken back
_LEAST_CHANGES = 10_000  # reading fewer from the catalogue takes no time worth a snapshot
_CHANGED_PART = 0.25
_MUST_SAVE = 100_000  # samples; a smaller gallery is written at each closing
_RESTED_SECONDS = 60.0  # between two snapshots: deletions may make one void after the other, or the disk be full
_PATIENCE_SECONDS = 5.0  # for what is under way when the store closes; what is not done then is done after an opening


class Abandoned(Exception):  # not an error: the snapshot was not needed any more
    """The rows that a snapshot was to hold have changed."""


class Keeper:
    """Does what is due: in one thread in the background, and the last snapshots when the store closes."""

    def __init__(self, database: Database, follower: Follower, snapshots: Snapshots, recall: float) -> None:
        self._database = database
        self._follower = follower
        self._snapshots = snapshots
        self._recall = recall
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        self._begun: dict[int, float] = {}  # when a gallery's last snapshot was begun
        self._rests_until = -math.inf  # after what was not foreseen: it would fail again at every change

    def look(self) -> None:
        """Start what is due; return at once."""
        if not self._start.acquire(blocking=False):
            return  # another thread is at it
        try:
            idle = self._thread is None or not self._thread.is_alive()
            if idle and time.monotonic() >= self._rests_until and any(True for _ in self._due()):
                self._thread = threading.Thread(target=self._work_behind, name="upkeep", daemon=True)
                self._thread.start()
        finally:
            self._start.release()

    def settle(self) -> None:
        """Do what is due, and wait for it."""
        with self._start:
            if self._thread is not None:
                self._thread.join()
            self._work()

    def save_all(self) -> None:
        """Write the snapshots that make the next opening faster."""
        with self._start:
            if self._thread is not None:
                self._thread.join(_PATIENCE_SECONDS)
            for gallery, shard in list(self._follower.shards.items()):
                if shard.late:
                    continue
                least = 1 if len(shard.roster) < _MUST_SAVE else _LEAST_CHANGES
                if shard.unsaved >= least or (shard.unsaved and self._is_missing(gallery)):
                    self._save(gallery)

    def _due(self) -> Iterator[Callable[[], object]]:
        for gallery, shard in list(self._follower.shards.items()):
            if shard.late:
                yield partial(reload, self._database, self._follower, gallery, shard)
            elif shard.roster.dead > _DEAD_PART * shard.roster.rows:
                yield partial(compact, self._database, self._follower, gallery, shard)
            elif learning.is_due(shard):
                yield partial(learning.learn, self._follower, gallery, shard, self._recall)
            elif self._should_save(gallery, shard):
                yield partial(self._save, gallery)

    def _work(self) -> None:
        try:
            while job := next(self._due(), None):
                job()
        except GalleryError as exc:
            _log.warning("upkeep of the index stops until the next change: %s", exc)

    def _work_behind(self) -> None:
        try:
            self._work()
        except Exception:  # noqa: BLE001 - the boundary of the background; FAISS has no tree of errors
            self._rests_until = time.monotonic() + _RESTED_SECONDS
            _log.exception("upkeep of the index rests for %g s", _RESTED_SECONDS)

    def _should_save(self, gallery: int, shard: Shard) -> bool:
        if time.monotonic() < self._begun.get(gallery, -math.inf) + _RESTED_SECONDS:
            return False
        if shard.unsaved >= max(_LEAST_CHANGES, _CHANGED_PART * len(shard.roster)):
            return True
        return shard.unsaved > 0 and len(shard.roster) >= _MUST_SAVE and self._is_missing(gallery)

    def _is_missing(self, gallery: int) -> bool:
        return not self._snapshots.path(gallery).exists()

    def _save(self, gallery: int) -> None:
        self._begun[gallery] = time.monotonic()
        try:
            save(self._database, self._follower, self._snapshots, gallery)
        except GalleryError as exc:  # the next opening reads the catalogue instead
            _log.warning("no snapshot of gallery %d was written: %s", gallery, exc)


def compact(database: Database, follower: Follower, gallery: int, shard: Shard) -> None:
    """Put a shard without dead rows in the place of one that has many, while others read and write."""
    with follower.lock.reading():
        rows, seq, unsaved = np.flatnonzero(shard.roster.live), follower.applied, shard.unsaved
        facts = shard.roster.facts.take(rows)
        codes = shard.vectors.codes
    new = follower.new_shard()
    if codes is not None:
        new.vectors.codes = Codes(codes.content, codes.setting)
    for start in range(0, len(rows), BLOCK_ROWS):
        with follower.lock.reading():
            block = shard.vectors.read(rows[start : start + BLOCK_ROWS])
        new.vectors.add(block)
    new.roster.append(facts)
    new.unsaved, new.removals = unsaved, shard.removals
    follower.replace(database, gallery, shard, new, seq)


def reload(database: Database, follower: Follower, gallery: int, shard: Shard) -> None:
    """Put a shard that was read from the catalogue in the place of one that could not take samples in."""
    with follower.reloading:
        if follower.shards.get(gallery) is not shard:
            return  # another thread has done it
        codes = shard.vectors.codes
        with database.read() as connection:
            since = ledger.last_seq(connection)
            again = None if codes is None else Codes(codes.content, codes.setting)
            new = from_catalogue(connection, follower, gallery, again)
        new.learnt_rows, new.removals = shard.learnt_rows, shard.removals
        follower.replace(database, gallery, shard, new, since)


def save(database: Database, follower: Follower, snapshots: Snapshots, gallery: int) -> bool:
    """Write a gallery's snapshot while others read and write; False when a removal made it useless."""
    with follower.lock.reading():
        shard = follower.shard(gallery)
        rows, seq, removals = np.flatnonzero(shard.roster.live), follower.applied, shard.removals
        unsaved = shard.unsaved
        facts = shard.roster.facts.take(rows)
        codes = shard.vectors.codes
    with database.read() as connection:
        store, version = ledger.store_id(connection), follower.version
    stamp = Stamp(store, gallery, version.name, version.dim, len(rows), seq)
    learnt = None if codes is None else Learnt(codes.content, asdict(codes.setting))
    try:
        draft = snapshots.draft(stamp, facts, _blocks(follower, shard, rows, removals), learnt)
    except Abandoned:
        return False
    with database.write() as connection:  # nothing can be deleted between this look and the renaming
        if _removed_since(connection, gallery, seq):
            draft.unlink(missing_ok=True)
            return False
        snapshots.publish(draft, gallery)
    with follower.lock.writing():
        shard.unsaved -= unsaved
    return True


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
