"""One bounded queue in front of the model, and the threads that empty it in batches.

A picture by itself is embedded on every core at once, which is soonest. What fills the cores anyway is shared out in
batches side by side, each on a thread of its own: threads that work on one batch wait for each other at every layer,
awake, and for as long as the system gives one's core to something else. On a busy machine that doubles the work.

On a CPU a batch is what waits. ONNX Runtime's memory stays flat with any sizes in turn (161 MB after 50 batches of 1 to
16 pictures and after 500, the same with powers of two), and a padded picture costs as much as another. TensorRT builds
an engine, and CUDA chooses its kernels, for each new shape; so for them a batch is the largest power of two that waits.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import EmbeddingFailed, Overloaded
from model.runtime import give_way

Images: TypeAlias = NDArray[np.uint8]  # (N, H, W, 3)
Vectors: TypeAlias = NDArray[np.float32]  # (N, D)
log = logging.getLogger(__name__)
_WORTH_A_CALL = 4  # pictures; more at once cost one thread 2 % less each, and a single one 11 % more


class Embeds(Protocol):
    """What turns pictures into embeddings."""

    def embed(self, images: Images, *, alone: bool = False) -> Vectors:
        """Return one embedding of unit length for each picture; `alone` keeps to the calling thread."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embeddings of one request's pictures, and the seconds they waited and were worked on."""

    vectors: Vectors
    queue: float
    embed: float


@dataclass(slots=True, eq=False)
class _Job:
    embedder: Embeds
    images: Images
    done: asyncio.Future[Embedded]
    submitted: float
    vectors: dict[int, Vectors] = field(default_factory=dict)  # by the place of their first picture
    taken: int = 0
    dropped: bool = False
    begun: float = math.inf

    @property
    def waiting(self) -> int:
        return 0 if self.dropped else len(self.images) - self.taken

    @property
    def complete(self) -> bool:
        return sum(map(len, self.vectors.values())) == len(self.images)


@dataclass(frozen=True, slots=True)
class _Slice:
    job: _Job
    first: int
    images: Images


@dataclass(frozen=True, slots=True)
class _Batch:
    parts: list[_Slice]
    alone: bool


