import asyncio
import gc
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.errors import (
    FileTooLarge,
    InvalidParameter,
    MalformedRequest,
    RequestTooLarge,
    ServiceError,
    TooManyImages,
)
from app.forms import MAX_FILE, MAX_JSON, MAX_REQUEST, MAX_TEXT, Form, read_form, read_json
from app.parameters import NewName

BOUNDARY = "xYzZY"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request(chunks: Sequence[bytes], kind: str) -> Request:
    waiting = list(chunks) or [b""]

    async def receive() -> dict[str, Any]:
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    headers = [(b"content-type", kind.encode("latin-1"))]
    return Request({"type": "http", "query_string": b"", "headers": headers}, receive)


def read(*chunks: bytes, kind: str = TYPE, max_files: int = 3) -> Form:
    return asyncio.run(read_form(request(chunks, kind), file_fields=("image",), max_files=max_files))


def read_name(*chunks: bytes, kind: str = "application/json") -> NewName:
    return asyncio.run(read_json(request(chunks, kind), NewName))


GOOD = body(part("image", b"\x00\xff\r\n--", "a.jpg"), part("top_k", b"5"), part("image", b"2", "b.jpg"))


@pytest.mark.parametrize("sent", [GOOD, GOOD[:-9], b"noise"])
def test_what_was_read_goes_without_a_look_for_garbage(sent: bytes) -> None:
    async def garbage() -> int:
        gc.collect()
        with suppress(MalformedRequest):
            await read_form(request([sent], TYPE), file_fields=("image",), max_files=3)
        return gc.collect()

    assert asyncio.run(garbage()) == 0


def test_files_and_fields_come_in_order() -> None:
    form = read(GOOD)
    assert [each.data for each in form.files] == [b"\x00\xff\r\n--", b"2"]
    assert form.fields == (("top_k", "5"),)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_chunking_changes_nothing(size: int) -> None:
    assert read(*(GOOD[start : start + size] for start in range(0, len(GOOD), size))) == read(GOOD)


def test_name_and_not_file_name_says_what_a_part_is() -> None:
    form = read(body(part("image", b"bytes"), part("metadata", b"[]", "metadata.json")))
    assert [each.data for each in form.files] == [b"bytes"]
    assert form.fields == (("metadata", "[]"),)


def test_a_file_over_the_limit_is_told_and_not_kept() -> None:
    form = read(body(part("image", b"x" * (MAX_FILE + 1), "a"), part("image", b"y", "b")))
    assert isinstance(form.files[0].error, FileTooLarge)
    assert f"at most {MAX_FILE} bytes, found {MAX_FILE + 1}" in str(form.files[0].error)
    assert form.files[0].data == b""
    assert (form.files[1].error, form.files[1].data) == (None, b"y")


def test_a_file_at_the_limit_is_taken() -> None:
    [taken] = read(body(part("image", b"x" * MAX_FILE, "a"))).files
    assert (taken.error, len(taken.data)) == (None, MAX_FILE)


def test_request_over_the_limit_is_refused_while_it_streams() -> None:
    chunk = b"x" * 1_000_000
    endless = [part("image", b"", "a")[:-2], *([chunk] * 65)]
    with pytest.raises(RequestTooLarge, match=str(MAX_REQUEST)):
        read(*endless)


def test_too_many_files_are_refused_at_the_first_too_many() -> None:
    with pytest.raises(TooManyImages, match="at most 3"):
        read(*(part("image", b"x", "a") for _ in range(4)))


def test_plain_fields_are_bounded_together() -> None:
    half = b"x" * (MAX_TEXT // 2)
    with pytest.raises(RequestTooLarge, match=str(MAX_TEXT)):
        read(body(part("a", half), part("b", half), part("c", b"x")))


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="at most 1024"):
        read(body(*(part("a", b"") for _ in range(1025))))


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", TYPE + "x" * 300],
)
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(MalformedRequest, match="expected"):
        read(GOOD, kind=kind)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no multipart at all",
        GOOD[:-6],
        GOOD[: len(GOOD) // 2],
        f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\n{'x' * 20_000}: 1\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\n".encode() + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_whole_form_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequest, match="expected"):
        read(data)


def test_a_field_that_is_no_text_is_named() -> None:
    with pytest.raises(InvalidParameter) as caught:
        read(body(part("gallery", b"\xff\xfe")))
    assert caught.value.field == "gallery"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_form_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    with suppress(ServiceError):
        read(bytes(damaged[:cut]), bytes(damaged[cut:]))


def test_json_object_is_read() -> None:
    assert read_name(b'{"identity":', b' "anna"}').identity == "anna"
    assert read_name(b'{"identity": "anna"}', kind="Application/JSON; charset=utf-8").identity == "anna"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"x"', b"null", b'{"identity": NaN}', b'{"identity": "\\ud800"}', b"\xff"]
)
def test_what_is_no_json_object_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest, match="expected"):
        read_name(data)


def test_json_of_another_content_type_is_malformed() -> None:
    with pytest.raises(MalformedRequest, match="application/json"):
        read_name(b'{"identity": "anna"}', kind="text/plain")


def test_json_is_bounded() -> None:
    with pytest.raises(RequestTooLarge, match=str(MAX_JSON)):
        read_name(*([b" " * 100_000] * 11))


@pytest.mark.parametrize(
    ("data", "field"), [(b"{}", "identity"), (b'{"identity": 5}', "identity"), (b'{"identity": "a", "b": 1}', "b")]
)
def test_wrong_json_field_is_named(data: bytes, field: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_name(data)
    assert caught.value.field == field
