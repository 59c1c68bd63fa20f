"""The seam to vector engines, and the engine in the process: exact, with codes that shorten a long scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from index.codes import Codes
from index.memory import RowMemory
from index.records import Embedding, Storage
from index.roster import Ints
from index.selection import Kept, Selection
from index.threads import compute_alone

Scores = NDArray[np.float32]

BLOCK_ROWS = 4096
EXACT_NUMBERS = 2_000_000  # vector elements (4,000 × 512) that are compared one by one within 0.5 ms on one core
_CODES_A_ROW = 64  # that many are scanned in the time in which one row is compared
_NEVER = 2**31 - 1
_BLAS_QUERIES = 5  # from that many queries on, one matrix product is cheaper than a scan for each


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How a gallery is searched: every sample up to `exact_rows`, and above it by codes that hold `recall`."""

    recall: float = 0.99  # of the ten best identities
    storage: Storage = "float32"
    exact_rows: int | None = None  # None: as many as are compared within 0.5 ms


class VectorIndex(Protocol):
    """The vectors of one gallery and one model version, by row, counted from 0 in the order of `add`.

    A score of `search` may be off the exact inner product by `tolerance`; who ranks re-scores the candidates on
    `read`'s vectors.
    """

    dim: int
    tolerance: float
    lossless: bool  # whether `read` gives what was added, bit for bit
    exact_rows: int  # up to which comparing every row is fast enough
    codes: Codes | None  # what chooses candidates above; an engine that needs none never has one

    @property
    def bytes_per_row(self) -> int:
        """Memory for one row."""

    def __len__(self) -> int:
        """Count the rows, removed ones included."""

    def add(self, vectors: Embedding) -> None:
        """Append rows, (N, D)."""

    def remove(self, rows: Ints) -> None:
        """Overwrite rows; no search returns them again."""

    def search(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        """Return the `k` best rows of each query, best first, (Q, k) each, filled up with -1."""

    def compare(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        """Search exactly: compare every allowed row."""

    def read(self, rows: Ints) -> Embedding:
        """Return the stored vectors of rows, (N, D)."""

    def products(self, rows: Ints, query: Embedding) -> Scores:
        """Return the inner products of stored rows with a query, (D,) -> (N,)."""

    def stored(self, vectors: Embedding) -> Embedding:
        """Return vectors as `read` gives them once they are added."""

    def save(self, rows: Ints) -> Iterator[Embedding]:
        """Give rows in blocks; between two blocks the index may grow."""

    def load(self, blocks: Iterable[Embedding], rows: int = 0) -> None:
        """Take what `save` gave, into an empty index; `rows` is their number, where it is known."""


class FlatIndex:
    """Every vector in memory, as float32, compared by FAISS.

    While it has `codes`, a search over more than `exact_rows` lets them choose candidates and compares those; their
    setting says with which recall. A search over fewer rows, over so few of many that a scan of all codes would take
    longer, and any without codes, compares every allowed row.
    """

    kind: type[np.floating[Any]] = np.float32
    lossless = True

    def __init__(self, dim: int, exact_rows: int | None = None) -> None:
        self.dim = dim
        self.exact_rows = EXACT_NUMBERS // dim if exact_rows is None else exact_rows
        self.tolerance = dim * 2.0**-23  # the bound on the rounding of a float32 inner product of unit vectors
        self.codes: Codes | None = None
        self._memory = RowMemory(dim, self.kind)
        self._kept = Kept()

    @property
    def bytes_per_row(self) -> int:
        """Memory for one row."""
        return np.dtype(self.kind).itemsize * self.dim + (0 if self.codes is None else self.codes.bytes_per_row)

    def __len__(self) -> int:
        return len(self._memory)

    def add(self, vectors: Embedding) -> None:
        """Append rows, (N, D)."""
        self._memory.append(vectors)
        self._kept.grow(len(self))
        if self.codes is not None:
            self.codes.add(vectors)

    def remove(self, rows: Ints) -> None:
        """Overwrite rows with zeros, which score 0: a scan that meets one among its best is done again without."""
        self._memory.matrix[rows] = 0.0
        self._kept.remove(rows)

    def search(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        """Return the `k` best rows of each query, best first, (Q, k) each, filled up with -1."""
        compute_alone()
        among = self._kept.among(allowed)
        count = len(self) if among is None else among.count
        if self.codes is not None and count > max(self.exact_rows, len(self) // _CODES_A_ROW):
            found = self._shortlist(self.codes, queries, k, among)
            if found is not None:
                return found
        return self.compare(queries, k, allowed)

    def compare(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        """Search exactly: compare every allowed row."""
        if len(self) == 0:
            return _nothing(len(queries), k)
        if allowed is None:
            scores, rows = self._scan(queries, k, None)
            if self._kept.every(rows):
                return scores, rows
        return self._scan(queries, k, self._kept.among(allowed))

    def read(self, rows: Ints) -> Embedding:
        """Return the stored vectors of rows, (N, D)."""
        return np.asarray(self._memory.matrix[rows], dtype=np.float32)

    def products(self, rows: Ints, query: Embedding) -> Scores:
        """Return the inner products of stored rows with a query, (D,) -> (N,)."""
        found = np.empty(len(rows), dtype=np.float32)
        asked = np.ascontiguousarray(query, dtype=np.float32)
        wanted = np.ascontiguousarray(rows, dtype=np.int64)
        compute_alone()
        # read where they lie: gathered first, they would be written once more and given to BLAS, whose threads
        # wait for each other
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
            faiss.swig_ptr(found),
            faiss.swig_ptr(asked),
            faiss.swig_ptr(self._memory.matrix),
            faiss.swig_ptr(wanted),
            self.dim,
            1,
            len(wanted),
        )
        return found

    def stored(self, vectors: Embedding) -> Embedding:
        """Return vectors as `read` gives them once they are added."""
        return np.asarray(vectors.astype(self.kind), dtype=np.float32)

    def save(self, rows: Ints) -> Iterator[Embedding]:
        """Give rows in blocks; between two blocks the index may grow."""
        for start in range(0, len(rows), BLOCK_ROWS):
            yield self.read(rows[start : start + BLOCK_ROWS])

    def load(self, blocks: Iterable[Embedding], rows: int = 0) -> None:
        """Take what `save` gave, into an empty index; `rows` is their number, where it is known."""
        self._memory.reserve(rows)
        for block in blocks:
            self.add(block)

    def _shortlist(
        self, codes: Codes, queries: Embedding, k: int, allowed: Selection | None
    ) -> tuple[Scores, Ints] | None:
        """Search by codes and compare what they found; None where that were fewer than `k` rows."""
        left = len(self) if allowed is None else allowed.count
        depth = min(left, max(codes.depth, 2 * k))
        part = min(1.0, codes.setting.part * len(self) / left)  # as many allowed rows are met as without a filter
        scores, rows = _nothing(len(queries), k)
        for place, near in enumerate(codes.search(queries, depth, allowed, part)):
            candidates = near[near >= 0]
            if len(candidates) < min(k, left):
                return None
            products = self.products(candidates, queries[place])
            best = highest(products, k)
            scores[place, : len(best)] = products[best]
            rows[place, : len(best)] = candidates[best]
        return scores, rows

    def _scan(self, queries: Embedding, k: int, among: Selection | None) -> tuple[Scores, Ints]:
        # FAISS would choose by the number of rows: a scan for each query reads them once a query, a matrix
        # product (BLAS) once for all, but is slower for a few. The choice is global; a race only costs time.
        faiss.cvar.distance_compute_blas_threshold = 0 if len(queries) >= _BLAS_QUERIES else _NEVER
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        scores, rows = _nothing(len(queries), k)
        faiss.knn_inner_product(  # what IndexFlatIP calls, on memory of our own
            faiss.swig_ptr(asked),
            faiss.swig_ptr(self._memory.matrix),
            self.dim,
            len(asked),
            len(self),
            k,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
            None if among is None else among.selector,
        )
        return scores, rows


class HalfIndex(FlatIndex):
    """Every vector as float16: half the memory, a rounding of up to 0.0005 in a score, and a slower full scan."""

    kind = np.float16
    lossless = False

    def __init__(self, dim: int, exact_rows: int | None = None) -> None:
        super().__init__(dim, exact_rows)
        self.tolerance += 2.0**-11  # each number is off by that part of it at most

    def products(self, rows: Ints, query: Embedding) -> Scores:
        """Return the inner products of stored rows with a query, (D,) -> (N,)."""
        found: Scores = self.read(rows) @ query
        return found

    def _scan(self, queries: Embedding, k: int, among: Selection | None) -> tuple[Scores, Ints]:
        allowed = np.arange(len(self)) if among is None else among.rows
        scores, rows = _nothing(len(queries), k)
        for start in range(0, len(allowed), BLOCK_ROWS):
            block = allowed[start : start + BLOCK_ROWS]
            products = queries @ self.read(block).T
            for place in range(len(queries)):
                together = np.concatenate([scores[place], products[place]])
                best = highest(together, k)
                scores[place], rows[place] = together[best], np.concatenate([rows[place], block])[best]
        return scores, rows


ENGINES = {"float32": FlatIndex, "float16": HalfIndex}


def highest(scores: Scores, k: int) -> Ints:
    """Return the places of the `k` highest scores, highest first; of equal ones the first."""
    best = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
    return best[np.argsort(-scores[best], kind="stable")]


def _nothing(queries: int, k: int) -> tuple[Scores, Ints]:
    """Return an answer without rows."""
    return np.full((queries, k), -np.inf, dtype=np.float32), np.full((queries, k), -1, dtype=np.int64)
