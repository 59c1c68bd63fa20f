import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.search import SearchCall, SharedSearch
from app.workers import Workers
from index.errors import GalleryNotFound
from index.gallery import GalleryStore
from index.records import Ranking, SampleFilter


class CountingStore:
    """Answers each embedding with its first value as the number searched."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def search(self, gallery: str, queries: NDArray[np.float32], **rest: object) -> list[Ranking]:
        self.sizes.append(len(queries))
        if gallery == "none":
            raise GalleryNotFound("expected a gallery, found none")
        return [Ranking((), int(row[0])) for row in queries]


def call(gallery: str = "default", camera: str = "c1", top_k: int = 10) -> SearchCall:
    where = SampleFilter(cameras=frozenset([camera]), attributes={"a": [1]})
    return SearchCall(gallery, "tiny@1", where, top_k, 3)


def rows(*values: int) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)[:, None]


def run(asked: list[tuple[SearchCall, NDArray[np.float32]]], cancel: int | None = None) -> tuple[list[Any], list[int]]:
    store = CountingStore()

    async def scenario() -> list[Any]:
        workers = Workers("search", 1, 8)
        gathering = SharedSearch(workers, cast("GalleryStore", store))
        tasks = [asyncio.create_task(gathering.search(each, embeddings)) for each, embeddings in asked]
        await asyncio.sleep(0)
        if cancel is not None:
            tasks[cancel].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        workers.close()
        return [
            [ranking.searched for ranking in answer] if isinstance(answer, list) else type(answer) for answer in answers
        ]

    return asyncio.run(scenario()), store.sizes


def test_like_searches_are_one_call_and_each_gets_its_own() -> None:
    assert run([(call(), rows(1)), (call(), rows(2, 3)), (call(), rows(4))]) == ([[1], [2, 3], [4]], [4])


def test_unlike_searches_are_apart() -> None:
    asked = [(call(), rows(1)), (call(camera="c2"), rows(2)), (call(top_k=5), rows(3)), (call(), rows(4))]
    answers, sizes = run(asked)
    assert answers == [[1], [2], [3], [4]]
    assert sorted(sizes) == [1, 1, 2]


def test_a_failing_search_is_told_to_all_of_it_and_to_no_other() -> None:
    asked = [(call("none"), rows(1)), (call("none"), rows(2)), (call(), rows(3))]
    assert run(asked)[0] == [GalleryNotFound, GalleryNotFound, [3]]


def test_who_leaves_takes_no_answer_along() -> None:
    asked = [(call(), rows(1)), (call(), rows(2)), (call(), rows(3))]
    assert run(asked, cancel=0)[0] == [asyncio.CancelledError, [2], [3]]


def test_a_later_turn_is_another_call() -> None:
    store = CountingStore()

    async def scenario() -> None:
        workers = Workers("search", 1, 8)
        gathering = SharedSearch(workers, cast("GalleryStore", store))
        for value in (1, 2):
            assert [each.searched for each in await gathering.search(call(), rows(value))] == [value]
        workers.close()

    coroutine: Coroutine[Any, Any, None] = scenario()
    asyncio.run(coroutine)
    assert store.sizes == [1, 1]


def test_keys_tell_booleans_from_numbers() -> None:
    one, true = (SearchCall("g", "v", SampleFilter(attributes={"a": each}), 1, 1) for each in (1, True))
    assert one.key != true.key
