"""Each call of the API as a value: what is sent, how its answer is read, and whether it may be sent again."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar, cast
from urllib.parse import quote

import httpx

from reid_client import answers
from reid_client.errors import AnswerLost, NotFound
from reid_client.pictures import Picture, Pictures, each_of, read_picture
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
    Page,
    QueryResult,
    Sample,
    Verification,
)

T = TypeVar("T")
Field: TypeAlias = tuple[str, str]
File: TypeAlias = tuple[str, tuple[str, bytes]]
REJECTED = 422
_REPEATABLE = ("camera", "exclude_camera")
FILE_NAME = "image"  # names of files may tell who is on them, and the service judges by content


class Decision(TypedDict, total=False):
    """Where the line between a match and none is drawn."""

    false_match_rate: float | None
    threshold: float | None


class Filters(Decision, total=False):
    """What a query may say besides who is sought."""

    gallery: str | None
    false_alarm_rate: float | None
    top_k: int | None
    samples_per_identity: int | None
    camera: str | Sequence[str] | None
    exclude_camera: str | Sequence[str] | None
    captured_after: datetime | None
    captured_before: datetime | None
    attributes: Mapping[str, Any] | None
    rerank: bool | None


class Changes(TypedDict, total=False):
    """What may be replaced of a sample; None clears (not `identity`)."""

    identity: str
    camera: str | None
    captured_at: datetime | None
    attributes: Mapping[str, Any] | None


class SampleFilters(TypedDict, total=False):
    """Which samples a listing has."""

    gallery: str | None
    identity: str | None
    camera: str | Sequence[str] | None
    captured_after: datetime | None
    captured_before: datetime | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    `repeatable`: sent twice it does no more than sent once, so it may be sent again when no answer came.
    `when_gone`: what a 404 means once an earlier attempt's answer was lost; returns when that is success.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Sequence[Field] = ()
    body: Any = None
    form: Sequence[Field] = ()
    files: Sequence[File] = ()
    repeatable: bool = True
    retried: bool = True
    accepted: tuple[int, ...] = ()
    when_gone: Callable[[NotFound], None] | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what httpx takes to send it."""
        given: dict[str, Any] = {"params": list(self.params)} if self.params else {}
        if self.body is not None:
            given["json"] = self.body
        if self.files:
            given["files"] = list(self.files)
            given["data"] = _grouped(self.form)
        return given


def query(
    pictures: Pictures | None,
    sample_id: str | None,
    embedding: Sequence[float] | None,
    model_version: str | None,
    filters: Filters,
) -> Call[QueryResult]:
    """Ask who is on the pictures, or on an enrolled sample, or whose an embedding is."""
    given = sum(each is not None for each in (pictures, sample_id, embedding))
    if given != 1:
        raise ValueError(f"expected pictures, a sample_id or an embedding, found {given} of them")
    read = answers.record(QueryResult)
    if pictures is not None:
        return Call("POST", "/query", read, form=_fields(filters), files=_files(each_of(pictures)))
    body = {name: _json(value, repeatable=name in _REPEATABLE) for name, value in filters.items() if value is not None}
    numbers = None if embedding is None else [float(each) for each in embedding]  # an array's are not JSON's
    sought = {"sample_id": sample_id, "embedding": numbers, "model_version": model_version}
    return Call("POST", "/query", read, body=body | {name: each for name, each in sought.items() if each is not None})


def query_batch(pictures: Sequence[Picture], filters: Filters) -> Call[tuple[QueryResult | ItemError, ...]]:
    """Ask who is on each of up to 64 pictures."""
    return Call("POST", "/query/batch", answers.batch, form=_fields(filters), files=_files(pictures))


def verify(first: Picture, second: Picture, decision: Decision) -> Call[Verification]:
    """Compare two pictures."""
    files = [("image_a", (FILE_NAME, read_picture(first))), ("image_b", (FILE_NAME, read_picture(second)))]
    return Call("POST", "/verify", answers.record(Verification), form=_fields(decision), files=files)


def embed(pictures: Pictures) -> Call[Embeddings]:
    """Embed up to 64 pictures."""
    return Call("POST", "/embed", answers.record(Embeddings), files=_files(each_of(pictures)))


def enrol(pictures: Sequence[bytes], entries: Sequence[str], gallery: str | None) -> Call[Enrolment]:
    """Enrol pictures with the JSON of what is told of each; sent again, what was taken is a duplicate."""
    form = [*_fields({"gallery": gallery}), ("metadata", f"[{','.join(entries)}]")]
    read = answers.record(Enrolment)
    return Call("POST", "/gallery", _enrolment(read), form=form, files=_files(pictures), accepted=(REJECTED,))


def samples(filters: SampleFilters, limit: int, cursor: str | None) -> Call[Page[Sample]]:
    """List one page of samples."""
    params = _fields({**filters, "limit": limit, "cursor": cursor})
    return Call("GET", "/gallery", answers.page(Sample), params)


def sample(sample_id: str, gallery: str | None) -> Call[Sample]:
    """Show a sample."""
    return Call("GET", f"/gallery/{_segment(sample_id)}", answers.record(Sample), _fields({"gallery": gallery}))


def picture(sample_id: str, gallery: str | None) -> Call[bytes]:
    """Fetch a sample's picture."""
    return Call("GET", f"/gallery/{_segment(sample_id)}/image", answers.content, _fields({"gallery": gallery}))


