"""HTTP itself gone wrong: bodies and headers that lie about themselves, never end or come a byte at a time."""

import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from tests.app.hostile.wire import (
    BOUNDARY,
    CUT,
    PATIENCE,
    Entry,
    Sends,
    form,
    form_request,
    part,
    request,
)
from tests.app.parts import person

_MALFORMED, _PARAMETER = "400 malformed_request", "400 invalid_parameter"
_PICTURE = person(5)
_GOOD = form([_PICTURE])
_END = f"--{BOUNDARY}--\r\n".encode()
_FORM = f"multipart/form-data; boundary={BOUNDARY}"
_LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
_CLOSE = b"Connection: close\r\n\r\n"


def multipart() -> Iterator[Entry]:
    """Yield forms whose parts, boundaries or number are wrong."""
    for name, kind in (
        ("no boundary", "multipart/form-data"),
        ("an empty boundary", "multipart/form-data; boundary="),
        ("another boundary", "multipart/form-data; boundary=another"),
        ("an endless boundary", "multipart/form-data; boundary=" + "b" * 50_000),
        ("a boundary with a quote", 'multipart/form-data; boundary="b'),
        ("a boundary in Latin-1", "multipart/form-data; boundary=\xff\xfe"),
        ("multipart/mixed", f"multipart/mixed; boundary={BOUNDARY}"),
        ("a form of another kind", "application/x-www-form-urlencoded"),
        ("text", "text/plain"),
        ("JSON, which it is not", "application/json"),
        ("no kind", ""),
        ("a kind that is none", ";;;=;"),
        ("many parameters", "multipart/form-data" + "; a=b" * 10_000),
        ("a parameter in pieces", "multipart/form-data; boundary*0*=utf-8''%ff; boundary*1=x"),
    ):
        yield Entry(name, request("POST", "/query", _GOOD, kind=kind), _MALFORMED)
    yield Entry("two kinds", request("POST", "/query", _GOOD, "Content-Type: text/html", kind=_FORM), _MALFORMED)
    bare = b"--%s\r\n" % BOUNDARY.encode()
    cases: dict[str, tuple[bytes, str]] = {
        "nothing": (b"", _MALFORMED),
        "only an end": (_END, f"{_PARAMETER} | {_MALFORMED}"),
        "no end": (_GOOD.removesuffix(_END), _MALFORMED),
        "half an end": (_GOOD[:-4], _MALFORMED),
        "a cut picture": (_GOOD[: len(_GOOD) // 2], _MALFORMED),
        "line feeds alone": (_GOOD.replace(b"\r\n", b"\n"), _MALFORMED),
        "noise before": (b"noise" + _GOOD, _MALFORMED),
        "more behind": (_GOOD + b"noise" * 100, f"200 | {_MALFORMED}"),
        "a form behind": (_GOOD + _GOOD, f"200 | {_MALFORMED}"),
        "a part without headers": (bare + b"\r\nx\r\n" + _END, _MALFORMED),
        "a part without a name": (bare + b"Content-Disposition: form-data\r\n\r\nx\r\n" + _END, _MALFORMED),
        "an empty name": (part("", b"x") + _GOOD, _PARAMETER),
        "a name of 100 kB": (part("n" * 100_000, b"x") + _GOOD, f"{_PARAMETER} | {_MALFORMED}"),
        "a name of 2 MB": (part("n" * 2_000_000, b"x") + _GOOD, f"{_PARAMETER} | {_MALFORMED}"),
        "a header of 20 MB": (bare + b"X: " + b"h" * 20_000_000 + b"\r\n\r\n" + _END, _MALFORMED),
        "headers by the thousand": (bare + b"X: y\r\n" * 100_000 + b"\r\n" + _END, _MALFORMED),
        "a header that is none": (bare + b"\0\0\0\r\n\r\nx\r\n" + _END, _MALFORMED),
        "a file's name with a path": (_file(b'"../../etc/cron.d/x"'), "200"),
        "a file's name with NUL": (_file(b'"a\0.jpg"'), f"200 | {_MALFORMED}"),
        "a file's name of 100 kB": (_file(b'"' + b"f" * 100_000 + b'"'), f"200 | {_MALFORMED}"),
        "a file's name in pieces": (_file(b"a; filename*=utf-8''%00%ff"), "200"),
        "a lying encoding": (bare + b"Content-Transfer-Encoding: base64\r\n" + _GOOD[len(bare) :], "200"),
        "a form in the form": (
            part("image", _GOOD.replace(BOUNDARY.encode(), b"x"), "a") + _END,
            "415 unsupported_media",
        ),
        "1025 fields": (b"".join(part("camera", b"c") for _ in range(1_025)) + _GOOD, f"{_MALFORMED} | {_PARAMETER}"),
        "50,000 fields": (b"".join(part(f"f{each}", b"") for each in range(50_000)) + _GOOD, _MALFORMED),
        "257 cameras": (b"".join(part("camera", b"c") for _ in range(257)) + _GOOD, _PARAMETER),
        "33 pictures": (form([b"x"] * 33), "413 too_many_images"),
        "10,000 pictures": (form([b""] * 10_000), "413 too_many_images"),
        "a picture for a text": (part("gallery", _PICTURE, "a.jpg") + _GOOD, _PARAMETER),
        "a text for a picture": (part("image", b"anna") + _END, "415 unsupported_media"),
        "one field twice": (part("top_k", b"1") * 2 + _GOOD, _PARAMETER),
        "5 MB of text": (part("gallery", b"g" * 5_000_000) + _GOOD, "413 request_too_large"),
    }
    for name, (body, codes) in cases.items():
        yield Entry(name, form_request("/query", body), codes)
    for target in ("/query/batch", "/verify", "/embed", "/gallery"):
        yield Entry(f"nothing to {target}", form_request(target, b""), _MALFORMED)
        yield Entry(f"no picture to {target}", form_request(target, _END), f"{_PARAMETER} | {_MALFORMED}")
        yield Entry(
            f"an unknown field to {target}", form_request(target, part("x", b"y") + _GOOD), f"{_PARAMETER} | 422 items"
        )
        yield Entry(
            f"257 pictures to {target}",
            form_request(target, form([b""] * 257)),
            "413 too_many_images | 400 invalid_parameter",
        )
    yield Entry("70 MB", form_request("/gallery", form([bytes(7_000_000)] * 10)), "413 request_too_large")


def _file(name: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="image"; filename=' + name
    return b"--%s\r\n" % BOUNDARY.encode() + head + b"\r\n\r\n" + _PICTURE + b"\r\n" + _END


def lengths() -> Iterator[Entry]:
    """Yield bodies whose length is a lie, and requests that two servers could read in two ways."""
    head = f"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: {_FORM}\r\nConnection: close\r\n".encode()
    size, inner = len(_GOOD), _LIVE + _CLOSE

    def framed(name: str, framing: bytes, body: bytes, codes: str) -> Entry:
        return Entry(name, head + framing + b"\r\n\r\n" + body, codes)

    chunked = b"Transfer-Encoding: chunked"
    yield framed("too short a length", b"Content-Length: %d" % (size // 2), _GOOD, _MALFORMED)
    yield framed("too long a length", b"Content-Length: %d" % (size + 9), _GOOD, f"{_MALFORMED} | 200")
    for text in (
        b"-1", b"+5", b"0x10", b"1e3", b"", b"NaN", b"99999999999999999999", b"1 1", b"1,1", b"5\0", b"\xb2", b"1_0",
    ):  # fmt: skip
        yield framed(f"the length {text!r}", b"Content-Length: " + text, _GOOD, _MALFORMED)
    yield framed(
        "a length of 2^63-1", b"Content-Length: 9223372036854775807", b"", f"{_MALFORMED} | 413 request_too_large"
    )
    yield framed("two lengths", b"Content-Length: %d\r\nContent-Length: 5" % size, _GOOD, _MALFORMED)
    yield framed(
        "one length twice", b"Content-Length: %d\r\nContent-Length: %d" % (size, size), _GOOD, f"{_MALFORMED} | 200"
    )
    yield framed("no length", b"X: y", _GOOD, _MALFORMED)
    yield framed("length and chunks", b"Content-Length: 5\r\n" + chunked, b"0\r\n\r\n" + inner, _MALFORMED)
    yield framed("chunks and length", chunked + b"\r\nContent-Length: 5", b"0\r\n\r\n" + inner, _MALFORMED)
    for text in (
        b"xchunked",
        b"chunked, identity",
        b"identity",
        b"\x0bchunked",
        b"chunked\r\nTransfer-Encoding: x",
        b'"chunked"',
    ):
        yield framed(f"coding {text!r}", b"Transfer-Encoding: " + text, b"0\r\n\r\n" + inner, _MALFORMED)
    yield framed(
        "a coding with space before the colon", b"Transfer-Encoding : chunked", b"0\r\n\r\n" + inner, _MALFORMED
    )
    yield framed("a folded coding", b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + inner, _MALFORMED)
    for name, body in (
        ("a chunk that is no number", b"zz\r\n" + _GOOD),
        ("a negative chunk", b"-5\r\n" + _GOOD),
        ("a chunk of 2^64", b"1" + b"0" * 16 + b"\r\n" + _GOOD),
        ("a chunk of 2^68 in zeros", b"0" * 1_000 + b"5\r\nabcde\r\n0\r\n\r\n"),
        ("a chunk longer than told", b"2\r\nabcdef\r\n0\r\n\r\n"),
        ("a chunk shorter than told", b"20\r\nab\r\n0\r\n\r\n"),
        ("a chunk without its end", b"5\r\nabcde0\r\n\r\n"),
        ("chunks with line feeds", b"5\nabcde\n0\n\n"),
        ("an extension of 200 kB", b"5;" + b"e" * 200_000 + b"\r\nabcde\r\n0\r\n\r\n"),
        ("a trailer that smuggles", b"0\r\nContent-Length: 50\r\n\r\n" + inner),
        ("trailers by the thousand", b"0\r\n" + b"A: b\r\n" * 5_000 + b"\r\n"),
        ("nothing, in chunks", b"0\r\n\r\n"),
    ):
        yield framed(name, chunked, body, _MALFORMED)
    pieces = b"".join(b"1\r\n" + bytes([each]) + b"\r\n" for each in _GOOD) + b"0\r\n\r\n"
    yield framed("chunks of a byte", chunked, pieces, "200")
    yield Entry("a body in a GET", request("GET", "/health/live", inner), "200")
    yield Entry("a body that is not told of", _LIVE + _CLOSE + inner, "200")
    live = _LIVE + b"Content-Length: 0\r\n\r\n"
    yield Entry("a request behind a request", live + inner, "200", 2)
    yield Entry("a thousand requests at once", live * 1_000 + inner, "200", 1_001)
    yield Entry("a good one and noise", live + b"\0\1\2\r\n\r\n", f"200 | {_MALFORMED}", 2)
    bare_cr = b"GET /health/live HTTP/1.1\r\nHost: a\rTransfer-Encoding: chunked\r\n" + _CLOSE
    yield Entry("a carriage return alone", bare_cr, _MALFORMED)


def heads() -> Iterator[Entry]:
    """Yield request lines and headers that are none, or too much."""
    live = b"/health/live HTTP/1.1\r\nHost: localhost\r\n" + _CLOSE
    for method in (b"HEAD", b"PUT", b"OPTIONS", b"TRACE", b"PROPFIND", b"PURGE", b"M-SEARCH", b"QUERY"):
        yield Entry(
            f"the method {method.decode()}", method + b" " + live, f"405 method_not_allowed | 405 items | {_MALFORMED}"
        )
    for method in (b"", b"get", b"GET/", b"G\0T", b"X" * 100_000, b"\xff", b"EVIL", b"PRI", b"SOURCE", b"GET GET"):
        yield Entry(f"the method {method[:9]!r}", method + b" " + live, f"{_MALFORMED} | 405 method_not_allowed")
    yield Entry(
        "CONNECT",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n" + _CLOSE,
        f"{_MALFORMED} | 405 method_not_allowed | 404 not_found",
    )
    for target, codes in (
        ("http://example.org/health/live", "200"),
        ("http://a:b@127.0.0.1:1/health/live", "200 | " + _MALFORMED),
        ("https://[::1]/health/live", "200 | " + _MALFORMED),
        ("http://", _MALFORMED),
        ("//example.org/health/live", "404 not_found"),
        ("*", _MALFORMED + " | 404 not_found"),
        ("health/live", _MALFORMED),
        ("", _MALFORMED),
        ("/../../etc/passwd", "404 not_found"),
        ("/%2e%2e/%2e%2e/etc/passwd", "404 not_found"),
        ("/..%5c..%5cwindows", "404 not_found"),
        ("/docs/..", "404 not_found"),
        ("/docs%00.html", "404 not_found"),
        ("/health/live;a=b", "404 not_found"),
        ("/health/live/", "404 not_found"),
        ("//health//live", "404 not_found | 400 malformed_request"),
        ("/health/live#a", "200 | " + _MALFORMED),
        ("/health/live%", "404 not_found"),
        ("/%", "404 not_found"),
        ("/%zz", "404 not_found"),
        ("/\xff\xfe", _MALFORMED),
        ("/a\tb", _MALFORMED),
        ("/a b", _MALFORMED),
        ("/a\0b", _MALFORMED),
        ("/gallery?limit=1&limit=2", f"{_PARAMETER} | 200"),
        ("/gallery?" + "&" * 100_000, _MALFORMED),
        ("/gallery?" + "&" * 60_000, "200"),
        ("/gallery?" + "a=b&" * 25_000, _MALFORMED),
        ("/gallery?" + "a=b&" * 15_000, _PARAMETER),
        ("/gallery?identity=" + "x" * 100_000, _MALFORMED),
        ("/gallery?identity=" + "x" * 60_000, _PARAMETER),
        ("/gallery?cursor=" + "x" * 100_000, _MALFORMED),
        ("/gallery?cursor=" + "x" * 60_000, _PARAMETER),
        ("/gallery?" + "x" * 100_000, _MALFORMED),
        ("/gallery?" + "x" * 60_000, _PARAMETER + " | 200"),
        ("/gallery?" + "camera=c&" * 6_000, _PARAMETER),
        ("/health/live?" + "x" * 100_000, _MALFORMED),
        ("/health/live?" + "x" * 60_000, "200"),
        ("/" + "x" * 100_000, _MALFORMED),
        ("/" + "x" * 60_000, "404 not_found"),
        ("/gallery/" + "x" * 60_000, "404 sample_not_found | " + _PARAMETER),
        ("/identities/" + "%41" * 20_000, "404 identity_not_found | " + _PARAMETER),
        ("/health/live?" + "x" * 1_000_000, _MALFORMED),
    ):
        yield Entry(f"the target {target[:40]!r}", request("GET", target), codes)
    for version in (
        b"HTTP/0.9",
        b"HTTP/1.0",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"HTTP/1.1.1",
        b"HTTP/a",
        b"HTTPS/1.1",
        b"",
    ):
        sent = b"GET /health/live " + version + b"\r\nHost: localhost\r\n" + _CLOSE
        yield Entry(f"version {version.decode()}", sent, "200" if version == b"HTTP/1.0" else f"{_MALFORMED} | 200")
    yield Entry("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), _MALFORMED)
    yield Entry("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), _MALFORMED)
    yield Entry("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", _MALFORMED)
    yield Entry("noise", b"\xde\xad\xbe\xef" * 1_000, _MALFORMED)
    yield Entry("blank lines", b"\r\n" * 10_000 + _LIVE + _CLOSE, "200")
    for name, header in (
        ("of 1 MB", b"X: " + b"h" * 1_000_000),
        ("with a name of 1 MB", b"h" * 1_000_000 + b": x"),
        ("20,000 times", b"\r\n".join(b"X-%d: y" % each for each in range(20_000))),
        ("without a colon", b"broken"),
        ("without a name", b": x"),
        ("with NUL", b"X: a\0b"),
        ("with a space in its name", b"X Y: z"),
        ("folded", b"X: a\r\n b"),
        ("in Latin-1", b"X-\xff: a"),
    ):
        yield Entry(
            f"a header {name}",
            _LIVE + header + b"\r\n" + _CLOSE,
            f"{_MALFORMED}" if name != "folded" else f"{_MALFORMED} | 200",
        )
    for name, header in (
        ("two ids", b"X-Request-ID: one\r\nX-Request-ID: two"),
        ("an id that ends the headers", b"X-Request-ID: a%0d%0aX-Evil: 1"),
        ("an id of 60 kB", b"X-Request-ID: " + b"i" * 60_000),
        ("no host", b"X: y"),
        ("two hosts", b"Host: b"),
        ("a host that is a path", b"Host: ../../x"),
        ("an upgrade to HTTP/2", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
        ("an upgrade to websocket", b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AA=="),
        ("a forwarded address", b"X-Forwarded-For: ${jndi:x}, 127.0.0.1\r\nX-Forwarded-Proto: javascript"),
        ("a range", b"Range: bytes=" + b"0-0," * 5_000),
        ("an override", b"X-HTTP-Method-Override: DELETE"),
        ("a language", b"Accept-Language: " + b"en;q=0.1," * 5_000),
        ("an expectation", b"Expect: 200-maybe"),
        ("keys that differ", b"X-Other: 1"),
    ):
        yield Entry(name, _LIVE + header + b"\r\n" + _CLOSE, f"200 | {_MALFORMED}")
    yield Entry(
        "keys that differ",
        request("GET", "/identities", b"", "X-API-Key: a", "Authorization: Bearer b"),
        "401 unauthorized",
    )
    yield Entry("a key of 60 kB", request("GET", "/identities", b"", "X-API-Key: " + "k" * 60_000), "401 unauthorized")
    yield Entry("an expectation of a body", request("POST", "/query", _GOOD, "Expect: 100-continue", kind=_FORM), "200")


def slow() -> Iterator[Entry]:
    """Yield clients that keep a connection and give nothing for it: each gets its end in bounded time."""
    body = form_request("/query", _GOOD)
    head = body[: -len(_GOOD)]
    yield Entry("silence", b"", CUT)
    yield Entry("half a request line", b"GET /hea", CUT)
    yield Entry("headers without an end", _LIVE, CUT)
    yield Entry("headers a byte at a time", _dripping(_LIVE, b"X"), CUT)
    yield Entry("headers line by line", _dripping(_LIVE, b"X: y\r\n"), CUT)
    yield Entry("blank lines", _dripping(b"", b"\r\n"), CUT)
    yield Entry("blank lines after an answer", _dripping(_LIVE + b"\r\n", b"\r\n"), "200")
    yield Entry("another request's headers after an answer", _dripping(_LIVE + b"\r\n" + _LIVE, b"X"), "200")
    yield Entry("no body", head, _MALFORMED)
    yield Entry("half a body", body[:-200], _MALFORMED)
    yield Entry("a body a byte at a time", _dripping(body[:-500], b"x"), _MALFORMED)
    chunked = (
        b"POST /query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: "
        + _FORM.encode()
        + b"\r\n\r\n"
    )
    yield Entry("chunks a byte at a time", _dripping(chunked, b"1\r\n-\r\n"), _MALFORMED)
    yield Entry("a chunk's size that never ends", _dripping(chunked, b"0"), _MALFORMED)
    yield Entry(
        "a body that goes on after a refusal", _dripping(chunked + b"5\r\nnoise\r\n", b"1\r\nx\r\n"), _MALFORMED
    )
    hidden = (_LIVE + b"\r\n") * 20
    unread = request("POST", "/nothing", hidden, close=False).removesuffix(hidden)
    yield Entry(
        "a body that nobody asked for",
        _dripping(unread, b"x"),
        "404 not_found",
    )
    yield Entry("requests in such a body", _behind_an_answer(unread, hidden + _LIVE + _CLOSE), "404 not_found | 200", 2)
    untold = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield Entry(
        "a body that no length tells of", _behind_an_answer(untold, b"x" * 900), f"404 not_found | {_MALFORMED}", 2
    )
    yield Entry(
        "JSON a byte at a time",
        _dripping(request("POST", "/query", b"", kind="application/json").replace(b"Length: 0", b"Length: 99"), b" "),
        _MALFORMED,
    )
    yield Entry("a body that ends in the middle", _ended(body[:-200]), f"{CUT} | {_MALFORMED}")
    yield Entry("headers that end in the middle", _ended(_LIVE), CUT)
    yield Entry("a whole request, then the end", _ended(body), "200")
    yield Entry("a whole GET, then the end", _ended(_LIVE + b"\r\n"), "200")
    yield Entry("gone in the middle of a body", _gone(body[:-200]), CUT)
    yield Entry("gone before the answer", _gone(body), CUT)
    yield Entry("gone at once", _gone(b""), CUT)


def _dripping(start: bytes, more: bytes) -> Sends:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        ends = time.monotonic() + 3 * PATIENCE
        while time.monotonic() < ends:
            connection.sendall(more)
            time.sleep(0.1)

    return send


def _behind_an_answer(start: bytes, more: bytes) -> Sends:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        connection.recv(1, socket.MSG_PEEK)
        connection.sendall(more)

    return send


def _ended(sent: bytes) -> Sends:
    def send(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    return send


def _gone(sent: bytes) -> Sends:
    def send(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_RD)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    return send


TABLES: Mapping[str, Callable[[], Iterator[Entry]]] = {"multipart": multipart, "lengths": lengths, "heads": heads}
