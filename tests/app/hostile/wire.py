"""The service as a process of its own, and sockets that say to it whatever they like."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from model.registry import Registry
from tests.app.parts import VERSION, write_version

PATIENCE = 2.0  # seconds that the service gives a request
BOUNDARY = "b0undary"
HOST = "localhost"
Sends: TypeAlias = Callable[[socket.socket], None]
CUT = "cut"  # in the place of an answer's code: the connection is closed without one


class Entry(NamedTuple):
    """One hostile input, and what it must get: `200`, `400 malformed_request`, or `cut`, one of those named."""

    name: str
    sent: bytes | Sends
    codes: str
    answers: int = 1  # at most; a second one to what is one request would be a smuggled one


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The status, and the error's code where it is one."""
        if self.status < 400:
            return str(self.status)
        told = json.loads(self.body or b"{}")
        return f"{self.status} {told.get('code', 'items')}"


@dataclass(frozen=True)
class Running:
    """The service's process."""

    port: int
    process: "subprocess.Popen[bytes]"
    folder: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, sent: bytes | Sends) -> list[Answer]:
        """Send, and return every answer up to the connection's end."""
        with self.connect() as connection:
            # who is refused early may be cut off while still talking
            with suppress(BrokenPipeError, ConnectionResetError):
                if isinstance(sent, bytes):
                    connection.sendall(sent)
                else:
                    sent(connection)
            return list(parse(_until_closed(connection)))

    def ask(self, *values: Any, **more: Any) -> Answer:  # noqa: ANN401 - those of `request`
        [answer] = self.say(request(*values, **more))
        return answer

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Running]:
    """Serve a gallery in `folder` by the tiny model until the block ends."""
    write_version(folder / "data" / "models")
    Registry(folder / "data" / "models").activate(VERSION)
    given = {
        **os.environ,
        "REID_DATA_DIR": str(folder / "data"),
        "REID_THREADS": "1",
        "REID_REQUEST_TIMEOUT_S": str(PATIENCE),
        **environment,
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--host", "127.0.0.1", "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.search(r":(\d+)$", line.strip())
        assert found is not None, (folder / "log").read_text()
        yield Running(int(found[1]), process, folder)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def request(
    method: str, target: str, body: bytes = b"", *headers: str, kind: str | None = None, close: bool = True
) -> bytes:
    """Return a request whose framing is right."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", *headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def form_request(target: str, body: bytes, method: str = "POST") -> bytes:
    return request(method, target, body, kind=f"multipart/form-data; boundary={BOUNDARY}")


def json_request(target: str, body: object, method: str = "POST") -> bytes:
    """Return a request with JSON; bytes go as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request(method, target, content, kind="application/json")


def form(pictures: Sequence[bytes], fields: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a multipart body."""
    given = (fields or {}).items()
    parts = [part(name, value if isinstance(value, bytes) else value.encode()) for name, value in given]
    return b"".join([*parts, *(part("image", each, "a.jpg") for each in pictures), f"--{BOUNDARY}--\r\n".encode()])


def part(name: str | bytes, value: bytes, file: str | None = None) -> bytes:
    named = name if isinstance(name, bytes) else name.encode()
    head = b'Content-Disposition: form-data; name="' + named + b'"'
    more = b"" if file is None else f'; filename="{file}"'.encode()
    return f"--{BOUNDARY}\r\n".encode() + head + more + b"\r\n\r\n" + value + b"\r\n"


def parse(data: bytes) -> Iterator[Answer]:
    """Yield the answers in what a connection brought; an interim one is none."""
    while data:
        head, ended, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert ended, first
        assert re.fullmatch(r"HTTP/1\.1 \d{3} .*", first), first
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if status >= 200:
            assert "transfer-encoding" not in headers
            length = int(headers.get("content-length", "0"))
            # an answer to HEAD has the length of what it leaves out
            body, data = data[:length], data[length:]
            yield Answer(status, headers, body)


def _until_closed(connection: socket.socket) -> bytes:
    took, began = [], time.monotonic()
    with suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 16):
            took.append(chunk)
            assert time.monotonic() - began < 20, "the service keeps a connection for no reason"
    return b"".join(took)
