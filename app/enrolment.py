"""Taking pictures into a gallery, each with its own outcome."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from app.callers import Caller
from app.errors import InvalidMetadata, InvalidParameter, Overloaded
from app.forms import Form, Upload, form_values, parse_json, validate
from app.parameters import GalleryName, InGallery, NewSampleFields, Parameters
from app.pipeline import Pixels, Timing
from app.problems import item_error
from app.service import Service
from index.errors import ModelMismatch
from index.records import Embedding, Enrolled, EnrolStatus, NewSample
from model.container import read_container
from model.errors import ImageError
from model.quality import measure
from model.runtime import Embedder

MAX_IMAGES = 256
MAX_ENROLLING = 8  # requests that are worked on at once


class EnrolForm(NewSampleFields):
    """The plain fields of an enrolment of one picture."""

    gallery: GalleryName = "default"


class EnrolManyForm(Parameters):
    """The plain fields of an enrolment with metadata."""

    gallery: GalleryName = "default"
    metadata: str


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    upload: Upload
    fields: NewSampleFields
    digest: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A request whose form is right: pictures with what is told of each, or why that cannot be used."""

    gallery: str
    files: tuple[Upload, ...]
    entries: list[NewSampleFields | Exception]


def read_enrolment(form: Form, caller: Caller) -> Enrolment:
    """Pair files with metadata; raise `InvalidMetadata` when they cannot be paired, `Forbidden` out of reach."""
    if not form.files:
        raise InvalidParameter("image", "expected at least one image file")
    given = caller.fields_within(form.fields)
    if any(name == "metadata" for name, _ in given):
        many = validate(EnrolManyForm, form_values(EnrolManyForm, given))
        return Enrolment(many.gallery, form.files, [_entry(each) for each in _objects(many.metadata, len(form.files))])
    if len(form.files) > 1:
        raise InvalidMetadata(f"expected metadata for {len(form.files)} images, found none")
    # the gallery is the request's own field; the others are the item's, and fail as an item
    into = validate(InGallery, form_values(InGallery, [field for field in given if field[0] == "gallery"]))
    fields = [field for field in given if field[0] != "gallery"]
    return Enrolment(into.gallery, form.files, [_form_entry(fields)])


def _objects(metadata: str, count: int) -> list[dict[str, Any]]:
    try:
        entries = parse_json(metadata)
    except orjson.JSONDecodeError as exc:
        raise InvalidMetadata(f"expected a JSON array of objects: {exc}") from exc
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidMetadata("expected a JSON array of objects")
    if len(entries) != count:
        raise InvalidMetadata(f"expected one entry for each of {count} images, found {len(entries)}")
    return entries


def _entry(values: dict[str, Any]) -> NewSampleFields | Exception:
    try:
        return validate(NewSampleFields, values)
    except InvalidParameter as exc:
        return exc


def _form_entry(fields: Sequence[tuple[str, str]]) -> NewSampleFields | Exception:
    try:
        return validate(NewSampleFields, form_values(NewSampleFields, fields))
    except InvalidParameter as exc:
        return exc


def require_place(service: Service) -> None:
    """Raise `Overloaded` when all places for enrolments are taken."""
    if service.enrolling >= MAX_ENROLLING:
        raise Overloaded(f"expected at most {MAX_ENROLLING} enrolments at once; try again later")


@contextmanager
def admitted(service: Service) -> Iterator[None]:
    """Hold one of the places for enrolments; raise `Overloaded` when all are taken."""
    require_place(service)
    service.enrolling += 1
    try:
        yield
    finally:
        service.enrolling -= 1


async def enrol(service: Service, enrolment: Enrolment) -> dict[str, Any]:
    """Enrol what is good and new, and return what became of each item."""
    try:
        outcomes = await _outcomes(service, enrolment)
    except ModelMismatch:  # the version was changed between embedding and enrolling, perhaps by another process
        await service.pipeline.keep(service.engine.follow)
        outcomes = await _outcomes(service, enrolment)
    return _answer(service, outcomes)


async def _outcomes(service: Service, enrolment: Enrolment) -> list[Enrolled]:
    outcomes: dict[int, Enrolled] = {}
    items = await service.pipeline.keep(_items, enrolment, outcomes)
    keys = [(item.digest, item.fields.identity, item.fields.camera) for item in items]
    known = await service.pipeline.keep(service.engine.gallery.known, enrolment.gallery, keys)
    new: list[_Item] = []
    for item, sample_id in zip(items, known, strict=True):
        if sample_id is None:
            new.append(item)
        else:
            outcomes[item.index] = Enrolled(EnrolStatus.DUPLICATE, sample_id)
    embedder = service.engine.model.embedder
    good, vectors = await _embed(service, embedder, new, outcomes, counted_in=enrolment.gallery)
    if good:
        others = await _embed_otherwise(service, good)
        samples = [_sample(item, vector, more) for item, vector, more in zip(good, vectors, others, strict=True)]
        enrolled = await service.pipeline.keep(_enrol, service, enrolment.gallery, samples, embedder.version)
        outcomes |= {item.index: outcome for item, outcome in zip(good, enrolled, strict=True)}
    return [outcomes[index] for index in range(len(enrolment.files))]


