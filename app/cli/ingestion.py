"""The way of a picture into the gallery, in three overlapping stages: read and decode, embed, enrol."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Event
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.cli.entries import AnyEntry, BadEntry, Entry
from app.cli.failures import CommandError, explain
from app.engine import Engine, Model
from app.errors import FileTooLarge, InvalidMetadata
from app.forms import MAX_FILE
from app.problems import item_error
from index.errors import ModelMismatch
from index.records import Embedding, EnrolStatus, NewSample
from model.errors import ImageError, ModelError
from model.preprocess import prepare

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3)
_Vectors: TypeAlias = list[dict[str, Embedding]]  # of each picture, by version
A = TypeVar("A")
B = TypeVar("B")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: on disk (`created`, `duplicate`), or `rejected` and why."""

    where: str
    status: EnrolStatus
    sample_id: str | None = None
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class _Picture:
    entry: Entry
    data: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is to be embedded and enrolled together, and what is settled before that."""

    settled: list[Outcome]
    models: tuple[Model, ...]  # the version that serves, then the other one of a migration
    pictures: list[_Picture]
    pixels: list[list[Pixels | ImageError]]  # of each model


class Work(Protocol):
    """What enrols entries, wherever the gallery is."""

    def run(self, entries: Iterable[AnyEntry]) -> Iterator[list[Outcome]]:
        """Yield the outcomes batch by batch; what is yielded as created is on disk."""

    def stop(self) -> None:
        """End soon: what is being enrolled is finished, nothing more is begun."""


class Ingestion:
    """Enrols entries in batches; memory does not grow with their number."""

    def __init__(self, engine: Engine, gallery: str, batch_size: int) -> None:
        self._engine = engine
        self._gallery = gallery
        self._batch_size = batch_size
        self._stopped = Event()
        self._readers = ThreadPoolExecutor(engine.settings.threads)
        self._warned: str | None = None

    def stop(self) -> None:
        """End soon: what is being enrolled is finished, nothing more is begun."""
        self._stopped.set()

    def run(self, entries: Iterable[AnyEntry]) -> Iterator[list[Outcome]]:
        """Yield the outcomes batch by batch; what is yielded as created is on disk."""
        self._follow()
        stages = [ThreadPoolExecutor(1) for _ in range(3)]
        try:
            batches = _batched(entries, self._batch_size)
            read = _staged(self._read, self._until_stopped(batches), stages[0])
            embedded = _staged(self._embed, self._until_stopped(read), stages[1])
            yield from _staged(self._enrol, self._until_stopped(embedded), stages[2])
        finally:
            for stage in [*stages, self._readers]:
                stage.shutdown(cancel_futures=True)

    def _until_stopped(self, items: Iterable[A]) -> Iterator[A]:
        for item in items:
            if self._stopped.is_set():
                return
            yield item

    def _read(self, entries: list[AnyEntry]) -> _Batch:
        read = list(self._readers.map(_read_entry, entries))
        settled = [item for item in read if isinstance(item, Outcome)]
        pictures = [item for item in read if isinstance(item, _Picture)]
        keys = [(picture.digest, picture.entry.identity, picture.entry.camera) for picture in pictures]
        known = self._engine.gallery.known(self._gallery, keys)
        new = []
        for picture, sample_id in zip(pictures, known, strict=True):
            if sample_id is None:
                new.append(picture)
            else:
                settled.append(Outcome(picture.entry.where, EnrolStatus.DUPLICATE, sample_id))
        return self._decode(settled, new)

    def _models(self) -> tuple[Model, ...]:
        return self._engine.model, *self._engine.others

    def _decode(self, settled: list[Outcome], pictures: list[_Picture]) -> _Batch:
        models = self._models()
        good: list[_Picture] = []
        pixels: list[Pixels | ImageError] = []
        for picture, result in zip(pictures, self._prepared(models[0], pictures), strict=True):
            if isinstance(result, ImageError):
                settled.append(_rejected(picture.entry.where, result))
            else:
                good.append(picture)
                pixels.append(result)
        return _Batch(settled, models, good, [pixels, *(self._prepared(model, good) for model in models[1:])])

    def _prepared(self, model: Model, pictures: list[_Picture]) -> list[Pixels | ImageError]:
        return list(self._readers.map(partial(_prepare, model), pictures))

    def _embed(self, batch: _Batch) -> tuple[_Batch, _Vectors]:
        vectors: _Vectors = [{} for _ in batch.pictures]
        for model, results in zip(batch.models, batch.pixels, strict=True):
            # what the other version cannot take is left to the migration to tell
            pixels = {index: each for index, each in enumerate(results) if not isinstance(each, ImageError)}
            if pixels:
                rows = model.embedder.embed(np.stack(list(pixels.values())))
                for index, row in zip(pixels, rows, strict=True):
                    vectors[index][model.version] = row
        return batch, vectors

    def _enrol(self, embedded: tuple[_Batch, _Vectors]) -> list[Outcome]:
        batch, vectors = embedded
        if not batch.pictures:
            return batch.settled
        self._follow()
        if _names(batch.models) != _names(self._models()):  # a migration began, switched or ended since it was read
            batch, vectors = self._embed_again(batch)
        try:
            return self._taken(batch, vectors)
        except ModelMismatch:  # it switched just now
            self._engine.follow()
            return self._taken(*self._embed_again(batch))

    def _follow(self) -> None:
        """Take over what the catalogue says; who cannot open a migration's other version enrols without it."""
        try:
            self._engine.follow()
        except ModelError as exc:
            if str(exc) != self._warned:
                _log.warning("a model version cannot be used, so what is enrolled gets no vector of it: %s", exc)
            self._warned = str(exc)

    def _embed_again(self, batch: _Batch) -> tuple[_Batch, _Vectors]:
        return self._embed(self._decode(batch.settled, batch.pictures))

    def _taken(self, batch: _Batch, vectors: _Vectors) -> list[Outcome]:
        version = batch.models[0].version
        samples = [_sample(picture, version, each) for picture, each in zip(batch.pictures, vectors, strict=True)]
        results = self._engine.gallery.enrol(self._gallery, samples, model_version=version)
        outcomes = [
            Outcome(picture.entry.where, result.status, result.sample_id)
            if result.error is None
            else _rejected(picture.entry.where, result.error)
            for picture, result in zip(batch.pictures, results, strict=True)
        ]
        return [*batch.settled, *outcomes]


