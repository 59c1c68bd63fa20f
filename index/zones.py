"""The span of times in each block of rows, so that a window of time is not compared with every row."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
Mask = NDArray[np.bool_]
_BLOCK: Final = 4096  # rows
_MANY: Final = 1 / 8  # of the blocks; where more lie in part inside, comparing all rows in one go is cheaper
_LIMITS: Final = np.iinfo(np.int64)


class Zones:
    """Knows of each block a span that holds its times; rows are enrolled about in the order of their times.

    So most blocks lie inside a window or outside of it as a whole. A span never shrinks: a time that was replaced
    costs at most a comparison.
    """

    def __init__(self) -> None:
        self._least: Ints = np.empty(0, dtype=np.int64)  # (blocks,)
        self._greatest: Ints = np.empty(0, dtype=np.int64)

    def note(self, rows: Ints, times: Ints) -> None:
        """Take notice of rows that are new or have another time."""
        if len(rows) == 0:
            return
        blocks = rows // _BLOCK
        self._grow(int(blocks.max()) + 1)
        np.minimum.at(self._least, blocks, times)
        np.maximum.at(self._greatest, blocks, times)

    def within(self, times: Ints, first: int, end: int) -> Mask:
        """Tell which of all rows have a time in the half-open window [first, end)."""
        touched = (self._greatest >= first) & (self._least < end)
        inside = (self._least >= first) & (self._greatest < end)
        partly = np.flatnonzero(touched & ~inside)
        if len(partly) > _MANY * len(inside):
            return (times >= first) & (times < end)
        found = np.empty((len(inside), _BLOCK), dtype=np.bool_)
        found[:] = inside[:, np.newaxis]
        mask = found.reshape(-1)[: len(times)]
        for start in (partly * _BLOCK).tolist():
            block = times[start : start + _BLOCK]
            mask[start : start + _BLOCK] = (block >= first) & (block < end)
        return mask

    def _grow(self, blocks: int) -> None:
        more = blocks - len(self._least)
        if more > 0:
            self._least = np.append(self._least, np.full(more, _LIMITS.max))
            self._greatest = np.append(self._greatest, np.full(more, _LIMITS.min))
