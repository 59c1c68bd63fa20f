"""The follower: it applies the change log to the vector index, so that the index can always be thrown away."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from index.database import chunks
from index.records import Embedding
from index.roster import NO_CAMERA, NO_TIME, Facts, Ints, Roster
from index.schema import change_log, embeddings, galleries, samples
from index.vectors import VectorIndex

_COMPACT_AT = 0.25  # the part of dead rows from which their place is taken back


class SharedLock:
    """Any number of readers or one writer; a waiting writer goes before new readers."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers_waiting = 0
        self._writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._condition:
            self._condition.wait_for(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._condition:
            self._writers_waiting += 1
            self._condition.wait_for(lambda: not self._writing and not self._readers)
            self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()


class Shard:
    """One gallery in memory: the roster and the vectors, row by row."""

    def __init__(self, vectors: VectorIndex) -> None:
        self.roster = Roster()
        self.vectors = vectors
        self.unsaved = 0  # samples that came or went since the last snapshot
        self.removals = 0  # grows with every removal and compaction, so that a snapshot can tell

    def put(self, facts: Facts, vectors: Embedding) -> None:
        """Bring samples, by ascending id, to the state given; new ones need their vectors, (N, D)."""
        rows = self.roster.find(facts.ids)
        known, new = rows >= 0, np.flatnonzero(rows < 0)
        self.roster.update(rows[known], facts.take(known))
        if len(new):
            self.vectors.add(vectors[new])
            self.roster.append(facts.take(new))
            self.unsaved += len(new)

    def drop(self, ids: Ints) -> None:
        """Take samples out."""
        rows = self.roster.find(ids)
        rows = rows[rows >= 0]
        if len(rows) == 0:
            return
        self.vectors.remove(rows)
        self.roster.kill(rows)
        self.removals += 1
        self.unsaved += len(rows)
        if self.roster.dead > _COMPACT_AT * self.roster.rows:
            self.vectors.compact(self.roster.compact())


@dataclass(frozen=True, slots=True)
class Change:
    """The state of one gallery's touched samples at one moment; `whole`: the gallery itself is gone."""

    gallery: int
    present: Facts
    vectors: Embedding
    absent: Ints
    whole: bool = False


class Follower:
    """All galleries in memory, at one sequence number of the catalogue.

    A change is applied by looking at the sample again, not by what was done to it: so it may be applied twice,
    and the index is always exactly some committed state.
    """

    def __init__(self, version_id: int, dim: int, new_index: Callable[[int], VectorIndex]) -> None:
        self.version_id = version_id
        self.dim = dim
        self.applied = 0
        self.shards: dict[int, Shard] = {}
        self.lock = SharedLock()
        self._new_index = new_index

    def new_shard(self) -> Shard:
        """Make a shard without samples."""
        return Shard(self._new_index(self.dim))

    def shard(self, gallery: int) -> Shard:
        """Return a gallery's shard; hold the lock."""
        return self.shards.get(gallery) or self.new_shard()

    def catch_up(self, connection: Connection, last: int) -> None:
        """Apply the log up to `last`, which is where the connection's view of the catalogue stands."""
        since = self.applied
        if since >= last:
            return
        changes = read_changes(connection, self.version_id, self.dim, since)
        with self.lock.writing():
            if self.applied >= last:
                return  # another thread has come further
            for change in changes:
                self._apply(change)
            self.applied = last

    def _apply(self, change: Change) -> None:
        if change.whole:
            self.shards.pop(change.gallery, None)
            return
        shard = self.shards.setdefault(change.gallery, self.new_shard())
        shard.drop(change.absent)
        shard.put(change.present, change.vectors)


def read_changes(connection: Connection, version_id: int, dim: int, since: int) -> list[Change]:
    """Read the present state of every sample that the log names after `since`."""
    query = select(change_log.c.gallery_id, change_log.c.sample).where(change_log.c.seq > since)
    touched: dict[int, set[int]] = {}
    for gallery, number in connection.execute(query):
        touched.setdefault(gallery, set())
        if number is not None:
            touched[gallery].add(number)
    living = set(connection.scalars(select(galleries.c.id)))
    return [
        _state(connection, version_id, dim, gallery, sorted(keys)) if gallery in living else _gone(gallery, dim)
        for gallery, keys in touched.items()
    ]


def read_vectors(connection: Connection, version_id: int, dim: int, keys: Sequence[int]) -> dict[int, Embedding]:
    """Read the embeddings of samples; a sample without one of this version is left out."""
    found: dict[int, Embedding] = {}
    for chunk in chunks(keys):
        query = select(embeddings.c.sample_id, embeddings.c.vector).where(
            embeddings.c.version_id == version_id, embeddings.c.sample_id.in_(chunk)
        )
        for key, blob in connection.execute(query):
            if len(blob) == 4 * dim:
                found[key] = np.frombuffer(blob, dtype=np.float32)
    return found


def read_facts(connection: Connection, where: object) -> Facts:
    """Read what the roster keeps of samples, by ascending id."""
    query = select(samples.c.id, samples.c.identity_id, samples.c.camera_id, samples.c.captured_at)
    rows = connection.execute(query.where(where).order_by(samples.c.id)).all()  # type: ignore[arg-type]
    table = [
        (key, person, NO_CAMERA if camera is None else camera, NO_TIME if at is None else at)
        for key, person, camera, at in rows
    ]
    return Facts(*np.array(table, dtype=np.int64).reshape(len(table), 4).T.copy())


def _state(connection: Connection, version_id: int, dim: int, gallery: int, keys: list[int]) -> Change:
    vectors = read_vectors(connection, version_id, dim, keys)
    parts = [read_facts(connection, samples.c.id.in_(chunk)) for chunk in chunks(keys)]
    facts = (
        Facts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        if parts
        else read_facts(connection, samples.c.id < 0)
    )
    facts = facts.take(np.array([key in vectors for key in facts.ids.tolist()], dtype=np.bool_))
    stacked = np.array([vectors[key] for key in facts.ids.tolist()], dtype=np.float32).reshape(-1, dim)
    absent = np.setdiff1d(np.array(keys, dtype=np.int64), facts.ids)
    return Change(gallery, facts, stacked, absent)


def _gone(gallery: int, dim: int) -> Change:
    nothing = np.empty(0, dtype=np.int64)
    return Change(gallery, Facts(*[nothing] * 4), np.empty((0, dim), dtype=np.float32), nothing, whole=True)
