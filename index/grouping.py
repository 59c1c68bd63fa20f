"""Rows by a number that they share, such as an identity's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
_LOOSE = 4096  # rows that a look-up goes through one by one, before they are sorted in
_LOOSE_PART = 1 / 64


class Grouping:
    """Finds the rows of a few numbers without looking at all rows.

    Most rows are sorted by number. Rows that came or changed since are loose: a look-up goes through them, until
    they are so many that they are sorted in.
    """

    def __init__(self) -> None:
        self._numbers = np.empty(0, dtype=np.int32)  # ascending, as they were when they were sorted
        self._rows = np.empty(0, dtype=np.int32)
        self._loose: list[Ints] = []
        self._loose_count = 0

    def note(self, rows: Ints, column: Ints) -> None:
        """Take notice of rows that are new or have another number; `column` holds the number of every row."""
        self._loose.append(rows)
        self._loose_count += len(rows)
        if self._loose_count > max(_LOOSE, _LOOSE_PART * len(column)):
            self._sort(column)

    def find(self, wanted: Ints, column: Ints) -> Ints:
        """Return the rows, ascending, whose number is wanted; `wanted` ascends."""
        wanted = wanted.astype(np.int32)  # of another type, all numbers would be converted first
        starts = np.searchsorted(self._numbers, wanted, side="left")
        counts = np.searchsorted(self._numbers, wanted, side="right") - starts
        places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        rows = np.concatenate([self._rows[places], *self._loose]).astype(np.int64)
        if self._loose:
            rows = rows[np.isin(column[rows], wanted)]
            return np.unique(rows)
        rows.sort()
        return rows

    def _sort(self, column: Ints) -> None:
        # the rows in their old order are nearly sorted, which a stable sort makes use of
        loose = np.zeros(len(column), dtype=np.bool_)
        loose[np.concatenate(self._loose)] = True
        rows = np.concatenate([self._rows[~loose[self._rows]], np.flatnonzero(loose).astype(np.int32)])
        rows = rows[np.argsort(column[rows], kind="stable")]
        self._rows, self._numbers = rows, column[rows]
        self._loose, self._loose_count = [], 0
