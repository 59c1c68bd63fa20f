"""Short codes of vectors: they choose candidates in a large gallery, which are then compared exactly.

A vector is projected on its 128 strongest directions (PCA, with a random rotation so that all parts carry alike),
and each pair of numbers becomes 4 bits: product quantisation, 32 bytes instead of 2,048. Their scan stays in
registers: André, Kermarrec, Le Scouarnec. "Quicker ADC", TPAMI 2021; FAISS calls it fast-scan.
"""

from dataclasses import dataclass

import faiss
import numpy as np

from index.records import Embedding
from index.roster import Ints
from index.selection import Selection
from index.threads import compute_alone

DIRECTIONS = 128
ROWS_PER_LIST = 8192  # of a divided scan
DIVIDED_FROM = 4_000_000  # rows; below, all codes are scanned, and no list can be missed
DEPTHS = (512, 1024, 2048, 4096)
_ENROLLED_AT_ONCE = 1024  # rows at most
_LEARNT_FROM = 16_384  # rows; from four times as many the codes are no better
_LEARNT_A_LIST = 64
PARTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the lists


@dataclass(frozen=True, slots=True)
class Setting:
    """How wide to look, and the recall that was measured with it."""

    depth: int  # candidates that are compared exactly
    part: float = 1.0  # of the lists
    recall: float = 0.0  # of the ten best identities
    rows: int = 0  # that the gallery had then


class Codes:
    """The codes of an index's rows, by row.

    None is ever taken out: FAISS 1.15's `remove_ids` mixes up the codes of those that stay. Removed rows are to be
    left out of what is allowed.
    """

    def __init__(self, content: bytes, setting: Setting) -> None:
        self.content = content  # what was learnt, without any row
        self.setting = setting
        self._index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
        self._lists: int = faiss.extract_index_ivf(self._index).nlist
        self._rows = 0

    @staticmethod
    def training_rows(rows: int) -> int:
        """How many vectors to learn from for a gallery of about `rows`."""
        return max(_LEARNT_FROM, _LEARNT_A_LIST * _lists(rows))

    @classmethod
    def train(cls, sample: Embedding, rows: int) -> "Codes":
        """Learn the code from some vectors, (N, D), for a gallery of about `rows`."""
        compute_alone()
        dim = sample.shape[1]
        directions = min(DIRECTIONS, dim - dim % 2)
        spec = f"PCAR{directions},IVF{_lists(rows)},PQ{directions // 2}x4fs"
        index = faiss.index_factory(dim, spec, faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(sample))
        return cls(faiss.serialize_index(index).tobytes(), Setting(DEPTHS[-1]))

    def __len__(self) -> int:
        return self._rows

    @property
    def depth(self) -> int:
        """How many candidates hold the measured recall: the more rows came since, the more lie before a neighbour."""
        grown = len(self) / self.setting.rows if self.setting.rows else 1.0
        return round(self.setting.depth * max(1.0, grown))

    @property
    def divided(self) -> bool:
        """Whether there are lists, of which a part may be scanned."""
        return self._lists > 1

    @property
    def bytes_per_row(self) -> int:
        """Memory for one row, its number included."""
        return int(faiss.extract_index_ivf(self._index).code_size) + 8

    def add(self, vectors: Embedding) -> None:
        """Append rows, (N, D)."""
        if len(vectors) <= _ENROLLED_AT_ONCE:  # what is loaded comes in larger blocks, when nothing else is done yet
            compute_alone()
        numbers = np.arange(self._rows, self._rows + len(vectors))
        self._index.add_with_ids(np.ascontiguousarray(vectors), numbers)
        self._rows += len(vectors)

    def search(self, queries: Embedding, depth: int, allowed: Selection | None, part: float) -> Ints:
        """Return the `depth` rows of each query whose codes are nearest, (Q, depth), filled up with -1."""
        selector = None if allowed is None else allowed.bitmap
        lists = faiss.SearchParametersIVF(  # type: ignore[call-arg]
            sel=selector, nprobe=max(1, round(part * self._lists))
        )
        parameters = faiss.SearchParametersPreTransform(index_params=lists)  # type: ignore[call-arg]
        rows: Ints = self._index.search(np.ascontiguousarray(queries), depth, params=parameters)[1]
        return rows


def _lists(rows: int) -> int:
    return rows // ROWS_PER_LIST if rows >= DIVIDED_FROM else 1
