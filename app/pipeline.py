"""The way of a picture through the service: bytes -> RGB -> embedding -> candidates, each step on its threads."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.batcher import Batcher, Embedded
from app.engine import Engine
from app.metrics import Metrics
from app.presence import while_present
from app.search import SearchCall, SharedSearch
from app.tracing import Traces
from app.workers import Workers
from index.records import Ranking
from model.card import InputContract
from model.errors import ImageError
from model.preprocess import prepare
from model.runtime import CPU, Embedder

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3)
T = TypeVar("T")
_STAGES = ("decode", "queue", "embed", "search")


@dataclass(slots=True)
class Timing:
    """Seconds that a request spent in each stage."""

    started: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds to a stage."""
        self.stages[stage] += seconds

    def milliseconds(self) -> dict[str, float]:
        """Return each stage and the total so far, in milliseconds."""
        total = time.perf_counter() - self.started
        return {name: round(seconds * 1000, 3) for name, seconds in [*self.stages.items(), ("total", total)]}


class Pipeline:
    """Decodes, embeds and calls the gallery; nothing here blocks the event loop."""

    def __init__(self, engine: Engine, metrics: Metrics, traces: Traces | None = None) -> None:
        settings = engine.settings
        self._metrics = metrics
        self._traces = traces or Traces()
        metrics.bounds(settings.max_queue)
        on_cpu = settings.providers == CPU
        self._batcher = Batcher(
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            max_wait=settings.max_wait_ms / 1000,
            observe=metrics.batch,
            died=metrics.worker_died,
            few_sizes=settings.providers[0] not in CPU,
            sides=settings.threads if on_cpu else 1,
        )
        self._decoding = Workers("decode", settings.threads, settings.max_queue + 256)
        self._searching = Workers("search", settings.threads, settings.max_queue)
        self._shared_search = SharedSearch(self._searching, engine.gallery)
        self._coming = 0  # pictures that are let in or being decoded
        self._keeping = Workers("gallery", 4, 256)

    def start(self) -> None:
        """Start the embedding worker on the running event loop."""
        self._batcher.start()

    def close(self) -> None:
        """Finish what waits and end every thread."""
        for workers in (self._decoding, self._searching, self._keeping):
            workers.close()
        self._batcher.stop()

    @property
    def depth(self) -> int:
        """Pictures that wait for the model."""
        return self._batcher.depth

    def worked(self, part: str) -> float:
        """Return when a part did something for anybody last, by time.perf_counter."""
        return self._searching.worked if part == "search" else self._batcher.worked

    def require_room(self, pictures: int) -> None:
        """Raise `Overloaded` when the model's queue, with what is coming to it, has no room for so many."""
        self._batcher.require_room(pictures, self._coming)

    @contextmanager
    def coming(self, pictures: int) -> Iterator[None]:
        """Keep room for so many in the model's queue, as long as the block lasts."""
        self._coming += pictures
        try:
            yield
        finally:
            self._coming -= pictures

    async def decode(
        self, pictures: Sequence[bytes], contract: InputContract, timing: Timing
    ) -> list[Pixels | ImageError]:
        """Prepare each picture for the model; one that cannot be used gives its error.

        Raises `Overloaded` before the work when the model could not take the pictures anyway.
        """
        started = time.perf_counter()
        self.require_room(len(pictures))
        with self.coming(len(pictures)), while_present():
            decoded = await asyncio.gather(*(self._decoding.run(_prepare, each, contract) for each in pictures))
        self._count("decode", time.perf_counter() - started, timing)
        return decoded

    async def embed(
        self, embedder: Embedder, pixels: Sequence[Pixels], timing: Timing, *, bulk: bool = False
    ) -> NDArray[np.float32]:
        """Embed prepared pictures together with those of other requests, -> (N, D)."""
        images = np.stack(pixels) if len(pixels) > 1 else pixels[0][None]
        with while_present():
            embedded: Embedded = await self._batcher.embed(embedder, images, bulk=bulk)
        self._count("queue", embedded.queue, timing, embedded.embed)
        self._count("embed", embedded.embed, timing)
        return embedded.vectors

    async def search(self, search: SearchCall, embeddings: NDArray[np.float32], timing: Timing) -> list[Ranking]:
        """Search for each embedding, (Q, D), together with requests that search alike at the same moment."""
        started = time.perf_counter()
        found = await self._shared_search.search(search, embeddings)
        self._count("search", time.perf_counter() - started, timing)
        return found

    async def search_alone(self, call: Callable[..., T], timing: Timing) -> T:
        """Run a search of many steps."""
        started = time.perf_counter()
        found = await self.read(call)
        self._count("search", time.perf_counter() - started, timing)
        return found

    async def read(self, call: Callable[..., T]) -> T:
        """Run what only reads and computes, on threads that no write can hold up."""
        return await self._searching.run(call)

    async def keep(self, call: Callable[..., T], *values: object) -> T:
        """Run any other call of the gallery or the registry."""
        return await self._keeping.run(call, *values)

    def _count(self, stage: str, seconds: float, timing: Timing, ago: float = 0.0) -> None:
        timing.add(stage, seconds)
        self._traces.stage(stage, seconds, ago)
        self._metrics.stage(stage, seconds)


def _prepare(data: bytes, contract: InputContract) -> Pixels | ImageError:
    try:
        return prepare(data, contract)
    except ImageError as exc:
        return exc
