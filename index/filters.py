"""Filters: which samples of a gallery a query or a listing may return, told from the roster."""

import numpy as np
from sqlalchemy import Connection, select

from index import names, values
from index.follower import Shard
from index.records import SampleFilter
from index.roster import NO_TIME, Ints, Mask, Roster
from index.schema import samples
from index.selection import Selection

_EVERYTHING = SampleFilter()
_NEVER = int(np.iinfo(np.int64).max)
_FEW = 8  # comparisons of a column that take less time than one look-up in a table


def select_rows(connection: Connection, gallery: int, shard: Shard, seq: int, where: SampleFilter) -> Selection:
    """Return which rows of a shard a filter lets through at change `seq`, where shard and connection are."""
    if where == _EVERYTHING:
        return Selection(shard.roster.live, len(shard.roster))
    return Selection.of(_mask(connection, gallery, shard, seq, where))


def _mask(connection: Connection, gallery: int, shard: Shard, seq: int, where: SampleFilter) -> Mask:
    roster = shard.roster
    allowed = roster.live.copy()
    facts = roster.facts
    if where.cameras:
        allowed &= _among(facts.cameras, _cameras(connection, gallery, where.cameras))
    if where.exclude_cameras:
        allowed &= ~_among(facts.cameras, _cameras(connection, gallery, where.exclude_cameras))
    if where.captured_after is not None or where.captured_before is not None:
        allowed &= roster.within(*_window(where))
    if where.identity is not None:
        rows = roster.rows_of(np.array([_identity(connection, gallery, where.identity)]))
        allowed &= _only(roster, rows)
    for pair in values.pairs(gallery, where.attributes):
        allowed &= _only(roster, shard.attributes.rows(connection, gallery, roster, pair, seq))
    if where.exclude_sample is not None:
        allowed &= ~_rows(roster, _number(connection, gallery, where.exclude_sample))
    return allowed


def _cameras(connection: Connection, gallery: int, wanted: frozenset[str]) -> list[int]:
    normal = (values.name("camera", name) for name in wanted)
    return list(names.camera_numbers(connection, gallery, normal).values())


def _identity(connection: Connection, gallery: int, name: str) -> int:
    normal = values.name("identity", name)
    return names.identity_numbers(connection, gallery, [normal]).get(normal, -1)


def _window(where: SampleFilter) -> tuple[int, int]:
    """Return a window that no sample without a time is in, whichever side is open."""
    after = values.microseconds("captured_after", where.captured_after)
    before = values.microseconds("captured_before", where.captured_before)
    return NO_TIME + 1 if after is None else after, _NEVER if before is None else before


def _number(connection: Connection, gallery: int, sample_id: str) -> Ints:
    query = select(samples.c.id).where(samples.c.sample_id == sample_id, samples.c.gallery_id == gallery)
    return np.fromiter(connection.scalars(query), dtype=np.int64)


def _among(column: Ints, numbers: list[int]) -> Mask:
    """Tell where a column holds one of the numbers."""
    if len(numbers) > _FEW:
        return np.isin(column, np.array(numbers, dtype=np.int32))
    found: Mask = np.zeros(len(column), dtype=np.bool_)
    for number in numbers:
        found |= column == number
    return found


def _rows(roster: Roster, ids: Ints) -> Mask:
    rows = roster.find(ids)
    return _only(roster, rows[rows >= 0])


def _only(roster: Roster, rows: Ints) -> Mask:
    found: Mask = np.zeros(roster.rows, dtype=np.bool_)
    found[rows] = True
    return found
