"""The follower: it applies the change log to the vector index, so that the index can always be thrown away."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, bindparam, func, or_, select

from index.attribute_rows import AttributeRows
from index.database import Database, chunks
from index.ledger import Version, last_seq
from index.records import Embedding
from index.roster import EMPTY, NO_CAMERA, NO_TIME, Facts, Ints, Roster, as_facts
from index.schema import STANDING, change_log, embeddings, galleries, samples
from index.vectors import VectorIndex

_VECTORS = select(embeddings.c.sample_id, embeddings.c.vector).where(
    embeddings.c.version_id == bindparam("version"), embeddings.c.sample_id.in_(bindparam("keys", expanding=True))
)
_FACTS = select(samples.c.id, samples.c.identity_id, samples.c.camera_id, samples.c.captured_at).order_by(samples.c.id)
_FACTS_BY_NUMBER = _FACTS.where(samples.c.id.in_(bindparam("keys", expanding=True)))


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


@dataclass(frozen=True, slots=True)
class Change:
    """The state of one gallery's touched samples at one moment; `whole`: the gallery itself is gone."""

    gallery: int
    present: Facts
    vectors: Embedding
    absent: Ints
    whole: bool = False


class Shard:
    """One gallery in memory: the roster and the vectors, row by row."""

    def __init__(self, vectors: VectorIndex) -> None:
        self.roster = Roster()
        self.attributes = AttributeRows()
        self.vectors = vectors
        self.unsaved = 0  # samples that came or went since the last snapshot
        self.removals = 0  # grows with every removal, so that a snapshot can tell
        self.learnt_rows = 0  # when a code was last learnt, or found to be of no use
        self.late = 0  # samples that are not in: they got their vector after younger ones, and rows ascend by id

    def put(self, facts: Facts, vectors: Embedding) -> None:
        """Bring samples, by ascending id, to the state given; new ones need their vectors, (N, D)."""
        rows = self.roster.find(facts.ids)
        known, new = rows >= 0, np.flatnonzero(rows < 0)
        self.roster.update(rows[known], facts.take(known))
        in_order = facts.ids[new] > self.roster.last_id
        self.late += len(new) - int(np.count_nonzero(in_order))
        new = new[in_order]
        if len(new):
            self.vectors.add(vectors[new])
            self.roster.append(facts.take(new))
            self.unsaved += len(new)

    def apply(self, change: Change) -> None:
        """Bring the samples of a change to the state given."""
        self.drop(change.absent)
        self.put(change.present, change.vectors)

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


class Follower:
    """All galleries in memory, at one sequence number of the catalogue.

    A change is applied by looking at the sample again, not by what was done to it: so it may be applied twice,
    and the index is always exactly some committed state.
    """

    def __init__(self, version: Version, new_index: Callable[[int], VectorIndex]) -> None:
        self.version = version
        self.applied = 0
        self.server: object = None  # that the catalogue was read from
        self.shards: dict[int, Shard] = {}
        self.lock = SharedLock()
        self.reloading = threading.Lock()  # queries and upkeep wait for one reading of the catalogue
        self._new_index = new_index
        self.lost: Callable[[int], object] = lambda _gallery: None  # told the gallery whenever samples go from one

    def new_shard(self) -> Shard:
        """Make a shard without samples."""
        return Shard(self._new_index(self.version.dim))

    def shard(self, gallery: int) -> Shard:
        """Return a gallery's shard; hold the lock."""
        return self.shards.get(gallery) or self.new_shard()

    def catch_up(self, connection: Connection, last: int) -> None:
        """Apply the log up to `last`, which is where the connection's view of the catalogue stands."""
        since = self.applied
        if since >= last:
            return
        changes = read_changes(connection, self.version, since)
        with self.lock.writing():
            if not since <= self.applied < last:
                return  # another thread has come further, or began again
            for change in changes:
                self._apply(change)
            self.applied = last

    def begin_again(self, other: "Follower") -> None:
        """Take over what another has read."""
        with self.lock.writing():
            self.shards, self.applied, self.server = other.shards, other.applied, other.server

    def replace(self, database: Database, gallery: int, old: Shard, new: Shard, since: int) -> bool:
        """Put a shard that was made from `old`'s state at change `since` in its place, once it has caught up.

        False when `old` is not there any more.
        """
        while True:
            with database.read() as connection:
                last = last_seq(connection)
                self.catch_up(connection, last)
                for change in read_changes(connection, self.version, since, gallery):
                    new.apply(change)
            since = last
            with self.lock.writing():
                if self.shards.get(gallery) is not old:
                    return False
                if self.applied == last:
                    self.shards[gallery] = new
                    return True

    def _apply(self, change: Change) -> None:
        shard = self.shards.setdefault(change.gallery, self.new_shard())
        if change.whole or bool((shard.roster.find(change.absent) >= 0).any()):
            self.lost(change.gallery)  # before: where it fails, the change is applied again
        if change.whole:
            self.shards.pop(change.gallery)
        else:
            shard.apply(change)