def update(sample_id: str, gallery: str | None, changes: Changes) -> Call[Sample]:
    """Replace fields of a sample."""
    body = {name: _json(value) for name, value in changes.items()}
    params = _fields({"gallery": gallery})
    return Call("PATCH", f"/gallery/{_segment(sample_id)}", answers.record(Sample), params, body)


def delete(sample_id: str, gallery: str | None) -> Call[None]:
    """Delete a sample; one that is gone after an answer was lost is deleted."""
    path, params = f"/gallery/{_segment(sample_id)}", _fields({"gallery": gallery})
    return Call("DELETE", path, answers.nothing, params, when_gone=_deleted)


def identities(gallery: str | None, limit: int, cursor: str | None) -> Call[Page[Identity]]:
    """List one page of people."""
    params = _fields({"gallery": gallery, "limit": limit, "cursor": cursor})
    return Call("GET", "/identities", answers.page(Identity), params)


def identity(name: str, gallery: str | None) -> Call[Identity]:
    """Show a person."""
    return Call("GET", f"/identities/{_segment(name)}", answers.record(Identity), _fields({"gallery": gallery}))


def rename(name: str, new: str, gallery: str | None) -> Call[Identity]:
    """Give a person another name. Sent twice, the second would not find the old one."""
    path, params = f"/identities/{_segment(name)}", _fields({"gallery": gallery})
    return Call("PATCH", path, answers.record(Identity), params, {"identity": new}, repeatable=False)


def erase(name: str, gallery: str | None) -> Call[Erased]:
    """Erase a person."""
    path, params = f"/identities/{_segment(name)}", _fields({"gallery": gallery})
    return Call("DELETE", path, answers.record(Erased), params, when_gone=_answer_lost)


def galleries() -> Call[tuple[Gallery, ...]]:
    """List galleries."""
    return Call("GET", "/galleries", answers.items(Gallery))


def put_gallery(name: str, retention_days: int | None, store_images: bool) -> Call[Gallery]:
    """Make or set a gallery."""
    body = {"retention_days": retention_days, "store_images": store_images}
    return Call("PUT", f"/galleries/{_segment(name)}", answers.record(Gallery), body=body)


def delete_gallery(name: str) -> Call[Erased]:
    """Erase a gallery with everything in it."""
    return Call("DELETE", f"/galleries/{_segment(name)}", answers.record(Erased), when_gone=_answer_lost)


def models() -> Call[Models]:
    """List model versions."""
    return Call("GET", "/models", answers.record(Models))


def model(version: str) -> Call[Model]:
    """Show a model version."""
    return Call("GET", f"/models/{_segment(version)}", answers.record(Model))


def activate(version: str, *, force: bool, leave_out: bool) -> Call[str]:
    """Move every gallery to a version."""
    path = f"/models/{_segment(version)}/activate"
    asked = _fields({"force": force, "leave_out": leave_out})
    return Call("POST", path, answers.member("migration_id"), asked, repeatable=False)


def migrations() -> Call[tuple[Migration, ...]]:
    """List changes of the active version."""
    return Call("GET", "/migrations", answers.items(Migration))


def migration(migration_id: str) -> Call[Migration]:
    """Show a change of the active version."""
    return Call("GET", f"/migrations/{_segment(migration_id)}", answers.record(Migration))


def change_migration(migration_id: str, verb: str) -> Call[Migration]:
    """Cancel, roll back or finalize a change."""
    path = f"/migrations/{_segment(migration_id)}/{verb}"
    return Call("POST", path, answers.record(Migration), repeatable=False)


def health(kind: str) -> Call[None]:
    """Ask how the service is; a bad answer is an answer and is not asked again."""
    return Call("GET", f"/health/{kind}", answers.nothing, retried=False)


def _enrolment(read: Callable[[httpx.Response], Enrolment]) -> Callable[[httpx.Response], Enrolment]:
    def checked(response: httpx.Response) -> Enrolment:
        # 422 has a body of items, unless something in between answered
        if response.status_code == REJECTED and "items" not in answers.members(response):
            raise answers.problem(response)
        return read(response)

    return checked


def _deleted(error: NotFound) -> None:
    if error.code != "sample_not_found":
        raise error


def _answer_lost(error: NotFound) -> None:
    raise AnswerLost(
        f"the answer of a first attempt was lost, and now there is nothing to delete: {error.detail}",
        code="answer_lost",
        status=error.status,
        request_id=error.request_id,
    ) from error


def _segment(name: str) -> str:
    """Return a name as one segment of a path; a URL's `.` and `..` would be taken as directions."""
    if not name:
        raise ValueError("expected a name, found an empty one")
    return name.replace(".", "%2E") if name in {".", ".."} else quote(name, safe="")


def _files(pictures: Iterable[Picture]) -> list[File]:
    files = [("image", (FILE_NAME, read_picture(each))) for each in pictures]
    if not files:
        raise ValueError("expected at least one picture, found none")
    return files


def _fields(values: Mapping[str, Any]) -> list[Field]:
    """Return plain fields; None is left out, a sequence is repeated."""
    found: list[Field] = []
    for name, value in values.items():
        if isinstance(value, list | tuple | set | frozenset):
            found += [(name, _text(each)) for each in value]
        elif value is not None:
            found.append((name, _text(value)))
    return found


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value)


def _json(value: object, *, repeatable: bool = False) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if repeatable:
        return [value] if isinstance(value, str) else list(cast(Iterable[object], value))
    return value


def _grouped(fields: Iterable[Field]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, text in fields:
        grouped.setdefault(name, []).append(text)
    return grouped
