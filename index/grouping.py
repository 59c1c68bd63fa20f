"""Rows by a number that they share, such as an identity's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
_LOOSE = 256  # rows that a look-up goes through one by one, before they are sorted
_LARGER = 8  # times; a run that is not so much larger than the next is sorted together with it


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows by ascending number, as the numbers were when they were sorted."""

    numbers: Ints
    rows: Ints

    def find(self, wanted: Ints) -> Ints:
        """Return the rows whose number is wanted; `wanted` ascends."""
        starts = np.searchsorted(self.numbers, wanted, side="left")
        counts = np.searchsorted(self.numbers, wanted, side="right") - starts
        places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        rows: Ints = self.rows[places]
        return rows


class Grouping:
    """Finds the rows of a few numbers without looking at all rows.

    Rows are in sorted runs, each much larger than the one after it: so there are few, and a row is sorted again only
    a few times however large the largest grows (O'Neil et al. "The log-structured merge-tree", 1996). The rows that
    came last are loose. A row whose number changed is noted again; where it was found before, it is passed over.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._loose: list[Ints] = []
        self._loose_count = 0

    def note(self, rows: Ints, column: Ints) -> None:
        """Take notice of rows that are new or have another number; `column` holds the number of every row."""
        self._loose.append(rows)
        self._loose_count += len(rows)
        if self._loose_count > _LOOSE:
            self._sort(column)

    def find(self, wanted: Ints, column: Ints) -> Ints:
        """Return the rows, ascending, whose number is wanted; `wanted` ascends."""
        wanted = wanted.astype(np.int32)  # of another type, all numbers would be converted first
        parts = [run.find(wanted) for run in self._runs] + self._loose
        rows = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        if self._loose or len(self._runs) > 1:
            return np.unique(rows[np.isin(column[rows], wanted)])
        rows.sort()
        return rows

    def _sort(self, column: Ints) -> None:
        rows = np.unique(np.concatenate(self._loose)).astype(np.int32)
        while self._runs and len(self._runs[-1].rows) < _LARGER * len(rows):
            rows = _together(self._runs.pop().rows, rows, column)
        rows = rows[np.argsort(column[rows], kind="stable")]
        self._runs.append(_Run(column[rows], rows))
        self._loose, self._loose_count = [], 0


def _together(sorted_rows: Ints, more: Ints, column: Ints) -> Ints:
    """Return the rows of both, once each; first those in their old order: a stable sort makes use of it."""
    again = np.zeros(len(column), dtype=np.bool_)
    again[more] = True
    return np.concatenate([sorted_rows[~again[sorted_rows]], more])
