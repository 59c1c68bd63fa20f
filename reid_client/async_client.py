"""The client for asyncio; `Client` has the same methods."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Self, TypeAlias, TypeVar, Unpack

import httpx

from reid_client import calls
from reid_client.calls import Call, Changes, Decision, Filters, SampleFilters
from reid_client.connection import DEFAULT_SECONDS, connection
from reid_client.errors import InvalidRequest, TooLarge
from reid_client.packing import MAX_IMAGES, Batch, Enrolling, Packer, enrolment
from reid_client.pictures import Picture, Pictures
from reid_client.progress import Ingested, Progress, Summary, Tally, Watcher
from reid_client.records import (
    Embeddings,
    Enrolment,
    Erased,
    Gallery,
    Identity,
    ItemError,
    Migration,
    Model,
    Models,
    QueryResult,
    Sample,
    Verification,
)
from reid_client.retry import Attempts, Retry
from reid_client.samples import NewSample, Outcome, prepare

T = TypeVar("T")
Samples: TypeAlias = Iterable[NewSample] | AsyncIterable[NewSample]


class AsyncClient:
    """Calls the service without blocking the event loop; connections are kept and shared.

    `url` and `key` are `REID_URL` and `REID_KEY` where not given. `timeout` is in seconds, for each step of one
    attempt (5 s at most for connecting); `retry` says how often and how long a call is tried. Every method raises a
    `ReidError`: one of the service's answers, or `ConnectionFailed`, `DeadlineExceeded`, `UnexpectedAnswer`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = DEFAULT_SECONDS,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._connection = connection(url, key, timeout)
        self._retry = retry or Retry()
        self._clock = clock
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            base_url=self._connection.url, headers=self._connection.headers, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def query(
        self,
        pictures: Pictures | None = None,
        *,
        sample_id: str | None = None,
        embedding: Sequence[float] | None = None,
        model_version: str | None = None,
        **filters: Unpack[Filters],
    ) -> QueryResult:
        """Rank a gallery's people by how alike they are to one person.

        The person is given by pictures (1 to 32, pooled into one query), by an enrolled sample, or by an embedding
        with the `model_version` that made it.
        """
        return await self._send(
            await asyncio.to_thread(calls.query, pictures, sample_id, embedding, model_version, filters)
        )

    async def query_batch(
        self, pictures: Sequence[Picture], **filters: Unpack[Filters]
    ) -> tuple[QueryResult | ItemError, ...]:
        """Ask who is on each of up to 64 pictures; one that cannot be used is an `ItemError` in its place."""
        return await self._send(await asyncio.to_thread(calls.query_batch, pictures, filters))

    async def verify(self, first: Picture, second: Picture, **decision: Unpack[Decision]) -> Verification:
        """Compare two pictures."""
        return await self._send(await asyncio.to_thread(calls.verify, first, second, decision))

    async def embed(self, pictures: Pictures) -> Embeddings:
        """Return the embeddings of up to 64 pictures."""
        return await self._send(await asyncio.to_thread(calls.embed, pictures))

    async def enrol(self, samples: Samples, *, gallery: str | None = None) -> Enrolment:
        """Enrol pictures, in as many requests as the service's limits make of them; a bad one fails alone."""
        outcomes = [each async for batch in _packed(samples, MAX_IMAGES) for each in await self._enrol(batch, gallery)]
        return enrolment(outcomes)

    async def ingest(
        self,
        samples: Samples,
        *,
        gallery: str | None = None,
        progress: Watcher | None = None,
        batch_size: int = 64,
        concurrency: int = 2,
    ) -> Ingested:
        """Enrol any number of pictures; `progress` is told of each batch, with every rejected picture's reason.

        At most `concurrency` requests are under way, and the samples are read no further ahead than one batch.
        After a failure it can be run again: what is enrolled is found to be a duplicate.
        """
        summary = Summary(progress)
        async for step in self.ingest_steps(samples, gallery=gallery, batch_size=batch_size, concurrency=concurrency):
            summary.add(step)
        return summary.ingested

    async def ingest_steps(
        self, samples: Samples, *, gallery: str | None = None, batch_size: int = 64, concurrency: int = 2
    ) -> AsyncIterator[Progress]:
        """Do what `ingest` does and yield the progress batch by batch, in order."""
        tally = Tally()
        waiting: deque[asyncio.Task[list[Outcome]]] = deque()
        try:
            async for batch in _packed(samples, batch_size):
                waiting.append(asyncio.create_task(self._enrol(batch, gallery)))
                if len(waiting) >= concurrency:
                    yield tally.add(await waiting[0])
                    waiting.popleft()
            while waiting:
                yield tally.add(await waiting[0])
                waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def samples(self, *, page_size: int = 100, **filters: Unpack[SampleFilters]) -> AsyncIterator[Sample]:
        """Yield the samples that pass the filters, page by page; stable while others write."""
        cursor: str | None = None
        while True:
            page = await self._send(calls.samples(filters, page_size, cursor))
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def sample(self, sample_id: str, *, gallery: str | None = None) -> Sample:
        """Return one sample."""
        return await self._send(calls.sample(sample_id, gallery))

    async def picture(self, sample_id: str, *, gallery: str | None = None) -> bytes:
        """Return a sample's picture, byte for byte as it was enrolled."""
        return await self._send(calls.picture(sample_id, gallery))

    async def update(self, sample_id: str, *, gallery: str | None = None, **changes: Unpack[Changes]) -> Sample:
        """Replace the fields that are given; None clears one (not `identity`)."""
        return await self._send(calls.update(sample_id, gallery, changes))

    async def delete(self, sample_id: str, *, gallery: str | None = None) -> None:
        """Delete a sample; no query that starts afterwards finds it."""
        await self._send(calls.delete(sample_id, gallery))

    async def identities(self, *, gallery: str | None = None, page_size: int = 100) -> AsyncIterator[Identity]:
        """Yield the people of a gallery, page by page."""
        cursor: str | None = None
        while True:
            page = await self._send(calls.identities(gallery, page_size, cursor))
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def identity(self, name: str, *, gallery: str | None = None) -> Identity:
        """Return one person."""
        return await self._send(calls.identity(name, gallery))

    async def rename(self, name: str, new: str, *, gallery: str | None = None) -> Identity:
        """Give a person another name; onto one that exists, the two become one."""
        return await self._send(calls.rename(name, new, gallery))

    async def erase(self, name: str, *, gallery: str | None = None) -> Erased:
        """Erase a person: rows, pictures and vectors, read back. Raises `AnswerLost` when its counts are not known."""
        return await self._send(calls.erase(name, gallery))

    async def galleries(self) -> tuple[Gallery, ...]:
        """Return every gallery that the key reaches."""
        return await self._send(calls.galleries())

    async def put_gallery(self, name: str, *, retention_days: int | None = None, store_images: bool = True) -> Gallery:
        """Make a gallery, or replace the settings of one that exists."""
        return await self._send(calls.put_gallery(name, retention_days, store_images))

    async def delete_gallery(self, name: str) -> Erased:
        """Erase a gallery with everything in it. Raises `AnswerLost` when its counts are not known."""
        return await self._send(calls.delete_gallery(name))

    async def models(self) -> Models:
        """Return the registered versions."""
        return await self._send(calls.models())

    async def model(self, version: str) -> Model:
        """Return one version with its card."""
        return await self._send(calls.model(version))

    async def activate(self, version: str, *, force: bool = False, leave_out: bool = False) -> str:
        """Move every gallery to a version; return the migration's id.

        `force`: what speaks against the version does not stop it, and is recorded. `leave_out`: nor do samples that
        cannot be embedded again, such as without a picture.
        """
        return await self._send(calls.activate(version, force=force, leave_out=leave_out))

    async def migrations(self) -> tuple[Migration, ...]:
        """Return the latest changes of the active version, the newest first."""
        return await self._send(calls.migrations())

    async def migration(self, migration_id: str) -> Migration:
        """Return how far a change is."""
        return await self._send(calls.migration(migration_id))

    async def cancel_migration(self, migration_id: str) -> Migration:
        """Stop a change."""
        return await self._send(calls.change_migration(migration_id, "cancel"))

    async def roll_back_migration(self, migration_id: str) -> Migration:
        """Switch back to the version before."""
        return await self._send(calls.change_migration(migration_id, "rollback"))

    async def finalize_migration(self, migration_id: str) -> Migration:
        """Give up the way back."""
        return await self._send(calls.change_migration(migration_id, "finalize"))

    async def live(self) -> None:
        """Return when the process answers; asked once."""
        await self._send(calls.health("live"))

    async def ready(self) -> None:
        """Return when everything works; raise `NotReady`, which names the failing part. Asked once."""
        await self._send(calls.health("ready"))

    async def _enrol(self, batch: Batch, gallery: str | None) -> list[Outcome]:
        work = Enrolling(batch, gallery)
        while (call := work.next()) is not None:
            try:
                work.took(await self._send(call))
            except (InvalidRequest, TooLarge) as exc:
                work.refused(exc)
        return work.outcomes()

    async def _send(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._retry, self._clock)
        while True:
            timeout = attempts.timeout(self._connection.timeout)
            try:
                response = await self._http.request(call.method, call.path, timeout=timeout, **call.arguments())
            except httpx.RequestError as exc:
                wait: float | None = attempts.after_failure(exc)
            else:
                wait = attempts.after(response)
                if wait is None:
                    return call.read(response)
            await self._sleep(wait or 0)


async def _packed(samples: Samples, count: int) -> AsyncIterator[Batch]:
    """Do what `packed` does; pictures are read in a thread."""
    packer, index = Packer(count), 0
    async for sample in _each(samples):
        if (batch := packer.add(await asyncio.to_thread(prepare, index, sample))) is not None:
            yield batch
        index += 1
    if (batch := packer.rest()) is not None:
        yield batch


async def _each(samples: Samples) -> AsyncIterator[NewSample]:
    if isinstance(samples, AsyncIterable):
        async for sample in samples:
            yield sample
    else:
        for sample in samples:
            yield sample