def read_changes(connection: Connection, version: Version, since: int, gallery: int | None = None) -> list[Change]:
    """Read the present state of every sample that the log names after `since`, in one gallery or in all."""
    query = select(change_log.c.gallery_id, change_log.c.sample).where(change_log.c.seq > since)
    if gallery is not None:
        query = query.where(change_log.c.gallery_id == gallery)
    touched: dict[int, set[int]] = {}
    for place, number in connection.execute(query).all():
        touched.setdefault(place, set())
        if number is not None:
            touched[place].add(number)
    living = set(connection.scalars(select(galleries.c.id).where(STANDING)))
    return [
        _state(connection, version, place, sorted(keys)) if place in living else _gone(place, version.dim)
        for place, keys in touched.items()
    ]


def read_vectors(connection: Connection, version: Version, keys: Sequence[int]) -> dict[int, Embedding]:
    """Read the embeddings of samples; a sample without one of this version is left out."""
    found: dict[int, Embedding] = {}
    for chunk in chunks(keys):
        for key, blob in connection.execute(_VECTORS, {"version": version.number, "keys": chunk}).all():
            vector = _vector(blob, version.dim)
            if vector is not None:
                found[key] = vector
    return found


def read_facts(connection: Connection, where: object) -> Facts:
    """Read what the roster keeps of samples, by ascending id."""
    return _facts(connection.execute(_FACTS.where(where)))  # type: ignore[arg-type]


def facts_of(connection: Connection, keys: Sequence[int]) -> Facts:
    """Read what the roster keeps of samples by their numbers, which ascend; those that are gone are left out."""
    parts = [_facts(connection.execute(_FACTS_BY_NUMBER, {"keys": chunk}).all()) for chunk in chunks(keys)]
    return Facts(*(np.concatenate(columns) for columns in zip(EMPTY, *parts, strict=True)))


def read_rows(
    connection: Connection, version: Version, gallery: int, after: int, limit: int
) -> tuple[Facts, list[Embedding | None]]:
    """Read the next samples of a gallery with their embeddings, None where one has none of this version.

    Those that the version leaves out are skipped.
    """
    query = (
        select(samples.c.id, samples.c.identity_id, samples.c.camera_id, samples.c.captured_at, embeddings.c.vector)
        .outerjoin(embeddings, and_(embeddings.c.sample_id == samples.c.id, embeddings.c.version_id == version.number))
        .where(samples.c.gallery_id == gallery, samples.c.id > after)
        .where(or_(embeddings.c.vector.is_(None), func.length(embeddings.c.vector) > 0))
        .order_by(samples.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    return _facts(row[:4] for row in rows), [_vector(row.vector, version.dim) for row in rows]


def _vector(blob: bytes | None, dim: int) -> Embedding | None:
    whole = blob is not None and len(blob) == 4 * dim
    return np.frombuffer(blob, dtype=np.float32) if whole else None  # type: ignore[arg-type]


def _facts(rows: Iterable[Sequence[Any]]) -> Facts:
    table = [
        (key, person, NO_CAMERA if camera is None else camera, NO_TIME if at is None else at)
        for key, person, camera, at in rows
    ]
    return as_facts(np.array(table, dtype=np.int64).reshape(len(table), 4).T)


def _state(connection: Connection, version: Version, gallery: int, keys: list[int]) -> Change:
    vectors = read_vectors(connection, version, keys)
    present = facts_of(connection, keys)
    present = present.take(np.array([key in vectors for key in present.ids.tolist()], dtype=np.bool_))
    stacked = np.array([vectors[key] for key in present.ids.tolist()], dtype=np.float32).reshape(-1, version.dim)
    absent = np.setdiff1d(np.array(keys, dtype=np.int64), present.ids)
    return Change(gallery, present, stacked, absent)


def _gone(gallery: int, dim: int) -> Change:
    return Change(gallery, EMPTY, np.empty((0, dim), dtype=np.float32), EMPTY.ids, whole=True)
