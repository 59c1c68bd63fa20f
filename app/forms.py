"""Reading a request's body: bounded while it streams, validated field by field."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import (
    FileTooLarge,
    InvalidParameter,
    MalformedRequest,
    RequestTooLarge,
    TooManyImages,
)

MB = 1_000_000
MAX_FILE = 10 * MB
MAX_REQUEST = 64 * MB
MAX_JSON = 1 * MB
MAX_TEXT = 4 * MB  # of all plain fields together: the metadata of 256 pictures with full attributes
MAX_FIELDS = 1024

M = TypeVar("M", bound=BaseModel)


@dataclass(slots=True)
class _Part:
    name: str = ""
    is_file: bool = False
    size: int = 0
    chunks: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it came; over the limit its bytes were not kept."""

    name: str
    data: bytes
    size: int

    @property
    def error(self) -> FileTooLarge | None:
        """What is wrong with the file before anyone looks into it."""
        if self.size <= MAX_FILE:
            return None
        return FileTooLarge(f"expected a file of at most {MAX_FILE} bytes, found {self.size}")


@dataclass(frozen=True, slots=True)
class Form:
    """A form's files and its plain fields, in the order they came."""

    files: tuple[Upload, ...]
    fields: tuple[tuple[str, str], ...]


class FormReader:
    """Takes a multipart body chunk by chunk; what a part is follows from its name, not from a file name."""

    def __init__(self, boundary: bytes, file_fields: Collection[str], max_files: int) -> None:
        self._file_fields = file_fields
        self._max_files = max_files
        self._files: list[Upload] = []
        self._fields: list[tuple[str, str]] = []
        self._part = _Part()
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._text_size = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise MalformedRequest(f"expected multipart/form-data, found something else: {exc}") from exc

    def finish(self) -> Form:
        """Return the form; raise `MalformedRequest` when its last boundary never came."""
        if not self._ended:
            raise MalformedRequest("expected multipart/form-data up to its last boundary, the body ended before")
        return Form(tuple(self._files), tuple(self._fields))

    def close(self) -> None:
        """Let the parser go, which holds the reader: in a ring the pictures would stay until garbage is looked for."""
        del self._parser

    def _begin(self) -> None:
        self._part = _Part()
        self._disposition = b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedRequest("expected a name in the Content-Disposition of every part, found none")
        self._part.name = options[b"name"].decode("utf-8", "replace")
        self._part.is_file = self._part.name in self._file_fields
        if self._part.is_file and len(self._files) >= self._max_files:
            raise TooManyImages(f"expected at most {self._max_files} files, found more")
        if len(self._fields) >= MAX_FIELDS:
            raise MalformedRequest(f"expected at most {MAX_FIELDS} fields, found more")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if not part.is_file:
            self._text_size += end - start
            if self._text_size > MAX_TEXT:
                raise RequestTooLarge(f"expected at most {MAX_TEXT} bytes of plain fields, found more")
        elif part.size > MAX_FILE:
            part.chunks.clear()
            return
        part.chunks.append(data[start:end])

    def _on_part_end(self) -> None:
        part, data = self._part, b"".join(self._part.chunks)
        if part.is_file:
            self._files.append(Upload(part.name, data, part.size))
            return
        try:
            self._fields.append((part.name, data.decode("utf-8")))
        except UnicodeDecodeError as exc:
            raise InvalidParameter(
                part.name, "expected the name of a file field, or text in UTF-8; found other bytes"
            ) from exc

    def _on_end(self) -> None:
        self._ended = True


def content_type(request: Request) -> str:
    """Return the media type of the request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_address_fields(request: Request, place: str) -> None:
    """Raise `InvalidParameter` for a query string where the fields are the body's: nobody would read it."""
    name = next(iter(request.query_params), None)
    if name is not None:
        raise InvalidParameter(name[:100], f"expected it as a field of the {place}, found it in the address")


