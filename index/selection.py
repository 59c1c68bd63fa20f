"""Which rows of a gallery may be returned."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import faiss
import numpy as np

from index.roster import Ints, Mask

_LOOK = 65_536  # rows of the mask at once
_FEW = 0.1  # under that part of all rows, naming them is cheaper than asking a bitmap about each


@dataclass(frozen=True)
class Selection:
    """Some rows, and what is asked of them again and again: at a million rows, each pass over the mask is felt."""

    mask: Mask  # (rows,); it may be a view of the roster's, so it is not to be changed, nor kept beyond the lock
    count: int  # of the rows that are selected

    @classmethod
    def of(cls, mask: Mask) -> Self:
        """Select what a mask lets through."""
        return cls(mask, int(np.count_nonzero(mask)))

    @cached_property
    def rows(self) -> Ints:
        """The rows, ascending, (count,)."""
        return np.flatnonzero(self.mask)

    def next_rows(self, first: int, most: int) -> Ints:
        """Return the next `most` selected rows from `first` on, without looking further than needed."""
        found = [np.empty(0, dtype=np.int64)]
        while most > 0 and first < len(self.mask):
            found.append(np.flatnonzero(self.mask[first : first + _LOOK])[:most] + first)
            most -= len(found[-1])
            first += _LOOK
        return np.concatenate(found)

    @cached_property
    def bitmap(self) -> faiss.IDSelectorBitmap:
        """The mask as FAISS takes it."""
        return faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))  # type: ignore[call-arg, arg-type]

    @property
    def selector(self) -> faiss.IDSelector:
        """The selection as a comparison with every row takes it."""
        return faiss.IDSelectorArray(self.rows) if self.count < _FEW * len(self.mask) else self.bitmap


class Kept:
    """The rows of an index that were not removed from it."""

    def __init__(self) -> None:
        self._mask: Mask = np.empty(0, dtype=np.bool_)
        self._rows = 0
        self._all = Selection(self._mask, 0)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._all.count

    def grow(self, rows: int) -> None:
        """Keep every new row, so that there are `rows` in all."""
        if rows > len(self._mask):
            larger = np.empty(max(rows, 2 * len(self._mask), 1024), dtype=np.bool_)
            larger[: self._rows] = self._mask[: self._rows]
            self._mask = larger
        self._mask[self._rows : rows] = True
        self._all = Selection(self._mask[:rows], self.count + rows - self._rows)
        self._rows = rows

    def remove(self, rows: Ints) -> None:
        """Keep rows no longer."""
        self._mask[rows] = False
        self._all = Selection.of(self._mask[: self._rows])

    def among(self, allowed: Selection | None) -> Selection | None:
        """Return those of the selected rows, or of all, that are kept; None where that is every row there is."""
        if self.count == self._rows:
            return allowed
        return self._all if allowed is None else Selection.of(self._all.mask & allowed.mask)

    def every(self, rows: Ints) -> bool:
        """Tell whether all of these rows are kept; -1 is no row."""
        return bool((self._mask[rows] | (rows < 0)).all())
