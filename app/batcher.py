"""One bounded queue in front of the model, and the one thread that empties it in batches.

On a CPU a batch is what waits. ONNX Runtime's memory stays flat with any sizes in turn (161 MB after 50 batches of 1 to
16 pictures and after 500, the same with powers of two), and a padded picture costs as much as another. TensorRT builds
an engine, and CUDA chooses its kernels, for each new shape; so for them a batch is the largest power of two that waits.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import EmbeddingFailed, Overloaded
from model.runtime import give_way

Images: TypeAlias = NDArray[np.uint8]  # (N, H, W, 3)
Vectors: TypeAlias = NDArray[np.float32]  # (N, D)
log = logging.getLogger(__name__)


class Embeds(Protocol):
    """What turns pictures into embeddings."""

    def embed(self, images: Images) -> Vectors:
        """Return one embedding of unit length for each picture."""
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
    vectors: list[Vectors] = field(default_factory=list)
    taken: int = 0
    dropped: bool = False
    waited: float = 0.0
    worked: float = 0.0

    @property
    def waiting(self) -> int:
        return 0 if self.dropped else len(self.images) - self.taken

    @property
    def complete(self) -> bool:
        return sum(map(len, self.vectors)) == len(self.images)


@dataclass(frozen=True, slots=True)
class _Slice:
    job: _Job
    images: Images


class Batcher:
    """Collects the pictures of many requests into batches; `observe` is told each batch's size and seconds.

    Should the worker die, `died` is called, the requests of the batch in hand are answered `EmbeddingFailed`, and
    another worker goes on with what waits.
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
    ) -> None:
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_wait = max_wait
        self._observe = observe
        self._died = died
        self._few_sizes = few_sizes
        self._waiting = 0  # pictures; counted, because it is asked for with every request
        self._queries: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_hand: list[_Slice] = []
        self._thread = self._worker()

    def start(self) -> None:
        """Start the worker; answers are delivered on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the worker."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        joined = None
        while joined is not self._thread:  # one that dies meanwhile has a successor
            joined = self._thread
            joined.join()

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return self._waiting

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

    def _worker(self) -> threading.Thread:
        return threading.Thread(target=self._supervise, name="embedding", daemon=True)

    def _supervise(self) -> None:
        give_way()
        try:
            self._work()
        except BaseException as exc:  # the boundary of the thread: whatever ends it, others wait for it
            log.critical("the embedding worker died; another one takes over", exc_info=exc)
            for part in self._in_hand:
                self._deliver(_fail, part.job, exc)
            self._died()
            self._thread = self._worker()
            self._thread.start()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._in_hand = batch
            self._embed(batch)
            self._in_hand = []

    def _next_batch(self) -> list[_Slice]:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queries or self._bulk or self._stopping)
                if self._max_wait and not self._stopping:
                    self._changed.wait_for(lambda: self._waiting >= self._max_batch, self._max_wait)
                batch = self._take()
                if batch or (self._stopping and not self._queries and not self._bulk):
                    return batch

    def _take(self) -> list[_Slice]:
        room = self._max_batch
        if self._few_sizes:
            room = 1 << min(room, max(1, self._waiting)).bit_length() - 1
        kept = max(1, room // 4) if self._bulk and room > 1 else 0  # so that queries never starve an enrolment
        batch: list[_Slice] = []
        for queue, limit in ((self._queries, room - kept), (self._bulk, room), (self._queries, room)):
            while queue and (free := limit - sum(len(part.images) for part in batch)) > 0:
                if batch and queue[0].embedder is not batch[0].job.embedder:
                    return batch
                if part := _slice(queue, free):
                    self._waiting -= len(part.images)
                    batch.append(part)
        return batch

    def _embed(self, batch: list[_Slice]) -> None:
        started = time.perf_counter()
        images = batch[0].images if len(batch) == 1 else np.concatenate([part.images for part in batch])
        try:
            vectors = batch[0].job.embedder.embed(images)
        except Exception as exc:  # the worker outlives whatever one batch does to the runtime
            log.exception("a batch of %d pictures failed", len(images))
            if len(batch) > 1:
                self._embed_apart(batch)
            else:
                self._deliver(_fail, batch[0].job, exc)
            return
        seconds = time.perf_counter() - started
        self._observe(len(images), seconds)
        self._deliver(_settle, batch, vectors, started, seconds)

    def _embed_apart(self, batch: list[_Slice]) -> None:
        """Embed each request by itself, so that one picture that the model fails on fails alone."""
        for part in batch:
            self._embed([part])

    def _deliver(self, callback: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *values)


def _slice(queue: deque[_Job], room: int) -> _Slice | None:
    job = queue[0]
    count = min(job.waiting, room)
    images = job.images[job.taken : job.taken + count]
    job.taken += count
    if not job.waiting:
        queue.popleft()
    return _Slice(job, images) if count else None


def _settle(batch: list[_Slice], vectors: Vectors, started: float, seconds: float) -> None:
    offset = 0
    for part in batch:
        job, count = part.job, len(part.images)
        if not job.vectors:
            job.waited = started - job.submitted
        job.vectors.append(vectors[offset : offset + count])
        job.worked += seconds
        offset += count
        if job.complete and not job.done.done():
            done = job.vectors[0] if len(job.vectors) == 1 else np.concatenate(job.vectors)
            job.done.set_result(Embedded(done, job.waited, job.worked))


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        failure = EmbeddingFailed("embed: the model failed on a picture of this request")
        failure.__cause__ = error
        job.done.set_exception(failure)
