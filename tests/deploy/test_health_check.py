"""The image's health check, run here as it is written, against a service on each kind of address."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.cli.failures import CommandError
from app.cli.serve import listen
from tests.deploy.engine import ROOT


class Ready(BaseHTTPRequestHandler):
    """Answers /health/ready alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def ready_at(host: str) -> Iterator[int]:
    """Answer on an address as `reid serve` listens to it; give the port."""
    try:
        listener = listen(host, 0)
    except CommandError as exc:
        pytest.skip(f"nothing can listen on {host} here: {exc}")
    with listener, HTTPServer(("127.0.0.1", 0), Ready, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.shutdown()
            thread.join()


def check(**variables: str) -> int:
    """Run the check with these variables set and return its exit status."""
    lines = (ROOT / "docker" / "serve.Dockerfile").read_text().replace("\\\n", "")
    [written] = [line for line in lines.splitlines() if line.startswith("HEALTHCHECK")]
    command = json.loads(written[written.index("[") :])
    assert command[0] == "python"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("REID_")}
    return subprocess.run([sys.executable, *command[1:]], env=bare | variables, capture_output=True).returncode


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "::1", "[::1]", "::", "[::]"])
def test_it_asks_where_the_service_listens(host: str) -> None:
    with ready_at(host) as port:
        assert check(REID_HOST=host, REID_PORT=str(port)) == 0


def test_an_unset_or_empty_address_is_the_default() -> None:
    with ready_at("127.0.0.1") as port:
        assert check(REID_PORT=str(port)) == 0
        assert check(REID_HOST="", REID_PORT=str(port)) == 0


def test_it_fails_where_nothing_answers() -> None:
    with ready_at("127.0.0.2") as port:
        assert check(REID_HOST="127.0.0.3", REID_PORT=str(port)) == 1
