"""One suite over all engines; the plain one shows what an engine is to do."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from index.codes import Codes, Setting
from index.memory import RowMemory
from index.records import Embedding
from index.roster import Ints, Mask
from index.selection import Selection
from index.vectors import FlatIndex, HalfIndex, Scores, VectorIndex
from tests.index.people import vectors

DIM = 8


class PlainIndex:
    """Every inner product in float64, sorted."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.tolerance = 1e-6
        self.exact_rows = 0
        self.lossless = True
        self.codes: Codes | None = None
        self._rows = np.empty((0, dim), dtype=np.float32)
        self._live: Mask = np.empty(0, dtype=np.bool_)

    @property
    def bytes_per_row(self) -> int:
        return 4 * self.dim

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, vectors: Embedding) -> None:
        self._rows = np.concatenate([self._rows, vectors])
        self._live = np.concatenate([self._live, np.ones(len(vectors), dtype=np.bool_)])

    def remove(self, rows: Ints) -> None:
        self._rows[rows] = 0
        self._live[rows] = False

    def search(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        return self.compare(queries, k, allowed)

    def compare(self, queries: Embedding, k: int, allowed: Selection | None = None) -> tuple[Scores, Ints]:
        mask = self._live if allowed is None else self._live & allowed.mask
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        for place, query in enumerate(queries):
            exact = self._rows.astype(np.float64) @ query
            best = [row for row in np.argsort(-exact, kind="stable") if mask[row]][:k]
            rows[place, : len(best)] = best
            scores[place, : len(best)] = exact[best]
        return scores, rows

    def read(self, rows: Ints) -> Embedding:
        return self._rows[rows]

    def products(self, rows: Ints, query: Embedding) -> Scores:
        return np.array([float(row.astype(np.float64) @ query) for row in self._rows[rows]], dtype=np.float32)

    def stored(self, vectors: Embedding) -> Embedding:
        return vectors

    def save(self, rows: Ints) -> Iterator[Embedding]:
        yield self._rows[rows]

    def load(self, blocks: Iterable[Embedding], rows: int = 0) -> None:
        for block in blocks:
            self.add(block)


def coded(dim: int) -> FlatIndex:
    """An index whose codes look wide enough to miss nothing among so few rows."""
    index = FlatIndex(dim, exact_rows=15)
    index.codes = Codes(Codes.train(vectors(4000, 9, dim), 4000).content, Setting(1000))
    return index


@pytest.fixture(params=[PlainIndex, FlatIndex, HalfIndex, coded])
def engine(request: pytest.FixtureRequest) -> Callable[[int], VectorIndex]:
    made: Callable[[int], VectorIndex] = request.param
    return made


@pytest.fixture
def index(engine: Callable[[int], VectorIndex]) -> VectorIndex:
    return engine(DIM)


def filled(index: VectorIndex, count: int, seed: int = 0) -> Embedding:
    rows = vectors(count, seed, DIM)
    index.add(rows)
    return index.stored(rows)


def rows_of(answer: tuple[Scores, Ints]) -> list[list[int]]:
    return [[row for row in rows if row >= 0] for rows in answer[1].tolist()]


def best(rows: Embedding, query: Embedding, among: Iterable[int], k: int) -> list[int]:
    return sorted(among, key=lambda row: -float(rows[row].astype(np.float64) @ query))[:k]


def test_an_empty_index_answers_nothing(index: VectorIndex) -> None:
    scores, rows = index.search(vectors(2, 1, DIM), 3)
    assert scores.shape == rows.shape == (2, 3)
    assert (rows == -1).all()


@pytest.mark.parametrize("queries", [1, 4, 5, 9])
def test_the_best_rows_come_first(index: VectorIndex, queries: int) -> None:
    rows = filled(index, 300)
    asked = vectors(queries, 7, DIM)
    answer = index.search(asked, 10)
    assert rows_of(answer) == [best(rows, query, range(300), 10) for query in asked]
    expected = np.take_along_axis(asked @ rows.T, answer[1], axis=1)
    np.testing.assert_allclose(answer[0], expected, atol=index.tolerance)


def test_more_than_there_is_is_filled_up(index: VectorIndex) -> None:
    filled(index, 3)
    assert sorted(rows_of(index.search(vectors(1, 7, DIM), 5))[0]) == [0, 1, 2]


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("queries", [1, 6])
def test_a_mask_costs_no_recall(index: VectorIndex, part: float, queries: int) -> None:
    rows = filled(index, 500)
    allowed = np.random.default_rng(3).random(500) < part
    asked = vectors(queries, 7, DIM)
    among = np.flatnonzero(allowed).tolist()
    assert rows_of(index.search(asked, 20, Selection.of(allowed))) == [best(rows, query, among, 20) for query in asked]


def test_removed_rows_never_come_back(index: VectorIndex) -> None:
    rows = filled(index, 50)
    gone = np.array([3, 7, 49])
    index.remove(gone)
    left = [row for row in range(50) if row not in gone.tolist()]
    asked = rows[[3, 10]]
    assert rows_of(index.search(asked, 50)) == [best(rows, query, left, 50) for query in asked]
    allowed = np.zeros(50, dtype=np.bool_)
    allowed[[3, 4]] = True
    assert rows_of(index.search(asked, 2, Selection.of(allowed))) == [[4], [4]]
    assert not index.read(gone).any()


def test_every_row_can_be_removed(index: VectorIndex) -> None:
    filled(index, 5)
    index.remove(np.arange(5))
    assert rows_of(index.search(vectors(1, 2, DIM), 5)) == [[]]


def test_rows_read_back_as_they_are_kept(index: VectorIndex) -> None:
    rows = filled(index, 20)
    wanted = np.array([19, 0, 5])
    assert index.read(wanted).tobytes() == rows[wanted].tobytes()


def test_products_are_those_of_the_rows_that_are_kept(index: VectorIndex) -> None:
    rows = filled(index, 300)
    wanted = np.array([299, 0, 5, 5], dtype=np.int32)
    (query,) = vectors(1, 7, DIM)
    expected = [float(row.astype(np.float64) @ query) for row in rows[wanted]]
    np.testing.assert_allclose(index.products(wanted, query), expected, atol=DIM * 2.0**-23)
    assert len(index.products(wanted[:0], query)) == 0


def test_what_was_saved_loads_again(index: VectorIndex, engine: Callable[[int], VectorIndex]) -> None:
    rows = filled(index, 9000)
    kept = np.arange(0, 9000, 2)
    other = engine(DIM)
    other.load([block.copy() for block in index.save(kept)])
    assert other.read(np.arange(len(kept))).tobytes() == rows[kept].tobytes()


@pytest.mark.parametrize(("kind", "lossless"), [(FlatIndex, True), (HalfIndex, False)])
def test_an_engine_says_what_it_rounds(kind: type[FlatIndex], lossless: bool) -> None:
    index, rows = kind(DIM), vectors(500, 1, DIM)
    index.add(rows)
    assert index.lossless == lossless == (index.stored(rows).tobytes() == rows.tobytes())
    asked = vectors(20, 2, DIM)
    assert np.abs(asked @ index.stored(rows).T - asked @ rows.T).max() <= index.tolerance
    assert index.bytes_per_row == DIM * (4 if lossless else 2)


def test_codes_choose_candidates_that_are_compared_exactly() -> None:
    index = coded(32)
    rows = vectors(20_000, 1, 32)
    index.add(rows)
    asked = vectors(6, 2, 32)
    scores, found = index.search(asked, 10)
    exact = index.compare(asked, 10)[1]
    np.testing.assert_allclose(scores, np.take_along_axis(asked @ rows.T, found, axis=1), atol=index.tolerance)
    assert np.isin(found, exact).mean() > 0.9  # 1,000 of 20,000 random vectors hold most of the best
    assert not np.array_equal(index.codes.search(asked, 10, None, 1.0), exact)  # type: ignore[union-attr]


def test_codes_of_too_few_candidates_are_not_relied_on() -> None:
    index = coded(32)
    rows = vectors(500, 1, 32)
    index.add(rows)
    asked = vectors(2, 2, 32)
    index.codes = Codes(index.codes.content, Setting(8))  # type: ignore[union-attr]
    index.codes.add(rows[:5])
    assert rows_of(index.search(asked, 50)) == [best(rows, query, range(500), 50) for query in asked]


def test_a_few_of_many_rows_are_compared_rather_than_all_codes_scanned() -> None:
    index = coded(32)
    rows, asked = vectors(6400, 1, 32), vectors(6, 2, 32)
    index.codes = Codes(index.codes.content, Setting(1))  # type: ignore[union-attr]
    index.add(rows)
    few, more = np.arange(0, 6400, 64), np.arange(0, 6400, 32)

    def found(among: Ints) -> list[list[int]]:
        mask = np.zeros(6400, dtype=np.bool_)
        mask[among] = True
        return rows_of(index.search(asked, 4, Selection.of(mask)))

    assert found(few) == [best(rows, query, few.tolist(), 4) for query in asked]
    assert found(more) != [best(rows, query, more.tolist(), 4) for query in asked]  # codes look at eight of them


def test_a_gallery_that_grows_has_more_candidates_compared() -> None:
    codes = coded(32).codes
    assert codes is not None
    rows = vectors(400, 1, 32)
    codes.setting = Setting(depth=10, rows=100)
    depths = []
    for start in range(0, 400, 100):
        codes.add(rows[start : start + 100])
        depths.append(codes.depth)
    assert depths == [10, 20, 30, 40]
    codes.setting = Setting(depth=10)
    assert codes.depth == 10


def test_codes_stay_with_their_rows_while_others_come_and_go() -> None:
    random = np.random.default_rng(0)
    index, plain = coded(32), PlainIndex(32)
    for step in range(60):
        rows = vectors(int(random.integers(1, 50)), 100 + step, 32)
        index.add(rows)
        plain.add(rows)
        gone = np.unique(random.integers(len(plain), size=5))
        index.remove(gone)
        plain.remove(gone)
    live = np.flatnonzero(plain._live)
    asked = plain.read(live)
    index.codes.setting = Setting(30)  # type: ignore[union-attr]  # a row whose code is another's is not among them
    assert (index.search(asked, 1)[1][:, 0] == live).mean() > 0.99


@pytest.mark.parametrize(
    "compute",
    [
        lambda index: Codes.train(index.read(np.arange(len(index))), 400),
        lambda index: index.add(vectors(20, 1, DIM)),
        lambda index: index.search(vectors(1, 2, DIM), 5),
        lambda index: index.products(np.arange(3), vectors(1, 3, DIM)[0]),
    ],
    ids=["learning", "adding", "searching", "comparing"],
)
def test_what_a_service_does_is_computed_on_the_calling_thread(compute: Callable[[FlatIndex], object]) -> None:
    index = coded(DIM)
    index.add(vectors(700, 1, DIM))

    def threads() -> int:
        faiss.omp_set_num_threads(3)
        compute(index)
        return faiss.omp_get_max_threads()

    with ThreadPoolExecutor(1) as thread:  # the number is a thread's own
        assert thread.submit(threads).result() == 1


def test_memory_grows_without_moving_what_is_read() -> None:
    memory = RowMemory(4)
    rows = vectors(5000, 1, 4)
    for start in range(0, 5000, 7):
        memory.append(rows[start : start + 7])
    held = memory.matrix  # a view that somebody still has keeps the pages in place: they are copied then
    memory.append(rows)
    assert held.tobytes() == rows.tobytes()
    assert memory.matrix.tobytes() == np.concatenate([rows, rows]).tobytes()
