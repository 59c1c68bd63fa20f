"""The seam to vector engines, and the exact engine in the process."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from index.records import Embedding
from index.roster import Ints, Mask

Scores = NDArray[np.float32]

_BLOCK_ROWS = 4096
_FEW = 0.1  # under that part of all rows, gathering them is cheaper than asking a bitmap about each
_NEVER = 2**31 - 1
_BLAS_QUERIES = 5  # from that many queries on, one matrix product is cheaper than a scan for each


class VectorIndex(Protocol):
    """The vectors of one gallery and one model version, by row.

    Rows are counted from 0 in the order of `add` and keep their number until `compact`. A score of `search`
    may be off the exact inner product by `tolerance`; who ranks re-scores the candidates on `read`'s vectors.
    """

    dim: int
    tolerance: float
    applied_seq: int  # the last change of the catalogue that is in

    def __len__(self) -> int:
        """Count the rows, removed ones included."""

    def add(self, vectors: Embedding) -> None:
        """Append rows, (N, D)."""

    def remove(self, rows: Ints) -> None:
        """Overwrite rows; no search returns them again."""

    def search(self, queries: Embedding, k: int, allowed: Mask | None = None) -> tuple[Scores, Ints]:
        """Return the `k` best rows of each query, best first, (Q, k) each, filled up with -1; `allowed` is (rows,)."""

    def read(self, rows: Ints) -> Embedding:
        """Return the stored vectors of rows, (N, D)."""

    def compact(self, keep: Ints) -> None:
        """Keep those rows only, and number them anew."""

    def save(self, rows: Ints) -> Iterator[Embedding]:
        """Give rows in blocks; between two blocks the index may grow."""

    def load(self, blocks: Iterable[Embedding]) -> None:
        """Take what `save` gave, into an empty index."""


class FlatIndex:
    """Exact search with FAISS: every vector as float32, every allowed row compared."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.tolerance = dim * 2.0**-23  # the bound on the rounding of a float32 inner product of unit vectors
        self.applied_seq = 0
        self._flat = faiss.IndexFlatIP(dim)
        self._removed = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def add(self, vectors: Embedding) -> None:
        """Append rows, (N, D)."""
        self._flat.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def remove(self, rows: Ints) -> None:
        """Overwrite rows with zeros, which score 0: a scan that meets one among its best is done again without."""
        self._vectors()[rows] = 0.0
        self._removed = np.union1d(self._removed, rows)

    def search(self, queries: Embedding, k: int, allowed: Mask | None = None) -> tuple[Scores, Ints]:
        """Return the `k` best rows of each query, best first, (Q, k) each, filled up with -1."""
        if len(self) == 0:
            shape = (len(queries), k)
            return np.full(shape, -np.inf, dtype=np.float32), np.full(shape, -1, dtype=np.int64)
        if allowed is None:
            scores, rows = self._scan(queries, k, None)
            if len(self._removed) == 0 or not np.isin(rows, self._removed).any():
                return scores, rows
        return self._scan(queries, k, self._selector(allowed))

    def read(self, rows: Ints) -> Embedding:
        """Return the stored vectors of rows, (N, D)."""
        return self._vectors()[rows]

    def compact(self, keep: Ints) -> None:
        """Keep those rows only, and number them anew."""
        flat = faiss.IndexFlatIP(self.dim)
        for start in range(0, len(keep), _BLOCK_ROWS):
            flat.add(self.read(keep[start : start + _BLOCK_ROWS]))
        self._flat = flat
        self._removed = np.empty(0, dtype=np.int64)

    def save(self, rows: Ints) -> Iterator[Embedding]:
        """Give rows in blocks; between two blocks the index may grow."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield self.read(rows[start : start + _BLOCK_ROWS])

    def load(self, blocks: Iterable[Embedding]) -> None:
        """Take what `save` gave, into an empty index."""
        for block in blocks:
            self.add(block)

    def _vectors(self) -> Embedding:
        """Return FAISS's own memory as an array, (rows, D); `add` may move it."""
        if len(self) == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        memory: Embedding = faiss.rev_swig_ptr(self._flat.get_xb(), len(self) * self.dim)
        return memory.reshape(len(self), self.dim)

    def _scan(self, queries: Embedding, k: int, selector: "faiss.IDSelector | None") -> tuple[Scores, Ints]:
        # One thread for each search: a service has many at once, and OpenMP's threads, which spin while they
        # wait for each other, cost ten times the scan itself on a busy machine.
        faiss.omp_set_num_threads(1)
        # FAISS would choose by the number of rows: a scan for each query reads them once a query, a matrix
        # product (BLAS) once for all, but is slower for a few. The choice is global; a race only costs time.
        faiss.cvar.distance_compute_blas_threshold = 0 if len(queries) >= _BLAS_QUERIES else _NEVER
        parameters = None if selector is None else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._flat.search(np.ascontiguousarray(queries), k, params=parameters)
        return scores, rows

    def _selector(self, allowed: Mask | None) -> faiss.IDSelector:
        mask = np.ones(len(self), dtype=np.bool_) if allowed is None else allowed.copy()
        mask[self._removed] = False
        if np.count_nonzero(mask) < _FEW * len(mask):
            return faiss.IDSelectorArray(np.flatnonzero(mask))
        bits = np.packbits(mask, bitorder="little")
        return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # FAISS wraps it in Python
