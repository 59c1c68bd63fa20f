"""Opening the index: from a snapshot and what the log says since, or from the catalogue."""

import logging

import numpy as np
from sqlalchemy import Connection, func, select

from index import catalogue, ledger, server
from index.codes import Codes, Setting
from index.errors import StoreDamaged
from index.follower import Follower, Shard, facts_of, read_changes, read_rows, read_vectors
from index.migration import written_versions
from index.reembedding import count_left_out
from index.schema import change_log, samples
from index.snapshots import Learnt, Snapshot, Snapshots, Stamp
from index.vectors import BLOCK_ROWS

_log = logging.getLogger(__name__)
_COMPARED = 256  # samples of a snapshot that are compared with the catalogue when it is opened
_REPLAYED_PART = 0.5  # of the samples; when more have changed since, reading the catalogue is no slower


def load(connection: Connection, follower: Follower, snapshots: Snapshots) -> None:
    """Fill the follower's shards with the catalogue's state, from snapshots as far as they hold."""
    last = ledger.last_seq(connection)
    store = ledger.store_id(connection)
    living = list(catalogue.gallery_numbers(connection).values())
    used = {each.number for each in written_versions(connection)[1].values()}
    snapshots.discard_others(living, used)  # left by deletions elsewhere, or by a process that died
    for gallery in living:
        stamp = Stamp(store, gallery, follower.version.name, follower.version.dim, 0, last)
        follower.shards[gallery] = _from_snapshot(connection, follower, snapshots, stamp) or from_catalogue(
            connection, follower, gallery
        )
    follower.applied, follower.server = last, server.which(connection)


def from_catalogue(connection: Connection, follower: Follower, gallery: int, codes: Codes | None = None) -> Shard:
    """Read a gallery's shard from the catalogue, and code its vectors where a code was learnt."""
    shard = follower.new_shard()
    shard.vectors.codes = codes
    after = lost = 0
    while True:
        facts, vectors = read_rows(connection, follower.version, gallery, after, BLOCK_ROWS)
        if len(facts.ids) == 0:
            break
        after = int(facts.ids[-1])
        there = np.array([vector is not None for vector in vectors], dtype=np.bool_)
        lost += len(there) - int(np.count_nonzero(there))
        stacked = np.array([vector for vector in vectors if vector is not None], dtype=np.float32)
        shard.put(facts.take(there), stacked.reshape(-1, follower.version.dim))
    if lost and follower.version.number == ledger.serving(connection).number:
        _log.error("%d samples have no embedding of the serving version: run `reid gallery check`", lost)
    return shard


def _from_snapshot(connection: Connection, follower: Follower, snapshots: Snapshots, expected: Stamp) -> Shard | None:
    """Return the shard of a gallery's snapshot, brought up to date; say loudly when it cannot be used."""
    try:
        snapshot = snapshots.read(expected.gallery)
        if snapshot is None:
            return None
        _compare(snapshot, expected)
        if _changes_since(connection, snapshot.stamp) > _REPLAYED_PART * snapshot.stamp.count:
            snapshots.discard(expected.gallery)  # it may hold samples that another process deleted
            return None
        shard = follower.new_shard()
        if snapshot.learnt is not None:
            shard.vectors.codes = _codes(snapshot.learnt)
            shard.learnt_rows = shard.vectors.codes.setting.rows
        starts = range(0, snapshot.stamp.count, BLOCK_ROWS)
        blocks = (snapshot.vectors[start : start + BLOCK_ROWS] for start in starts)
        shard.vectors.load(blocks, snapshot.stamp.count)
        shard.roster.append(snapshot.facts)
        for change in read_changes(connection, follower.version, snapshot.stamp.seq, expected.gallery):
            shard.apply(change)
        if shard.late:
            return None
        _verify(connection, follower, shard, expected.gallery)
    except StoreDamaged as exc:
        _log.error("index snapshot of gallery %d not used, rebuilding from the catalogue: %s", expected.gallery, exc)
        snapshots.discard(expected.gallery)
        return None
    if shard.removals:  # a deletion was cut short: what it deleted must not stay in the file
        snapshots.discard(expected.gallery)
    return shard


def _compare(snapshot: Snapshot, expected: Stamp) -> None:
    found = snapshot.stamp
    for field in ("store", "gallery", "version", "dim"):
        if getattr(found, field) != getattr(expected, field):
            raise StoreDamaged(f"expected {field} {getattr(expected, field)}, found {getattr(found, field)}")
    if found.seq > expected.seq:
        raise StoreDamaged(f"it is at change {found.seq}, the catalogue only at {expected.seq}")
    if bool((np.diff(snapshot.facts.ids) <= 0).any()):
        raise StoreDamaged("its samples are out of order")


def _changes_since(connection: Connection, stamp: Stamp) -> int:
    query = select(func.count()).where(change_log.c.gallery_id == stamp.gallery, change_log.c.seq > stamp.seq)
    return connection.scalar(query) or 0


def _codes(learnt: Learnt) -> Codes:
    try:
        return Codes(learnt.content, Setting(**learnt.setting))
    except (RuntimeError, TypeError) as exc:  # FAISS raises RuntimeError for content that is none of its own
        raise StoreDamaged("what the index learnt cannot be read") from exc


def _verify(connection: Connection, follower: Follower, shard: Shard, gallery: int) -> None:
    """Compare with the catalogue: the number of samples, the newest of them, and some others.

    The checksum says that a snapshot is whole; this says that it is of this catalogue, and not of one that
    was put back in its place from an older copy.
    """
    count = connection.scalar(select(func.count()).where(samples.c.gallery_id == gallery)) or 0
    if count != len(shard.roster):
        count -= count_left_out(connection, follower.version.number, gallery)
    if count != len(shard.roster):
        raise StoreDamaged(f"with the changes since it has {len(shard.roster)} samples, the catalogue {count}")
    live = np.flatnonzero(shard.roster.live)
    some = np.random.default_rng().integers(len(live), size=_COMPARED) if len(live) else live
    rows = np.unique(np.concatenate([live[-_COMPARED:], live[some]]))
    held = shard.roster.facts.take(rows)
    facts = facts_of(connection, held.ids.tolist())
    stored = read_vectors(connection, follower.version, held.ids.tolist())
    if any(not np.array_equal(ours, theirs) for ours, theirs in zip(held, facts, strict=True)) or any(
        key not in stored or shard.vectors.stored(stored[key]).tobytes() != vector.tobytes()
        for key, vector in zip(held.ids.tolist(), shard.vectors.read(rows), strict=True)
    ):
        raise StoreDamaged("it holds other samples than the catalogue")
