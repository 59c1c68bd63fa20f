"""From an HTTP response to a record or an error; members that this version does not know are passed over."""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import httpx

from reid_client.errors import ReidError, UnexpectedAnswer, family
from reid_client.records import ItemError, Page, QueryResult

T = TypeVar("T")
REQUEST_ID = "X-Request-ID"


def record(kind: type[T]) -> Callable[[httpx.Response], T]:
    """Return what reads a response's JSON as a record of the kind; raises `UnexpectedAnswer`."""

    def read(response: httpx.Response) -> T:
        built: T = convert(response, kind, json_of(response))
        return built

    return read


def page(kind: type[T]) -> Callable[[httpx.Response], Page[T]]:
    """Return what reads one page of a listing."""

    def read(response: httpx.Response) -> Page[T]:
        body = members(response)
        return Page(items(kind)(response), convert(response, str | None, body.get("next_cursor")))

    return read


def items(kind: type[T]) -> Callable[[httpx.Response], tuple[T, ...]]:
    """Return what reads the `items` of a listing without pages."""

    def read(response: httpx.Response) -> tuple[T, ...]:
        found: tuple[T, ...] = convert(response, types.GenericAlias(tuple, (kind, ...)), members(response).get("items"))
        return found

    return read


def batch(response: httpx.Response) -> tuple[QueryResult | ItemError, ...]:
    """Read the results of a batch of queries: an answer or an error for each picture."""
    results = convert(response, tuple[Mapping[str, Any], ...], members(response).get("results"))
    return tuple(
        convert(response, ItemError, each["error"]) if "error" in each else convert(response, QueryResult, each)
        for each in results
    )


def nothing(response: httpx.Response) -> None:
    """Read an answer that says no more than its status."""


def content(response: httpx.Response) -> bytes:
    """Read a file."""
    return response.content


def member(name: str) -> Callable[[httpx.Response], str]:
    """Return what reads one text out of the JSON."""

    def read(response: httpx.Response) -> str:
        text: str = convert(response, str, members(response).get(name))
        return text

    return read


def problem(response: httpx.Response) -> ReidError:
    """Return the error that a response tells; one without a problem's members comes from something in between."""
    try:
        body = response.json()
    except ValueError:
        body = None
    told = body if isinstance(body, dict) else {}
    request_id = told.get("request_id") or response.headers.get(REQUEST_ID)
    return family(response.status_code)(
        str(
            told.get("detail") or f"{response.status_code} {response.reason_phrase}: {response.text[:200]}".strip(": ")
        ),
        code=str(told.get("code") or f"http_{response.status_code}"),
        status=response.status_code,
        field=told.get("field"),
        request_id=request_id,
    )


def json_of(response: httpx.Response) -> Any:  # noqa: ANN401 - any JSON
    """Return a response's JSON; raise `UnexpectedAnswer`."""
    try:
        return response.json()
    except ValueError as exc:
        raise _unexpected(response, f"expected JSON, found {response.text[:100]!r}") from exc


def members(response: httpx.Response) -> dict[str, Any]:
    """Return a response's JSON object; raise `UnexpectedAnswer`."""
    body: dict[str, Any] = convert(response, dict[str, Any], json_of(response))
    return body


def convert(response: httpx.Response, kind: Any, value: Any) -> Any:  # noqa: ANN401 - kinds are annotations
    """Build a value of an annotated kind from JSON; raise `UnexpectedAnswer` where it does not fit."""
    try:
        return _convert(kind, value)
    except (TypeError, ValueError, KeyError) as exc:
        raise _unexpected(response, f"expected {getattr(kind, '__name__', kind)}, found {exc}") from exc


def _convert(kind: Any, value: Any) -> Any:  # noqa: ANN401
    origin = get_origin(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _record(kind, value)
    if origin in (Union, types.UnionType):
        return (
            None if value is None else _convert(next(each for each in get_args(kind) if each is not type(None)), value)
        )
    if origin is tuple:
        return tuple(_convert(get_args(kind)[0], each) for each in _require(list, value))
    if origin in (dict, Mapping):
        return _require(dict, value)
    if origin is Literal:
        return _require(str, value)  # a newer service may have one more
    if kind is datetime:
        return datetime.fromisoformat(_require(str, value))
    if kind is float:
        return float(_require((int, float), value))
    return _require(kind, value)


def _record(kind: Any, value: Any) -> Any:  # noqa: ANN401
    given = _require(dict, value)
    built = {}
    for name, (annotation, required) in _members(kind).items():
        if name in given:
            built[name] = _convert(annotation, given[name])
        elif required:
            raise KeyError(f"no member {name}")
    return kind(**built)


@cache
def _members(kind: Any) -> dict[str, tuple[Any, bool]]:  # noqa: ANN401
    hints = typing.get_type_hints(kind)
    return {each.name: (hints[each.name], each.default is MISSING) for each in fields(kind)}


def _require(kind: Any, value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(repr(value)[:100])
    return value


def _unexpected(response: httpx.Response, detail: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"{response.request.method} {response.request.url.netloc.decode()}: {detail}",
        code="unexpected_answer",
        status=response.status_code,
        request_id=response.headers.get(REQUEST_ID),
    )