def _batched(items: Iterable[A], size: int) -> Iterator[list[A]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _staged(work: Callable[[A], B], items: Iterable[A], stage: ThreadPoolExecutor) -> Iterator[B]:
    """Yield `work(item)` in order, one item ahead of who asks."""
    waiting: deque[Future[B]] = deque()
    for item in items:
        waiting.append(stage.submit(work, item))
        if len(waiting) > 1:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_entry(entry: AnyEntry) -> _Picture | Outcome:
    """Read a picture's bytes; what is not a plain file of a fair size is not opened."""
    if isinstance(entry, BadEntry):
        return _rejected(entry.where, InvalidMetadata(entry.detail))
    try:
        if not entry.path.is_file():
            raise CommandError(f"{entry.path}: expected a picture file, found none")
        if (size := entry.path.stat().st_size) > MAX_FILE:
            raise FileTooLarge(f"expected a file of at most {MAX_FILE} bytes, found {size}")
        data = entry.path.read_bytes()
    except FileTooLarge as exc:
        return _rejected(entry.where, exc)
    except (CommandError, OSError, ValueError) as exc:  # ValueError: a NUL in the path
        return Outcome(entry.where, EnrolStatus.REJECTED, code="file_unreadable", detail=explain(exc))
    return _Picture(entry, data, hashlib.sha256(data).hexdigest())


def _prepare(model: Model, picture: _Picture) -> Pixels | ImageError:
    try:
        return prepare(picture.data, model.embedder.contract)
    except ImageError as exc:
        return exc


def _names(models: tuple[Model, ...]) -> list[str]:
    return [model.version for model in models]


def _sample(picture: _Picture, version: str, vectors: dict[str, Embedding]) -> NewSample:
    entry = picture.entry
    return NewSample(
        identity=entry.identity,
        embedding=vectors[version],
        picture=picture.data,
        camera=entry.camera,
        captured_at=entry.captured_at,
        attributes=entry.attributes,
        external_id=entry.external_id,
        others={name: vector for name, vector in vectors.items() if name != version},
    )


def _rejected(where: str, error: Exception) -> Outcome:
    told = item_error(error)
    return Outcome(where, EnrolStatus.REJECTED, code=told["code"], detail=told["detail"])
