"""Ingesting and querying over HTTP: the same verbs on a service that runs elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import typer

from app.cli.entries import AnyEntry, BadEntry, Entry
from app.cli.failures import CommandError
from app.cli.ingestion import Outcome
from app.errors import InvalidParameter
from app.parameters import QueryForm
from index.records import EnrolStatus
from reid_client import Client, InvalidRequest, NewSample, ReidError
from reid_client import Outcome as Answered

MAX_BATCH = 256  # pictures of one request


class RemoteIngestion:
    """Enrols entries over HTTP in batches, as `Ingestion` does on the data folder."""

    def __init__(self, client: Client, gallery: str | None, batch_size: int) -> None:
        self._client = client
        self._gallery = gallery
        self._batch_size = min(batch_size, MAX_BATCH)
        self._stopped = Event()
        self._names: dict[int, str] = {}  # of what is under way

    def stop(self) -> None:
        """End soon: what is being enrolled is finished, nothing more is begun."""
        self._stopped.set()

    def run(self, entries: Iterable[AnyEntry]) -> Iterator[list[Outcome]]:
        """Yield the outcomes batch by batch; what is yielded as created is on the service's disk."""
        settled: list[Outcome] = []
        samples = self._samples(entries, settled)
        with told():
            for step in self._client.ingest_steps(samples, gallery=self._gallery, batch_size=self._batch_size):
                yield [*_taken(settled), *(self._outcome(each) for each in step.outcomes)]
        if settled:
            yield _taken(settled)

    def _samples(self, entries: Iterable[AnyEntry], settled: list[Outcome]) -> Iterator[NewSample]:
        index = 0
        for entry in entries:
            if self._stopped.is_set():
                return
            if isinstance(entry, BadEntry):
                rejected = EnrolStatus.REJECTED
                settled.append(Outcome(entry.where, rejected, code="invalid_metadata", detail=entry.detail))
                continue
            self._names[index] = entry.where
            index += 1
            yield _sample(entry)

    def _outcome(self, answered: Answered) -> Outcome:
        where, status = self._names.pop(answered.index), EnrolStatus(answered.status)
        if answered.error is None:
            return Outcome(where, status, answered.sample_id)
        return Outcome(where, status, code=answered.error.code, detail=answered.error.detail)


def ask_over_http(client: Client, images: Sequence[Path], parameters: QueryForm) -> dict[str, Any]:
    """Return what `POST /query` answers; raise `InvalidParameter` for a value that the service does not take."""
    filters = parameters.model_dump(exclude_defaults=True)
    if "gallery" in parameters.model_fields_set:  # also "default": a key that is bound to another is told so
        filters["gallery"] = parameters.gallery
    try:
        with told():
            answer = client.query(images or None, **filters)
    except CommandError as exc:
        if isinstance(exc.__cause__, InvalidRequest) and exc.__cause__.field in QueryForm.model_fields:
            raise InvalidParameter(exc.__cause__.field, exc.__cause__.detail) from exc
        raise
    content: dict[str, Any] = orjson.loads(orjson.dumps(answer, option=orjson.OPT_UTC_Z))
    return content


@contextmanager
def connected(url: str, key: str | None) -> Iterator[Client]:
    """Open a client of the service at an address; without a key it is REID_KEY."""
    try:
        client = Client(url, key)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--url or --key") from exc
    with client:
        yield client


@contextmanager
def told() -> Iterator[None]:
    """Turn the client's errors into the command line's."""
    try:
        yield
    except ReidError as exc:
        advice = "; is reid serve running there?" if exc.code == "connection_failed" else ""
        raise CommandError(f"{exc}{advice}") from exc


def _sample(entry: Entry) -> NewSample:
    return NewSample(
        entry.path, entry.identity, entry.camera, entry.captured_at, dict(entry.attributes), entry.external_id
    )


def _taken(outcomes: list[Outcome]) -> list[Outcome]:
    taken = outcomes[:]
    outcomes.clear()
    return taken