def _items(enrolment: Enrolment, outcomes: dict[int, Enrolled]) -> list[_Item]:
    items = []
    for index, (upload, entry) in enumerate(zip(enrolment.files, enrolment.entries, strict=True)):
        error = entry if isinstance(entry, Exception) else upload.error
        if error is not None or isinstance(entry, Exception):
            outcomes[index] = Enrolled(EnrolStatus.REJECTED, error=error)
        else:
            items.append(_Item(index, upload, entry, hashlib.sha256(upload.data).hexdigest()))
    return items


async def _embed(
    service: Service,
    embedder: Embedder,
    items: Sequence[_Item],
    outcomes: dict[int, Enrolled],
    *,
    counted_in: str | None = None,
) -> tuple[list[_Item], list[Embedding]]:
    """Embed chunk by chunk, so that never more than one chunk of a request stands in the queue."""
    timing = Timing()
    good: list[_Item] = []
    vectors: list[Embedding] = []
    for chunk in _chunks(items, service.engine.settings.max_batch):
        decoded = await service.pipeline.decode([item.upload.data for item in chunk], embedder.contract, timing)
        pixels: list[Pixels] = []
        for item, each in zip(chunk, decoded, strict=True):
            if isinstance(each, ImageError):
                outcomes[item.index] = Enrolled(EnrolStatus.REJECTED, error=each)
            else:
                good.append(item)
                pixels.append(each)
        if pixels:
            if counted_in is not None:
                await service.pipeline.keep(_count_quality, service, counted_in, good[-len(pixels) :], pixels)
            vectors.extend(await service.pipeline.embed(embedder, pixels, timing, bulk=True))
    return good, vectors


async def _embed_otherwise(service: Service, items: Sequence[_Item]) -> list[dict[str, Embedding]]:
    """Embed with the other version of a migration too; what that cannot take is left to the migration to tell."""
    found: dict[int, dict[str, Embedding]] = {item.index: {} for item in items}
    for other in service.engine.others:
        good, vectors = await _embed(service, other.embedder, items, {})
        for item, vector in zip(good, vectors, strict=True):
            found[item.index][other.version] = vector
    return [found[item.index] for item in items]


def _count_quality(service: Service, gallery: str, items: Sequence[_Item], pixels: Sequence[Pixels]) -> None:
    for item, each in zip(items, pixels, strict=True):
        quality = measure(each, read_container(item.upload.data).height)
        service.drift.picture(gallery, item.fields.camera, quality)


def _chunks(items: Sequence[_Item], size: int) -> Iterable[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _sample(item: _Item, vector: Embedding, others: dict[str, Embedding]) -> NewSample:
    fields = item.fields
    return NewSample(
        identity=fields.identity,
        embedding=vector,
        picture=item.upload.data,
        camera=fields.camera,
        captured_at=fields.captured_at,
        attributes=fields.attributes,
        external_id=fields.external_id,
        others=others,
    )


def _enrol(service: Service, gallery: str, samples: Sequence[NewSample], version: str) -> list[Enrolled]:
    return service.engine.gallery.enrol(gallery, samples, model_version=version)


def _answer(service: Service, outcomes: Sequence[Enrolled]) -> dict[str, Any]:
    count = {status: sum(each.status is status for each in outcomes) for status in EnrolStatus}
    return {
        "created": count[EnrolStatus.CREATED],
        "duplicates": count[EnrolStatus.DUPLICATE],
        "rejected": count[EnrolStatus.REJECTED],
        "items": [_told(service, index, each) for index, each in enumerate(outcomes)],
    }


def _told(service: Service, index: int, outcome: Enrolled) -> dict[str, Any]:
    if outcome.error is None:
        return {"index": index, "status": outcome.status, "sample_id": outcome.sample_id}
    error = item_error(outcome.error)
    if error["code"] == "invalid_parameter":
        error["code"] = "invalid_metadata"  # it is the item's entry that is wrong, and not the request
    service.metrics.rejected(error["code"])
    return {"index": index, "status": outcome.status, "error": error}