class Batcher:
    """Collects the pictures of many requests into batches; `observe` is told each batch's size and seconds.

    Up to `sides` batches are embedded side by side. Should a worker die, `died` is called, the requests of the batch in
    its hand are answered `EmbeddingFailed`, and another worker goes on with what waits.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        max_queue: int,
        max_wait: float,
        observe: Callable[[int, float], None],
        died: Callable[[], None] = lambda: None,
        few_sizes: bool = False,
        sides: int = 1,
    ) -> None:
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_wait = max_wait
        self._observe = observe
        self._died = died
        self._few_sizes = few_sizes
        self._of_one = cycle((0, 0, 0, 1))  # where there is room for one: whether it is kept for what is enrolled
        self._waiting = 0  # pictures; counted, because it is asked for with every request
        self._queries: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sides = sides
        self._computing = 0  # batches
        self._whole = False  # whether the one batch that is computed has every core
        self._worked = -math.inf
        self._in_hand: list[list[_Slice]] = [[] for _ in range(sides)]
        self._threads = [self._worker(side) for side in range(sides)]

    def start(self) -> None:
        """Start the workers; answers are delivered on the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the workers."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for side in range(self._sides):
            joined = None
            while joined is not (thread := self._thread(side)):  # one that dies meanwhile has a successor
                thread.join()
                joined = thread

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return self._waiting

    @property
    def worked(self) -> float:
        """When a batch was embedded last, by time.perf_counter."""
        return self._worked

    async def embed(self, embedder: Embeds, images: Images, *, bulk: bool = False) -> Embedded:
        """Embed in some next batch; raise `Overloaded` at once when too much waits.

        Bulk work waits behind queries, but always gets a part of a batch. Cancelling drops what was not begun.
        """
        job = _Job(embedder, images, asyncio.get_running_loop().create_future(), time.perf_counter())
        with self._changed:
            self._admit(job, bulk)
            self._changed.notify()
        try:
            return await job.done
        finally:
            with self._changed:
                self._waiting -= job.waiting
                job.dropped = True

    def require_room(self, pictures: int, coming: int = 0) -> None:
        """Raise `Overloaded` when so many more could not wait now, behind those that wait or are coming."""
        depth = self._waiting + coming
        if self._stopping:
            raise Overloaded("the service is stopping")
        if depth and depth + pictures > self._max_queue:
            raise Overloaded(f"expected at most {self._max_queue} pictures to wait, {depth} do; try again later")

    def _admit(self, job: _Job, bulk: bool) -> None:
        self.require_room(len(job.images))
        self._waiting += job.waiting
        (self._bulk if bulk else self._queries).append(job)

    def _thread(self, side: int) -> threading.Thread:
        with self._changed:
            return self._threads[side]

    def _worker(self, side: int) -> threading.Thread:
        return threading.Thread(target=self._supervise, args=(side,), name="embedding", daemon=True)

    def _supervise(self, side: int) -> None:
        give_way()
        try:
            self._work(side)
        except BaseException as exc:  # the boundary of the thread: whatever ends it, others wait for it
            log.critical("the embedding worker died; another one takes over", exc_info=exc)
            for part in self._in_hand[side]:
                self._deliver(partial(_fail, part.job, exc))
            self._died()
            with self._changed:  # who stops the service joins no thread that has yet to start
                self._threads[side] = self._worker(side)
                self._threads[side].start()

    def _work(self, side: int) -> None:
        while batch := self._next_batch():
            self._in_hand[side] = batch.parts
            try:
                outcomes = self._embed(batch)
            finally:
                self._end()  # first, so that who asks again when answered finds the cores free
            for outcome in outcomes:
                self._deliver(outcome)
            self._in_hand[side] = []

    def _next_batch(self) -> _Batch | None:
        with self._changed:
            while True:
                self._changed.wait_for(self._may_begin)
                if self._max_wait and not self._stopping:
                    self._changed.wait_for(lambda: self._waiting >= self._max_batch, self._max_wait)
                if self._whole:
                    continue
                alone = self._sides > 1 and (self._computing > 0 or self._waiting >= self._sides)
                if parts := self._take(self._share() if alone else self._max_batch):
                    self._computing, self._whole = self._computing + 1, not alone
                    if alone and self._waiting:
                        self._changed.notify()  # there is a share for another side
                    return _Batch(parts, alone)
                if self._stopping and not self._queries and not self._bulk:
                    return None

    def _may_begin(self) -> bool:
        return not self._whole and bool(self._queries or self._bulk or self._stopping)

    def _share(self) -> int:
        """Return how many pictures one side takes of what waits, so that all that are free get as many.

        All sides together take no more memory than one whole batch, where a part of it is enough to be worth a call.
        """
        most = min(self._max_batch, max(_WORTH_A_CALL, self._max_batch // self._sides))
        return max(1, min(most, -(-self._waiting // (self._sides - self._computing))))

    def _end(self) -> None:
        with self._changed:
            self._computing -= 1
            self._whole = False
            if self._waiting or self._stopping:  # else nobody has anything to begin, and is in the answer's way
                self._changed.notify_all()

    def _take(self, room: int) -> list[_Slice]:
        if self._few_sizes:
            room = 1 << min(room, max(1, self._waiting)).bit_length() - 1
        kept = 0  # of the room, so that queries never starve an enrolment
        if self._bulk:
            kept = max(1, room // 4) if room > 1 else next(self._of_one)
        batch: list[_Slice] = []
        for queue, limit in ((self._queries, room - kept), (self._bulk, room), (self._queries, room)):
            while queue and (free := limit - sum(len(part.images) for part in batch)) > 0:
                if batch and queue[0].embedder is not batch[0].job.embedder:
                    return batch
                if part := _slice(queue, free):
                    self._waiting -= len(part.images)
                    batch.append(part)
        return batch

    def _embed(self, batch: _Batch) -> list[Callable[[], None]]:
        """Return what tells the requests of their outcome."""
        parts, started = batch.parts, time.perf_counter()
        images = parts[0].images if len(parts) == 1 else np.concatenate([part.images for part in parts])
        try:
            vectors = parts[0].job.embedder.embed(images, alone=batch.alone)
        except Exception as exc:  # the worker outlives whatever one batch does to the runtime
            log.exception("a batch of %d pictures failed", len(images))
            return self._embed_apart(batch) if len(parts) > 1 else [partial(_fail, parts[0].job, exc)]
        ended = time.perf_counter()
        self._worked = ended
        self._observe(len(images), ended - started)
        return [partial(_settle, parts, vectors, started, ended)]

    def _embed_apart(self, batch: _Batch) -> list[Callable[[], None]]:
        """Embed each request by itself, so that one picture that the model fails on fails alone."""
        return [outcome for part in batch.parts for outcome in self._embed(_Batch([part], batch.alone))]

    def _deliver(self, outcome: Callable[[], None]) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(outcome)


def _slice(queue: deque[_Job], room: int) -> _Slice | None:
    job = queue[0]
    first, count = job.taken, min(job.waiting, room)
    images = job.images[first : first + count]
    job.taken += count
    if not job.waiting:
        queue.popleft()
    return _Slice(job, first, images) if count else None


def _settle(parts: list[_Slice], vectors: Vectors, started: float, ended: float) -> None:
    offset = 0
    for part in parts:
        job, count = part.job, len(part.images)
        job.vectors[part.first] = vectors[offset : offset + count]
        job.begun = min(job.begun, started)
        offset += count
        if job.complete and not job.done.done():
            done = _vectors_of(job)
            job.done.set_result(Embedded(done, job.begun - job.submitted, ended - job.begun))


def _vectors_of(job: _Job) -> Vectors:
    """Return the vectors in the order of the pictures, whichever side was done first."""
    if len(job.vectors) == 1:
        return job.vectors[0]
    return np.concatenate([job.vectors[first] for first in sorted(job.vectors)])


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        failure = EmbeddingFailed("embed: the model failed on a picture of this request")
        failure.__cause__ = error
        job.done.set_exception(failure)
