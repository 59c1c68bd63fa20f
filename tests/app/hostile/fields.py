"""Texts of every bad shape in every field and path, wrong types, and documents that are deep, wide or not JSON."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from tests.app.hostile.wire import (
    BOUNDARY,
    Entry,
    form,
    form_request,
    json_request,
    part,
    request,
)
from tests.app.parts import VERSION, person

_PICTURE = person(5)
_DIM = 96
_PARAMETER, _METADATA, _MALFORMED = "400 invalid_parameter", "400 invalid_metadata", "400 malformed_request"
_REJECTED = "422 items"  # the answer to an enrolment of which every item was rejected

# Texts that a name may be: each must be kept as it is, and be found, renamed and erased by it.
NAMES = {
    "path": "../../../../etc/passwd",
    "Windows path": "..\\..\\windows\\system32",
    "a dot": ".",
    "two dots": "..",
    "slashes": "//",
    "a slash at the end": "anna/",
    "an encoded slash": "a%2Fb",
    "absolute path": "/etc/shadow",
    "SQL": "'; DROP TABLE samples; --",
    "SQL condition": "' OR '1'='1",
    "SQL wildcard": "%_%",
    "SQL null": "NULL",
    "Jinja": "{{ 7*7 }}{% raw %}",
    "format": "{0.__class__.__mro__}%s%n%x",
    "JNDI": "${jndi:ldap://127.0.0.1/a}",
    "shell": "$(reboot)`reboot`;reboot|reboot",
    "markup": "<script>alert(1)</script>",
    "XML entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>&b;',
    "query string": "a?b=c&d=e#f",
    "plus and space": "a + b",
    "quotes": "\"'`",
    "null by name": "null",
    "a JSON object": '{"$ne": null}',
    "right to left": "\u202egpj.exe",
    "joiners": "\u200d\u200b\ufeff",
    "emoji": "\U0001f469\u200d\U0001f9b0",
    "not a character": "\ufffe\U0010ffff",
    "many accents": "a" + "\u0301" * 200,
    "a space": " ",
    "256 letters": "x" * 256,
}
# Those that a client, a proxy or a router could take for another path.
AWKWARD = ("path", "a dot", "two dots", "slashes", "a slash at the end", "an encoded slash", "query string", "a space")
# Those that nothing but a name could be hurt by.
_HARMLESS = (
    "SQL wildcard",
    "emoji",
    "plus and space",
    "null by name",
    "joiners",
    "many accents",
    "256 letters",
    "shell",
)
# Texts that no name may be.
NO_NAMES = {
    "empty": "",
    "NUL": "a\0b",
    "newline": "a\nb",
    "carriage return": "a\r\nX-Evil: 1",
    "escape": "\x1b[2J",
    "delete": "\x7f",
    "C1": "\x85",
    "257 letters": "x" * 257,
    "a million letters": "x" * 1_000_000,
}
# Bytes that are no UTF-8.
NO_TEXT = {
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "half a character": b"\xe2\x82",
    "Latin-1": b"f\xfcr",
    "UTF-16": "anna".encode("utf-16"),
}
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 10**18,
    "a negative": -1,
    "a fraction": 0.5,
    "a word": "ten",
    "a list": [[[]]],
    "an object": {"$gt": ""},
}


def _raw(text: bytes) -> str:
    return quote(text, safe="")


def names() -> Iterator[Entry]:
    """Yield every text in every place that takes one."""
    for name, text in NAMES.items():
        yield from _named(name, text.encode(), "201", "200", "200")
    for name, text in NO_NAMES.items():
        # a query string of a megabyte is refused as a head that is too large
        yield from _named(name, text.encode(), _REJECTED, _PARAMETER, f"{_PARAMETER} | {_MALFORMED}")
    for name, data in NO_TEXT.items():
        yield from _named(name, data, _PARAMETER, _PARAMETER, _MALFORMED)


def _named(name: str, text: bytes, enrolled: str, queried: str, listed: str) -> Iterator[Entry]:
    for field in ("identity", "camera", "external_id"):
        fields: dict[str, str | bytes] = {"gallery": "hostile", "identity": f"{field} {name}"} | {field: text}
        yield Entry(f"{name}, enrolled as {field}", form_request("/gallery", form([_PICTURE], fields)), enrolled)
    for field in ("camera", "exclude_camera"):
        yield Entry(f"{name}, queried as {field}", form_request("/query", form([_PICTURE], {field: text})), queried)
    for field in ("identity", "camera"):
        yield Entry(f"{name}, listed as {field}", request("GET", f"/gallery?{field}={_raw(text)}"), listed)


_GALLERY = f"404 gallery_not_found | {_PARAMETER} | 200"  # 200: the entry that makes it may be under way beside


def places() -> Iterator[Entry]:
    """Yield every text in the places that look something up."""
    for name, data in _texts():
        yield from _looked_up(name, data)
        yield from _in_headers(name, data)


def _texts() -> Iterator[tuple[str, bytes]]:
    for name, text in {**NAMES, **NO_NAMES}.items():
        if name not in _HARMLESS and len(text) < 1_000:
            yield name, text.encode()
    yield from NO_TEXT.items()


def _looked_up(name: str, data: bytes) -> Iterator[Entry]:
    for told, sent, codes in _paths(name, data):
        yield Entry(told, sent, _MALFORMED if data in NO_TEXT.values() else codes)
    fields = form([_PICTURE], {"gallery": data})
    yield Entry(f"{name}, a form's gallery", form_request("/query", fields), _GALLERY)
    sent = form_request("/query", form([], {"sample_id": data}))
    yield Entry(f"{name}, sample_id", sent, f"404 sample_not_found | {_PARAMETER}")


def _paths(name: str, data: bytes) -> Iterator[tuple[str, bytes, str]]:
    raw, unknown = _raw(data), "404 gallery_not_found"
    path = "404 not_found | 405 method_not_allowed"
    yield f"{name}, a gallery", request("GET", f"/gallery?gallery={raw}"), _GALLERY
    yield f"{name}, made", json_request(f"/galleries/{raw}", {}, "PUT"), f"{_PARAMETER} | {path} | 200"
    gone = f"{unknown} | {_PARAMETER} | {path}"
    yield f"{name}, a gallery erased", request("DELETE", f"/galleries/{raw}"), gone + " | 200"
    sample = f"404 sample_not_found | {_PARAMETER} | {path}"
    # no sample at all is the listing
    yield f"{name}, a sample", request("GET", f"/gallery/{raw}"), sample + " | 200" * (not raw)
    yield f"{name}, a picture", request("GET", f"/gallery/{raw}/image"), sample
    yield f"{name}, deleted", request("DELETE", f"/gallery/{raw}"), sample
    yield f"{name}, changed", json_request(f"/gallery/{raw}", {"camera": "c"}, "PATCH"), sample
    person_codes = f"404 identity_not_found | {_PARAMETER} | {path}"
    for method in ("GET", "DELETE"):
        # the gallery has none of these names
        target = f"/identities/{raw}"
        yield f"{name}, {method} identity", request(method, target), person_codes
    yield f"{name}, renamed", json_request(f"/identities/{raw}", {"identity": "new"}, "PATCH"), person_codes
    yield f"{name}, a version", request("GET", f"/models/{raw}"), f"404 model_not_found | {path}"
    yield f"{name}, activated", request("POST", f"/models/{raw}/activate"), f"404 model_not_found | {path}"
    yield f"{name}, a migration", request("GET", f"/migrations/{raw}"), f"404 migration_not_found | {path}"
    cursor = request("GET", f"/gallery?cursor={raw}")
    yield f"{name}, a cursor", cursor, f"{_PARAMETER} | 200"
    yield f"{name}, people's cursor", request("GET", f"/identities?cursor={raw}"), f"{_PARAMETER} | 200"
    yield f"{name}, a path", request("GET", f"/{raw}"), path + " | 200" * (data in (b"", b"."))
    yield f"{name}, a parameter's name", request("GET", f"/gallery?{raw}=1"), f"{_PARAMETER} | 200"


def _in_headers(name: str, data: bytes) -> Iterator[Entry]:
    sent = b"GET /identities HTTP/1.1\r\nHost: localhost\r\n%s: " + data + b"\r\nConnection: close\r\n\r\n"
    for header in (b"X-Request-ID", b"X-Forwarded-For"):
        yield Entry(f"{name}, {header.decode()}", sent.replace(b"%s", header, 1), f"200 | {_MALFORMED}")
    for header in (b"X-API-Key", b"Authorization"):
        # no key was made, so that a wrong one is refused and none is not
        yield Entry(
            f"{name}, {header.decode()}", sent.replace(b"%s", header, 1), f"200 | {_MALFORMED} | 401 unauthorized"
        )
    field = part(data, b"1") + f"--{BOUNDARY}--\r\n".encode()
    refused = f"{_PARAMETER} | {_MALFORMED}"
    yield Entry(f"{name}, a field's name", form_request("/query", part("image", _PICTURE, "a") + field), refused)


def numbers() -> Iterator[Entry]:
    """Yield what is no number, or none in range, wherever a number is taken."""
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "0x10",
        "1_000",
        "1e2",
        "",
        "٣",
        "1" * 5_000,
        "--1",
    ):
        for field in ("top_k", "samples_per_identity", "threshold", "false_match_rate", "false_alarm_rate"):
            sent = form_request("/query", form([_PICTURE], {field: text}))
            kept = " | 200" if (field, text) in _IN_RANGE else ""
            yield Entry(f"{field}={text[:20]}", sent, _PARAMETER + kept)
        yield Entry(
            f"limit={text[:20]}", request("GET", f"/gallery?limit={_raw(text.encode())}"), f"{_PARAMETER} | 200"
        )
    for text in ("NaN", "Infinity", "-Infinity", "1e400", "nan", "1e-400", "9" * 400):
        body = b'{"model_version": "%s", "embedding": [%s]}' % (VERSION.encode(), ", ".join([text] * _DIM).encode())
        yield Entry(f"embedding of {text[:12]}", json_request("/query", body), f"{_MALFORMED} | {_PARAMETER}")
        body = b'{"attributes": {"a": %s}}' % text.encode()
        yield Entry(
            f"attribute {text[:12]}",
            json_request("/gallery/none", body, "PATCH"),
            f"{_MALFORMED} | {_PARAMETER} | 404 sample_not_found",
        )
        metadata = b'[{"identity": "n", "attributes": {"a": %s}}]' % text.encode()
        sent = form_request("/gallery", form([_PICTURE], {"gallery": "hostile", "metadata": metadata}))
        yield Entry(f"metadata with {text[:12]}", sent, f"{_METADATA} | {_REJECTED} | 201")


_IN_RANGE = {("top_k", "1e2"), ("samples_per_identity", "1e2"), ("top_k", "1_000")}


def types() -> Iterator[Entry]:
    """Yield wrong types in every field of every JSON body."""
    good: dict[str, Any] = {"model_version": VERSION, "embedding": [1.0] * _DIM}
    for field in (
        "gallery", "top_k", "samples_per_identity", "camera", "exclude_camera", "captured_after", "captured_before",
        "attributes", "false_match_rate", "false_alarm_rate", "threshold", "rerank", "sample_id", "model_version",
        "embedding", "unknown",
    ):  # fmt: skip
        for name, value in VALUES.items():
            codes = f"{_PARAMETER} | {_MALFORMED} | 404 gallery_not_found | 409 model_mismatch | 422 dimension_mismatch"
            codes += " | 200" * (json.dumps(value) in _TAKEN.get(field, ()))
            yield Entry(f"{field} is {name}", json_request("/query", good | {field: value}), codes)
    for field in ("identity", "camera", "captured_at", "attributes", "external_id", "unknown"):
        for name, value in VALUES.items():
            refused = f"{_PARAMETER} | {_MALFORMED} | 404 sample_not_found"
            yield Entry(
                f"{field} is changed to {name}", json_request("/gallery/none", {field: value}, "PATCH"), refused
            )
            metadata = json.dumps([{"identity": "typed", field: value}])
            sent = form_request("/gallery", form([_PICTURE], {"gallery": "hostile", "metadata": metadata}))
            taken = " | 201" * (value is None and field != "unknown") + " | 201" * (value in ("ten", {"$gt": ""}))
            yield Entry(f"{field} is enrolled as {name}", sent, _REJECTED + taken)
    for field in ("retention_days", "store_images", "unknown"):
        for name, value in VALUES.items():
            kept = " | 200" * ((field, value) in (("retention_days", None), ("store_images", True)))
            sent = json_request("/galleries/typed", {field: value}, "PUT")
            yield Entry(f"{field} is set to {name}", sent, f"{_PARAMETER} | {_MALFORMED}{kept}")
            sent = json_request("/identities/nobody", {"identity": value, field: value}, "PATCH")
            yield Entry(f"a name with {field} {name}", sent, f"{_PARAMETER} | {_MALFORMED}")


_TAKEN = {
    "gallery": (),
    "samples_per_identity": (),
    "captured_after": ("null",),
    "captured_before": ("null",),
    "attributes": ('{"$gt": ""}',),
    "false_match_rate": (),
    "false_alarm_rate": ("null", "0.5"),
    "threshold": ("null", "-1", "0.5"),
    "rerank": ("true",),
    "sample_id": ("null",),
}


def documents() -> Iterator[Entry]:
    """Yield bodies that are deep, wide, large or no JSON."""
    deep = b'{"attributes": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
    lists = b'{"embedding": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    cases: dict[str, tuple[bytes, str]] = {
        "10,000 objects deep": (deep, _MALFORMED),
        "10,000 lists deep": (lists, _MALFORMED),
        "a million brackets": (b"[" * 900_000, _MALFORMED),
        "200 deep": (b'{"attributes": ' + b'{"a":' * 200 + b"1" + b"}" * 201, _PARAMETER),
        "100,000 keys": (json.dumps({f"k{each}": 1 for each in range(60_000)}).encode(), _PARAMETER),
        "one key often": (b"{" + b'"top_k":1,' * 90_000 + b'"top_k":1}', _PARAMETER),
        "over a megabyte": (b'{"a": "' + b"x" * 1_100_000 + b'"}', "413 request_too_large"),
        "nothing": (b"", _MALFORMED),
        "a list": (b"[]", _MALFORMED),
        "null": (b"null", _MALFORMED),
        "a byte order mark": (b'\xef\xbb\xbf{"sample_id": "a"}', _MALFORMED),
        "UTF-16": ('{"sample_id": "a"}'.encode("utf-16"), _MALFORMED),
        "no UTF-8": (b'{"sample_id": "\xff"}', _MALFORMED),
        "half a surrogate": (b'{"sample_id": "\\ud800"}', _MALFORMED),
        "an escaped NUL": (b'{"sample_id": "\\u0000"}', "404 sample_not_found | 400 invalid_parameter"),
        "two documents": (b"{}{}", _MALFORMED),
        "a comma too many": (b'{"top_k": 1,}', _MALFORMED),
        "a comment": (b'{"top_k": 1} // 1', _MALFORMED),
        "a pickle": (b"cos\nsystem\n(S'true'\ntR.", _MALFORMED),
        "XML": (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', _MALFORMED),
        "a prototype": (b'{"__proto__": {"admin": true}, "constructor": 1}', _PARAMETER),
        "an embedding of 8193": (b'{"embedding": [' + b"1," * 8_192 + b"1]}", f"{_PARAMETER}"),
        "256,000 cameras": (b'{"camera": [' + b'"c",' * 200_000 + b'"c"]}', _PARAMETER),
    }
    for name, (body, codes) in cases.items():
        yield Entry(f"{name}, queried", json_request("/query", body), codes)
    for name, metadata, codes in (
        ("deep", b"[" * 10_000 + b"]" * 10_000, _METADATA),
        (
            "a deep attribute",
            b'[{"identity": "d", "attributes": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}]",
            _REJECTED,
        ),
        ("3.9 MB", b'[{"identity": "d", "attributes": {"a": "' + b"x" * 3_900_000 + b'"}}]', _REJECTED),
        ("5 MB", b"x" * 5_000_000, "413 request_too_large"),
        ("100,000 entries", b"[" + b"{}," * 100_000 + b"{}]", _METADATA),
        ("an object", b"{}", _METADATA),
        ("nothing", b"", _METADATA),
        ("numbers", b"[1]", _METADATA),
        ("null", b"[null]", _METADATA),
        ("an empty entry", b"[{}]", _REJECTED),
        ("a giant key", b'[{"identity": "d", "' + b"k" * 100_000 + b'": 1}]', _REJECTED),
        ("NaN", b'[{"identity": NaN}]', _METADATA),
    ):
        yield Entry(f"metadata: {name}", form_request("/gallery", form([_PICTURE], {"metadata": metadata})), codes)


def times() -> Iterator[Entry]:
    """Yield times that do not exist, or not in one meaning."""
    for text in (
        "now", "0", "2026-05-01", "2026-05-01T10:00:00", "2026-02-30T10:00:00Z", "2026-05-01T24:00:01Z", "9" * 5_000,
        "2026-05-01T10:00:60Z", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59", "2026-05-01T10:00:00+99:99", "2026-05-01T10:00:00Z\0", "2026-05-01T10:00:00Z\n",
        "٢٠٢٦-05-01T10:00:00Z", "2026-W18-5T10:00:00Z", "-2026-05-01T10:00:00Z",
    ):  # fmt: skip
        for field in ("captured_after", "captured_before"):
            sent = form_request("/query", form([_PICTURE], {field: text}))
            yield Entry(f"{field}={text[:30]!r}", sent, _PARAMETER)
        listed = request("GET", f"/gallery?captured_after={_raw(text.encode())}")
        yield Entry(f"listed after {text[:30]!r}", listed, _PARAMETER)
        sent = form_request("/gallery", form([_PICTURE], {"gallery": "hostile", "identity": "t", "captured_at": text}))
        yield Entry(f"captured_at={text[:30]!r}", sent, _REJECTED)


TABLES: dict[str, Callable[[], Iterator[Entry]]] = {
    "places": places,
    "numbers": numbers,
    "types": types,
    "documents": documents,
    "times": times,
}
