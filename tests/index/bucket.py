"""An S3 server for tests: moto in a process of its own, and a way to it that can be cut."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

import fsspec

_SECONDS = 120
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "shown-nowhere-id",
    "AWS_SECRET_ACCESS_KEY": "shown-nowhere-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_REFUSALS = {"denying": (403, "AccessDenied"), "failing": (503, "SlowDown")}


def why_not() -> str | None:
    """Return why no server can be started here."""
    lacking = [name for name in ("moto", "s3fs") if find_spec(name) is None]
    return f"{' and '.join(lacking)} cannot be imported here: pip install 'moto[server]' s3fs" if lacking else None


class S3Server:
    """One running server, and buckets in it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._names = itertools.count()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "MOTO_PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + _SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > end:
                self._stop()
                raise RuntimeError("the S3 server did not start")
            time.sleep(0.1)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def driver(self) -> Any:  # noqa: ANN401 - fsspec is not typed
        """Return a way to it that shares nothing with the store's, as another process has."""
        return fsspec.filesystem(
            "s3", endpoint_url=self.endpoint, skip_instance_cache=True, use_listings_cache=False, key="a", secret="b"
        )

    def make(self) -> str:
        """Make a bucket and return its name."""
        name = f"bucket-{next(self._names)}"
        self.driver.call_s3("create_bucket", Bucket=name)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)


class Relay:
    """Passes connections on to a server until it is told to cut them, to leave them without an answer or to refuse."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.state = "passing"
        self.calls = 0  # connections since it passes nothing
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def become(self, state: str) -> None:
        """Be "passing", "closing", "silent", "denying" or "failing" from now on; open connections are cut."""
        self.state, self.calls = state, 0
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def close(self) -> None:
        """Stop listening."""
        self.become("closing")
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                if self.state == "passing":
                    server = socket.create_connection(("127.0.0.1", self._target))
                    self._open.append(server)
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=_pass, args=pair, daemon=True).start()
                    continue
                self.calls += 1
                if self.state in _REFUSALS:
                    _refuse(client, *_REFUSALS[self.state])
                if self.state != "silent":
                    client.close()


def _refuse(client: socket.socket, status: int, code: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    asked = client.recv(65536)
    if asked.startswith(b"HEAD "):
        body = ""
    client.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
