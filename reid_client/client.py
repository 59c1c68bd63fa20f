"""The client for code that waits; `AsyncClient` has the same methods."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Event
from typing import Self, TypeVar, Unpack

import httpx

from reid_client import calls
from reid_client.calls import Call, Changes, Decision, Filters, SampleFilters
from reid_client.connection import DEFAULT_SECONDS, connection
from reid_client.errors import InvalidRequest, TooLarge
from reid_client.packing import Batch, Enrolling, enrolment, packed
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
from reid_client.samples import NewSample, Outcome

T = TypeVar("T")


class Client:
    """Calls the service; connections are kept and shared, also between threads.

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
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._connection = connection(url, key, timeout)
        self._retry = retry or Retry()
        self._clock = clock
        self._sleep = sleep
        self._http = httpx.Client(base_url=self._connection.url, headers=self._connection.headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def query(
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
        return self._send(calls.query(pictures, sample_id, embedding, model_version, filters))

    def query_batch(
        self, pictures: Sequence[Picture], **filters: Unpack[Filters]
    ) -> tuple[QueryResult | ItemError, ...]:
        """Ask who is on each of up to 64 pictures; one that cannot be used is an `ItemError` in its place."""
        return self._send(calls.query_batch(pictures, filters))

    def verify(self, first: Picture, second: Picture, **decision: Unpack[Decision]) -> Verification:
        """Compare two pictures."""
        return self._send(calls.verify(first, second, decision))

    def embed(self, pictures: Pictures) -> Embeddings:
        """Return the embeddings of up to 64 pictures."""
        return self._send(calls.embed(pictures))

    def enrol(self, samples: Iterable[NewSample], *, gallery: str | None = None) -> Enrolment:
        """Enrol pictures, in as many requests as the service's limits make of them; a bad one fails alone."""
        outcomes = [each for batch in packed(samples) for each in self._enrol(batch, gallery)]
        return enrolment(outcomes)

    def ingest(
        self,
        samples: Iterable[NewSample],
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
        for step in self.ingest_steps(samples, gallery=gallery, batch_size=batch_size, concurrency=concurrency):
            summary.add(step)
        return summary.ingested

    def ingest_steps(
        self, samples: Iterable[NewSample], *, gallery: str | None = None, batch_size: int = 64, concurrency: int = 2
    ) -> Iterator[Progress]:
        """Do what `ingest` does and yield the progress batch by batch, in order."""
        tally = Tally()
        waiting: deque[Future[list[Outcome]]] = deque()
        ended = Event()
        with ThreadPoolExecutor(concurrency) as pool:
            try:
                for batch in packed(samples, batch_size):
                    waiting.append(pool.submit(self._enrol, batch, gallery, ended))
                    if len(waiting) >= concurrency:
                        yield tally.add(waiting.popleft().result())
                while waiting:
                    yield tally.add(waiting.popleft().result())
            finally:
                ended.set()  # whoever gives up does not wait until the requests under way have no attempt left
                for future in waiting:
                    future.cancel()

    def samples(self, *, page_size: int = 100, **filters: Unpack[SampleFilters]) -> Iterator[Sample]:
        """Yield the samples that pass the filters, page by page; stable while others write."""
        cursor: str | None = None
        while True:
            page = self._send(calls.samples(filters, page_size, cursor))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def sample(self, sample_id: str, *, gallery: str | None = None) -> Sample:
        """Return one sample."""
        return self._send(calls.sample(sample_id, gallery))

    def picture(self, sample_id: str, *, gallery: str | None = None) -> bytes:
        """Return a sample's picture, byte for byte as it was enrolled."""
        return self._send(calls.picture(sample_id, gallery))

    def update(self, sample_id: str, *, gallery: str | None = None, **changes: Unpack[Changes]) -> Sample:
        """Replace the fields that are given; None clears one (not `identity`)."""
        return self._send(calls.update(sample_id, gallery, changes))

    def delete(self, sample_id: str, *, gallery: str | None = None) -> None:
        """Delete a sample; no query that starts afterwards finds it."""
        self._send(calls.delete(sample_id, gallery))

    def identities(self, *, gallery: str | None = None, page_size: int = 100) -> Iterator[Identity]:
        """Yield the people of a gallery, page by page."""
        cursor: str | None = None
        while True:
            page = self._send(calls.identities(gallery, page_size, cursor))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def identity(self, name: str, *, gallery: str | None = None) -> Identity:
        """Return one person."""
        return self._send(calls.identity(name, gallery))

    def rename(self, name: str, new: str, *, gallery: str | None = None) -> Identity:
        """Give a person another name; onto one that exists, the two become one."""
        return self._send(calls.rename(name, new, gallery))

    def erase(self, name: str, *, gallery: str | None = None) -> Erased:
        """Erase a person: rows, pictures and vectors, read back. Raises `AnswerLost` when its counts are not known."""
        return self._send(calls.erase(name, gallery))

    def galleries(self) -> tuple[Gallery, ...]:
        """Return every gallery that the key reaches."""
        return self._send(calls.galleries())

    def put_gallery(self, name: str, *, retention_days: int | None = None, store_images: bool = True) -> Gallery:
        """Make a gallery, or replace the settings of one that exists."""
        return self._send(calls.put_gallery(name, retention_days, store_images))

    def delete_gallery(self, name: str) -> Erased:
        """Erase a gallery with everything in it. Raises `AnswerLost` when its counts are not known."""
        return self._send(calls.delete_gallery(name))

    def models(self) -> Models:
        """Return the registered versions."""
        return self._send(calls.models())

    def model(self, version: str) -> Model:
        """Return one version with its card."""
        return self._send(calls.model(version))

    def activate(self, version: str, *, force: bool = False, leave_out: bool = False) -> str:
        """Move every gallery to a version; return the migration's id.

        `force`: what speaks against the version does not stop it, and is recorded. `leave_out`: nor do samples that
        cannot be embedded again, such as without a picture.
        """
        return self._send(calls.activate(version, force=force, leave_out=leave_out))

    def migrations(self) -> tuple[Migration, ...]:
        """Return the latest changes of the active version, the newest first."""
        return self._send(calls.migrations())

    def migration(self, migration_id: str) -> Migration:
        """Return how far a change is."""
        return self._send(calls.migration(migration_id))

    def cancel_migration(self, migration_id: str) -> Migration:
        """Stop a change."""
        return self._send(calls.change_migration(migration_id, "cancel"))

    def roll_back_migration(self, migration_id: str) -> Migration:
        """Switch back to the version before."""
        return self._send(calls.change_migration(migration_id, "rollback"))

    def finalize_migration(self, migration_id: str) -> Migration:
        """Give up the way back."""
        return self._send(calls.change_migration(migration_id, "finalize"))

    def live(self) -> None:
        """Return when the process answers; asked once."""
        self._send(calls.health("live"))

    def ready(self) -> None:
        """Return when everything works; raise `NotReady`, which names the failing part. Asked once."""
        self._send(calls.health("ready"))

    def _enrol(self, batch: Batch, gallery: str | None, ended: Event | None = None) -> list[Outcome]:
        work = Enrolling(batch, gallery)
        while (call := work.next()) is not None:
            try:
                work.took(self._send(call, ended))
            except (InvalidRequest, TooLarge) as exc:
                work.refused(exc)
        return work.outcomes()

    def _send(self, call: Call[T], ended: Event | None = None) -> T:
        attempts = Attempts(call, self._retry, self._clock)
        while True:
            timeout = attempts.timeout(self._connection.timeout)
            try:
                response = self._http.request(call.method, call.path, timeout=timeout, **call.arguments())
            except httpx.RequestError as exc:
                wait: float | None = attempts.after_failure(exc)
            else:
                wait = attempts.after(response)
                if wait is None:
                    return call.read(response)
            self._pause(wait or 0, ended or Event())

    def _pause(self, seconds: float, ended: Event) -> None:
        if self._sleep is None:
            ended.wait(seconds)
        else:
            self._sleep(seconds)
        if ended.is_set():
            raise CancelledError
