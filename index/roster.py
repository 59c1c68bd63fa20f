"""What filtering, grouping and ranking need of each sample, in arrays beside the vectors."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.grouping import Grouping
from index.zones import Zones

NO_CAMERA = 0
NO_TIME = np.iinfo(np.int64).min

Ints = NDArray[np.signedinteger[Any]]  # 64 bits, or 32 where rows, identities and cameras are kept
Mask = NDArray[np.bool_]


class Facts(NamedTuple):
    """Samples as the catalogue numbers them, by ascending id; each array is (N,)."""

    ids: Ints
    identities: Ints
    cameras: Ints  # NO_CAMERA: none
    times: Ints  # UTC microseconds; NO_TIME: none

    def take(self, rows: NDArray[Any]) -> "Facts":
        """Return some of them."""
        return Facts(*(column[rows] for column in self))


TYPES = (np.int64, np.int32, np.int32, np.int64)  # of the columns


def as_facts(columns: Iterable[Any]) -> Facts:
    """Return four columns as facts."""
    return Facts(*(np.asarray(column, dtype=kind) for column, kind in zip(columns, TYPES, strict=True)))


EMPTY = as_facts(((), (), (), ()))


class Roster:
    """The samples of one gallery; a row's number is also its vector's in the index.

    Ids ascend with rows, because ids are given in the order of enrolment: so a row is found by bisection,
    and ties between scores are decided by row.
    """

    BYTES_PER_ROW: Final = 8 + 4 + 4 + 8 + 1 + 8  # the columns, whether it lives, and its place among its identity's

    def __init__(self) -> None:
        self._columns = EMPTY
        self._live: Mask = np.empty(0, dtype=np.bool_)
        self._people = Grouping()
        self._zones = Zones()
        self.rows = 0  # including dead ones
        self.dead = 0

    @property
    def facts(self) -> Facts:
        """All rows, dead ones included; views that the next change may alter."""
        return Facts(*(column[: self.rows] for column in self._columns))

    @property
    def live(self) -> Mask:
        """Which rows still count, (rows,); a view."""
        return self._live[: self.rows]

    def __len__(self) -> int:
        return self.rows - self.dead

    @property
    def last_id(self) -> int:
        """The highest id that was ever added, -1 before there is one."""
        return int(self._columns.ids[self.rows - 1]) if self.rows else -1

    def find(self, ids: Ints) -> Ints:
        """Return the live row of each id, or -1."""
        known = self._columns.ids[: self.rows]
        places = np.searchsorted(known, ids)
        rows = np.full(len(ids), -1, dtype=np.int64)
        inside = places < self.rows
        hit = inside.copy()
        hit[inside] = (known[places[inside]] == ids[inside]) & self._live[places[inside]]
        rows[hit] = places[hit]
        return rows

    def append(self, facts: Facts) -> None:
        """Add samples; their ids are above all that were ever added."""
        count = len(facts.ids)
        if count == 0:
            return
        last = self.last_id
        if facts.ids[0] <= last or bool((np.diff(facts.ids) <= 0).any()):
            raise ValueError(f"sample numbers must ascend: got {facts.ids[0]} after {last}")
        self._reserve(self.rows + count)
        for column, values in zip(self._columns, facts, strict=True):
            column[self.rows : self.rows + count] = values
        self._live[self.rows : self.rows + count] = True
        new = np.arange(self.rows, self.rows + count)
        self.rows += count
        self._people.note(new, self.facts.identities)
        self._zones.note(new, facts.times)

    def update(self, rows: Ints, facts: Facts) -> None:
        """Replace what is known of live rows."""
        moved = rows[self._columns.identities[rows] != facts.identities]
        for column, values in zip(self._columns, facts, strict=True):
            column[rows] = values
        self._zones.note(rows, facts.times)
        if len(moved):
            self._people.note(moved, self.facts.identities)

    def rows_of(self, identities: Ints) -> Ints:
        """Return the live rows of identities, ascending; `identities` ascend."""
        rows = self._people.find(identities, self.facts.identities)
        return rows[self._live[rows]]

    def within(self, first: int, end: int) -> Mask:
        """Tell which rows have a time in the half-open window [first, end), dead ones included, (rows,)."""
        return self._zones.within(self.facts.times, first, end)

    def kill(self, rows: Ints) -> None:
        """Let rows count no more."""
        self._live[rows] = False
        self.dead += len(rows)

    def _reserve(self, rows: int) -> None:
        if rows <= len(self._live):
            return
        capacity = max(rows, 2 * len(self._live), 1024)
        self._columns = Facts(*(_grown(column, capacity) for column in self._columns))
        self._live = _grown(self._live, capacity)


def _grown(column: NDArray[Any], capacity: int) -> NDArray[Any]:
    larger = np.empty(capacity, dtype=column.dtype)
    larger[: len(column)] = column
    return larger