async def read_form(request: Request, *, file_fields: Collection[str], max_files: int) -> Form:
    """Read a multipart body; raise `MalformedRequest`, `RequestTooLarge` or `TooManyImages` as soon as known."""
    refuse_address_fields(request, "form")
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise MalformedRequest(
            f"expected the content type multipart/form-data with a boundary, found {content_type(request)!r}"
        )
    try:
        reader = FormReader(options[b"boundary"], file_fields, max_files)
    except FormParserError as exc:
        raise MalformedRequest(f"expected a shorter boundary: {exc}") from exc
    taken = 0
    with closing(reader):
        async for chunk in request.stream():
            taken = _count(taken, chunk, MAX_REQUEST)
            reader.write(chunk)
        return reader.finish()


async def read_json(request: Request, kind: type[M]) -> M:
    """Read a JSON object into its model; types are strict: `"10"` is not a number."""
    if content_type(request) != "application/json":
        raise MalformedRequest(f"expected the content type application/json, found {content_type(request)!r}")
    body = bytearray()
    async for chunk in request.stream():
        _count(len(body), chunk, MAX_JSON)
        body += chunk
    try:
        value = orjson.loads(body)  # stricter than pydantic's own reader: no NaN, no lone surrogates
    except orjson.JSONDecodeError as exc:
        raise MalformedRequest(f"expected JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise MalformedRequest(f"expected a JSON object, found {type(value).__name__}")
    return validate(kind, bytes(body))


def validate(kind: type[M], values: Mapping[str, Any] | bytes) -> M:
    """Build the model; raise `InvalidParameter` that names the first wrong field."""
    try:
        if isinstance(values, bytes):
            return kind.model_validate_json(values, strict=True)
        return kind.model_validate(values)
    except ValidationError as exc:
        raise invalid_parameter({**exc.errors(include_url=False)[0]}, kind) from exc


def form_values(kind: type[BaseModel], fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Collect plain fields for the model: repeatable ones as lists, JSON ones parsed."""
    values: dict[str, Any] = {}
    for name, text in fields:
        if is_repeatable(kind, name):
            values.setdefault(name, []).append(text)
        elif name in values:
            raise InvalidParameter(name, "expected the field once, found it again")
        else:
            values[name] = _parse_object(name, text) if name == "attributes" else text
    return values


def is_repeatable(kind: type[BaseModel], name: str) -> bool:
    """Tell whether a field of the model takes a list."""
    known = kind.model_fields.get(name)
    return known is not None and getattr(known.annotation, "__origin__", None) is list


def invalid_parameter(error: Mapping[str, Any], kind: type[BaseModel] | None = None) -> InvalidParameter:
    """Translate the first thing that pydantic found wrong."""
    name = str(error["loc"][0]) if error["loc"] else "body"
    if error["type"] == "extra_forbidden":
        known = ", ".join(kind.model_fields) if kind else "those of the documentation"
        return InvalidParameter(name[:100], f"unknown field; expected one of: {known}")
    if error["type"] == "missing":
        return InvalidParameter(name, "expected a value, found none")
    message = (
        error["msg"].removeprefix("Value error, ").replace("Input should be", "expected").replace(" should ", " to ")
    )
    return InvalidParameter(name, f"{message}, found {str(error['input'])[:100]!r}")


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever the JSON holds; the model checks it
    """Read JSON; raise `orjson.JSONDecodeError`. Integers keep their digits, so that the model can refuse them.

    orjson knows neither NaN nor lone surrogates, but makes a float of an integer over 64 bits.
    """
    value = orjson.loads(text)
    try:
        return from_json(text)
    except ValueError:  # it is deeper than this reader goes, and than the model takes
        return value


def _parse_object(name: str, text: str) -> Any:  # noqa: ANN401 - as above
    try:
        return parse_json(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidParameter(name, f"expected a JSON object: {exc}") from exc


def _count(taken: int, chunk: bytes, limit: int) -> int:
    if taken + len(chunk) > limit:
        raise RequestTooLarge(f"expected a request of at most {limit} bytes, found more")
    return taken + len(chunk)
