"""The rows that have an attribute: asked of the catalogue once, and then kept up to date by the change log."""

import threading
from collections import OrderedDict

import numpy as np
from sqlalchemy import Connection, select

from index.database import chunks
from index.roster import Ints, Roster
from index.schema import attribute_pairs, change_log

_MOST_PAIRS = 64
_MOST_TOUCHED = 10_000  # samples that are looked at again; for more, all that have the pair are read anew


class AttributeRows:
    """One shard's rows by attribute pair; the pairs that were asked for last are remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[int, Ints]] = OrderedDict()
        self._lock = threading.Lock()  # readers of the shard are many

    def rows(self, connection: Connection, gallery: int, roster: Roster, pair: bytes, seq: int) -> Ints:
        """Return the live rows that have a pair at change `seq`, which is where connection and roster are."""
        with self._lock:
            since, rows = self._known.get(pair, (-1, None))
        if rows is None:
            rows = _live(roster, _all_having(connection, pair))
        elif since < seq:
            touched = _touched(connection, gallery, since)
            if len(touched) > _MOST_TOUCHED:
                rows = _live(roster, _all_having(connection, pair))
            else:
                stayed = np.setdiff1d(rows, roster.find(touched))
                having = _live(roster, _having(connection, pair, touched))
                rows = np.union1d(stayed[roster.live[stayed]], having)
        with self._lock:
            self._known[pair] = (seq, rows)
            self._known.move_to_end(pair)
            while len(self._known) > _MOST_PAIRS:
                self._known.popitem(last=False)
        return rows


def _live(roster: Roster, ids: Ints) -> Ints:
    rows = roster.find(ids)
    return rows[rows >= 0]


def _all_having(connection: Connection, pair: bytes) -> Ints:
    query = select(attribute_pairs.c.sample_id).where(attribute_pairs.c.pair == pair)
    return np.array(connection.scalars(query).all(), dtype=np.int64)


def _having(connection: Connection, pair: bytes, among: Ints) -> Ints:
    query = select(attribute_pairs.c.sample_id).where(attribute_pairs.c.pair == pair)
    found: list[int] = []
    for chunk in chunks(among.tolist()):
        found += connection.scalars(query.where(attribute_pairs.c.sample_id.in_(chunk))).all()
    return np.array(found, dtype=np.int64)


def _touched(connection: Connection, gallery: int, since: int) -> Ints:
    """Return the samples that have changed since, up to one too many; a gallery that went as a whole is another shard.

    They are limited as samples and not as changes: one that changed often must not hide those that changed after it.
    """
    query = select(change_log.c.sample).where(
        change_log.c.gallery_id == gallery, change_log.c.seq > since, change_log.c.sample.is_not(None)
    )
    found = connection.scalars(query.distinct().limit(_MOST_TOUCHED + 1)).all()
    return np.array(found, dtype=np.int64)
