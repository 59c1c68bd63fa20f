import asyncio
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.batcher import Batcher, Embedded
from app.errors import EmbeddingFailed, Overloaded
from model.runtime import NICE

Images = NDArray[np.uint8]


class SlowEmbedder:
    """Embeds a picture as its first value; waits for `go` and fails on the value 255."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[int]] = []
        self.alone: list[bool] = []

    def embed(self, images: Images, *, alone: bool = False) -> NDArray[np.float32]:
        self.begun.set()
        assert self.go.wait(10)
        self.alone.append(alone)
        values = images[:, 0, 0, 0]
        self.batches.append(values.tolist())
        if 255 in values:
            raise RuntimeError("planted")
        return values[:, None].astype(np.float32)


def pictures(*values: int) -> Images:
    return np.asarray(values, dtype=np.uint8)[:, None, None, None]


class World:
    def __init__(
        self,
        max_queue: int = 8,
        max_wait: float = 0.0,
        max_batch: int = 4,
        few_sizes: bool = False,
        sides: int = 1,
    ) -> None:
        self.observed: list[int] = []
        self.died = 0
        self.batcher = Batcher(
            max_batch=max_batch,
            max_queue=max_queue,
            max_wait=max_wait,
            observe=lambda size, _: self.observed.append(size),
            died=self.note_death,
            few_sizes=few_sizes,
            sides=sides,
        )
        self.batcher.start()
        self.embedder = SlowEmbedder()

    def note_death(self) -> None:
        self.died += 1

    def ask(self, *values: int, bulk: bool = False) -> asyncio.Task[Embedded]:
        work: Coroutine[Any, Any, Embedded] = self.batcher.embed(self.embedder, pictures(*values), bulk=bulk)
        return asyncio.create_task(work)

    async def block(self) -> asyncio.Task[Embedded]:
        """Occupy the worker with a picture of value 0 until `go`."""
        task = self.ask(0)
        await asyncio.to_thread(self.embedder.begun.wait, 10)
        return task

    async def stop(self) -> None:
        self.embedder.go.set()
        await asyncio.to_thread(self.batcher.stop)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def values(embedded: Embedded) -> list[int]:
    return [int(value) for value in embedded.vectors[:, 0]]


def test_what_waits_is_embedded_together_and_answered_apart() -> None:
    async def scenario() -> None:
        world = World()
        tasks = [await world.block(), world.ask(1), world.ask(2, 3), world.ask(4)]
        await asyncio.sleep(0)
        world.embedder.go.set()
        assert [values(each) for each in await asyncio.gather(*tasks)] == [[0], [1], [2, 3], [4]]
        assert world.embedder.batches == [[0], [1, 2, 3, 4]]
        assert world.observed == [1, 4]
        await world.stop()

    run(scenario())


def test_the_worker_gives_way_to_what_answers() -> None:
    async def scenario() -> None:
        world = World()
        task = await world.block()
        [worker] = [thread.native_id for thread in threading.enumerate() if thread.name == "embedding"]
        assert worker is not None
        assert os.getpriority(os.PRIO_PROCESS, worker) == NICE
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < NICE
        await world.stop()
        await task

    run(scenario())


def test_a_large_request_is_split_and_joined_in_order() -> None:
    async def scenario() -> None:
        world = World()
        world.embedder.go.set()
        assert values(await world.ask(*range(8))) == list(range(8))
        assert all(len(batch) <= 4 for batch in world.embedder.batches)
        await world.stop()

    run(scenario())


def test_a_request_over_the_whole_bound_is_taken_when_nothing_waits() -> None:
    async def scenario() -> None:
        world = World()
        world.embedder.go.set()
        assert values(await world.ask(*range(40))) == list(range(40))
        await world.stop()

    run(scenario())


def test_over_the_bound_the_answer_is_immediate() -> None:
    async def scenario() -> None:
        world = World()
        first = await world.block()
        waiting = [world.ask(each) for each in range(1, 9)]
        await asyncio.sleep(0)
        assert world.batcher.depth == 8
        with pytest.raises(Overloaded, match="at most 8"):
            await world.ask(9)
        world.embedder.go.set()
        await asyncio.gather(first, *waiting)
        assert world.batcher.depth == 0
        await world.stop()

    run(scenario())


def test_a_request_that_the_model_fails_on_fails_alone() -> None:
    async def scenario() -> None:
        world = World()
        tasks = [await world.block(), world.ask(1), world.ask(255), world.ask(2, 3)]
        await asyncio.sleep(0)
        world.embedder.go.set()
        first, second, planted, third = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(planted, EmbeddingFailed)
        assert isinstance(planted.__cause__, RuntimeError)
        for answer, expected in ((first, [0]), (second, [1]), (third, [2, 3])):
            assert isinstance(answer, Embedded)
            assert values(answer) == expected
        assert values(await world.ask(7)) == [7]
        await world.stop()

    run(scenario())


def test_a_large_request_fails_once_and_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        world = World()
        world.embedder.go.set()
        with pytest.raises(EmbeddingFailed):
            await world.ask(255, 1, 2, 3, 4, 5, 6, 7)
        assert world.batcher.depth == 0
        assert values(await world.ask(8)) == [8]
        await world.stop()

    run(scenario())


def test_a_cancelled_request_frees_its_places() -> None:
    async def scenario() -> None:
        world = World()
        first = await world.block()
        gone = world.ask(1, 2, 3)
        kept = world.ask(4)
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert world.batcher.depth == 1
        world.embedder.go.set()
        assert values(await kept) == [4]
        await first
        assert world.embedder.batches == [[0], [4]]
        await world.stop()

    run(scenario())


def test_queries_go_before_bulk_work_and_bulk_work_goes_on() -> None:
    async def scenario() -> None:
        world = World(max_queue=100)
        first = await world.block()
        bulk = world.ask(101, 102, 103, 104, bulk=True)
        queries = world.ask(1, 2, 3, 4, 5, 6)
        await asyncio.sleep(0)
        world.embedder.go.set()
        assert values(await queries) == [1, 2, 3, 4, 5, 6]
        assert values(await bulk) == [101, 102, 103, 104]
        assert world.embedder.batches == [[0], [1, 2, 3, 101], [4, 5, 6, 102], [103, 104]]
        await first
        await world.stop()

    run(scenario())


def test_bulk_work_goes_on_where_a_batch_is_one_picture() -> None:
    async def scenario() -> None:
        world = World(max_queue=100, max_batch=1)
        first = await world.block()
        bulk, queries = world.ask(101, 102, bulk=True), world.ask(1, 2, 3, 4, 5, 6, 7, 8)
        await asyncio.sleep(0)
        world.embedder.go.set()
        await asyncio.gather(first, bulk, queries)
        assert world.embedder.batches == [[0], [1], [2], [3], [101], [4], [5], [6], [102], [7], [8]]
        await world.stop()

    run(scenario())


def test_two_models_never_share_a_batch() -> None:
    async def scenario() -> None:
        world = World()
        other = SlowEmbedder()
        other.go.set()
        first = await world.block()
        tasks = [world.ask(1), asyncio.create_task(world.batcher.embed(other, pictures(2))), world.ask(3)]
        await asyncio.sleep(0)
        world.embedder.go.set()
        assert [values(each) for each in await asyncio.gather(*tasks)] == [[1], [2], [3]]
        assert other.batches == [[2]]
        await first
        await world.stop()

    run(scenario())


def test_waiting_for_company_fills_a_batch() -> None:
    async def scenario() -> None:
        world = World(max_wait=5.0)
        world.embedder.go.set()
        tasks = [world.ask(each) for each in (1, 2, 3, 4)]
        await asyncio.gather(*tasks)  # far sooner than five seconds, for the batch is full
        assert world.embedder.batches == [[1, 2, 3, 4]]
        await world.stop()

    run(scenario())


def test_stop_answers_what_waits_and_takes_nothing_more() -> None:
    async def scenario() -> None:
        world = World()
        tasks = [await world.block(), world.ask(1)]
        await asyncio.sleep(0)
        await world.stop()
        assert [values(each) for each in await asyncio.gather(*tasks)] == [[0], [1]]
        with pytest.raises(Overloaded, match="stopping"):
            await world.ask(2)

    run(scenario())


class DyingEmbedder(SlowEmbedder):
    """Ends the thread that embeds the value 254."""

    def embed(self, images: Images, *, alone: bool = False) -> NDArray[np.float32]:
        vectors = super().embed(images, alone=alone)
        if 254 in images[:, 0, 0, 0]:
            raise SystemExit("planted")
        return vectors


def test_a_worker_that_dies_is_replaced_and_everyone_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        world = World(max_queue=100)
        world.embedder = DyingEmbedder()
        first = await world.block()
        tasks = [world.ask(each) for each in (254, 1, 2, 3, 4, 5)]  # four to a batch: 1, 2 and 3 die with it
        large = world.ask(*range(10, 30))
        await asyncio.sleep(0)
        world.embedder.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in answers] == [EmbeddingFailed] * 4 + [Embedded] * 2
        assert values(await large) == list(range(10, 30))
        assert values(await first) == [0]
        assert world.died == 1
        with pytest.raises(EmbeddingFailed):
            await world.ask(254)
        assert values(await world.ask(6)) == [6]
        assert world.died == 2
        assert world.batcher.depth == 0
        await world.stop()

    run(scenario())
    assert "the embedding worker died" in caplog.text


def test_a_worker_that_dies_while_the_service_stops_leaves_nobody_waiting() -> None:
    async def scenario() -> None:
        world = World()
        world.embedder = DyingEmbedder()
        first = await world.block()
        tasks = [world.ask(each) for each in (254, 1, 2, 3, 4)]
        await asyncio.sleep(0)
        await world.stop()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in answers] == [EmbeddingFailed] * 4 + [Embedded]
        await first

    run(scenario())


class LateThread(threading.Thread):
    """A worker that takes a while to start, and says when it is about to."""

    about_to = threading.Event()

    def start(self) -> None:
        if self.name == "embedding":
            self.about_to.set()
            time.sleep(0.1)
        super().start()


def test_a_stop_waits_for_the_successor_of_a_worker_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = World()
        monkeypatch.setattr("app.batcher.threading.Thread", LateThread)
        world.embedder = DyingEmbedder()
        world.embedder.go.set()
        task = world.ask(254)
        assert await asyncio.to_thread(LateThread.about_to.wait, 10)
        await world.stop()
        with pytest.raises(EmbeddingFailed):
            await task

    run(scenario())


def test_few_sizes_are_powers_of_two_and_nothing_is_padded() -> None:
    async def scenario() -> None:
        world = World(max_queue=100, max_batch=12, few_sizes=True)
        first = await world.block()
        tasks = [world.ask(each) for each in range(1, 16)]
        await asyncio.sleep(0)
        world.embedder.go.set()
        assert [values(each) for each in await asyncio.gather(*tasks)] == [[each] for each in range(1, 16)]
        assert [len(batch) for batch in world.embedder.batches] == [1, 8, 4, 2, 1]
        await first
        await world.stop()

    run(scenario())


def test_what_is_being_decoded_counts_against_the_bound() -> None:
    async def scenario() -> None:
        world = World(max_queue=8)
        world.batcher.require_room(100)  # nothing waits: a request over the whole bound is taken
        world.batcher.require_room(1, coming=7)
        with pytest.raises(Overloaded, match="at most 8"):
            world.batcher.require_room(1, coming=8)
        await world.stop()

    run(scenario())


class MeetingEmbedder(SlowEmbedder):
    """Lets so many calls go on only together."""

    def __init__(self, sides: int) -> None:
        super().__init__()
        self.go.set()
        self._together = threading.Barrier(sides)

    def embed(self, images: Images, *, alone: bool = False) -> NDArray[np.float32]:
        self._together.wait(10)
        return super().embed(images, alone=alone)


def test_what_fills_the_cores_is_shared_out_side_by_side() -> None:
    async def scenario() -> None:
        world = World(max_queue=100, max_batch=64, sides=3)
        world.embedder = MeetingEmbedder(3)
        assert values(await world.ask(*range(10))) == list(range(10))
        assert sorted(world.embedder.batches) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
        assert world.embedder.alone == [True] * 3
        await world.stop()

    run(scenario())


def test_a_picture_by_itself_gets_every_core_until_it_is_done() -> None:
    async def scenario() -> None:
        world = World(sides=2)
        first = await world.block()
        tasks = [world.ask(1, 2), world.ask(3, 4)]
        await asyncio.sleep(0.05)  # time for another side to begin, which it must not
        assert world.batcher.depth == 4
        world.embedder.go.set()
        assert [values(each) for each in await asyncio.gather(first, *tasks)] == [[0], [1, 2], [3, 4]]
        assert world.embedder.batches[0] == [0]
        assert world.embedder.alone[:2] == [False, True]
        assert values(await world.ask(5)) == [5]
        assert world.embedder.alone[-1] is False
        await world.stop()

    run(scenario())


def test_sides_together_take_no_more_than_one_batch() -> None:
    async def scenario() -> None:
        world = World(max_queue=100, max_batch=16, sides=2)
        world.embedder.go.set()
        assert values(await world.ask(*range(40))) == list(range(40))
        assert max(map(len, world.embedder.batches)) == 8
        await world.stop()

    run(scenario())


class LastFirstEmbedder(SlowEmbedder):
    """Is done with the picture 0 only after the others."""

    def embed(self, images: Images, *, alone: bool = False) -> NDArray[np.float32]:
        first = 0 in images[:, 0, 0, 0]
        if not first:
            self.go.set()
        vectors = super().embed(images, alone=alone)
        assert not first or len(self.batches) == 2
        return vectors


def test_a_request_is_joined_in_order_whichever_side_is_done_first() -> None:
    async def scenario() -> None:
        world = World(sides=2)
        world.embedder = LastFirstEmbedder()
        assert values(await world.ask(0, 1, 2, 3)) == [0, 1, 2, 3]
        await world.stop()

    run(scenario())


def test_a_side_whose_worker_dies_goes_on_and_leaves_the_other_alone() -> None:
    async def scenario() -> None:
        world = World(max_queue=100, sides=2)
        world.embedder = DyingEmbedder()
        tasks = [world.ask(254), world.ask(1)]
        await asyncio.sleep(0)
        world.embedder.go.set()
        died, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(died, EmbeddingFailed)
        assert isinstance(other, Embedded)
        world.embedder = MeetingEmbedder(2)  # which both sides must come to
        assert values(await world.ask(2, 3)) == [2, 3]
        assert world.died == 1
        await world.stop()

    run(scenario())


def test_a_stop_while_one_has_every_core_ends_the_sides_that_wait_for_it() -> None:
    async def scenario() -> None:
        world = World(sides=2)
        blocked = await world.block()
        stopping = asyncio.create_task(asyncio.to_thread(world.batcher.stop))
        while not world.batcher._stopping:
            await asyncio.sleep(0)
        world.embedder.go.set()
        await asyncio.wait_for(stopping, 10)
        assert values(await blocked) == [0]

    run(scenario())
