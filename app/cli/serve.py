"""`reid serve`: the HTTP service on one address, until it is told to stop."""

import asyncio
import errno
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from app.application import create_app, require_guarded
from app.cli.failures import CommandError
from app.connection import PATIENCE, Connection, with_patience
from app.engine import open_engine
from app.logs import logging_to_stderr
from app.settings import Settings, is_loopback, load_settings
from index.keys import Keys

BACKLOG = 2048
SWITCH = 0.0001  # seconds, a fiftieth of the default, for which another thread may hold up the event loop
GRACE = 7  # seconds for what was accepted; with the snapshots' writing the stop takes under 10
log = logging.getLogger(__name__)


def serve(
    host: Annotated[str | None, typer.Option(help="Instead of REID_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of REID_PORT; 0 is any free one.")] = None,
) -> None:
    """Serve the HTTP API and the console until SIGINT or SIGTERM.

    Everything is set by REID_* environment variables, which are printed at the start.
    """
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**given)
    refuse_unguarded(settings)
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(settings.host, settings.port))]
        if settings.metrics_port is not None:
            listeners.append(stack.enter_context(listen(settings.host, settings.metrics_port, "REID_METRICS_PORT")))
        # a container's first process is told nothing that it has no handler for, and opening may take minutes
        signal.signal(signal.SIGTERM, leave)
        # opened before uvicorn runs, which would answer a failure with a trace; the application closes it
        with logging_to_stderr(settings):
            engine = open_engine(settings)
        run(create_app(settings, open_parts=lambda _: engine), listeners, settings.request_timeout_s, settings.drain_s)


def leave(number: int, _frame: FrameType | None) -> None:
    """Exit as who is ended by a signal; nothing was accepted yet."""
    raise SystemExit(128 + number)


def refuse_unguarded(settings: Settings) -> None:
    """Raise `AddressRefused` before anything is loaded; a loopback address needs no look at the keys."""
    if not is_loopback(settings.host):
        with Keys.open(settings.database_url) as keys:
            require_guarded(settings, keys)


def listen(host: str, port: int, variable: str = "REID_PORT") -> socket.socket:
    """Bind the address, so that one in use is told before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} on {host} is in use; stop what listens there, or choose another with {variable}"
            ) from exc
        raise CommandError(f"cannot listen on {host} port {port}: {os.strerror(exc.errno or 0)}") from exc


def run(app: FastAPI, listeners: list[socket.socket], patience: float = PATIENCE, drain: float = 0.0) -> None:
    """Serve on bound sockets, the second for metrics alone; return when the last answer is sent after a signal."""
    # uvicorn raises the signal again when it has stopped; by then the stop is done and is no failure
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    sys.setswitchinterval(SWITCH)
    protocol = with_patience(patience)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=math.ceil(patience),  # the connection has its own, as long
    )
    server = DrainedServer(config, app, protocol, drain)
    server.run(sockets=listeners)
    if not server.started:
        raise CommandError("the service could not start; the log says why")


class DrainedServer(uvicorn.Server):
    """Says on stdout where it listens, and listens a while longer when it is told to stop.

    In that while `/health/ready` answers 503, so that a proxy sends its next requests elsewhere, and each answer
    closes its connection, so that none is idle, and about to be used again, when the listening ends.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, protocol: type[Connection], drain: float) -> None:
        super().__init__(config)
        self._app = app
        self._protocol = protocol  # this server's own
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the addresses."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # while garbage is looked for requests wait: what is there for good is left out
        told = zip(("serving on {}", "metrics on {}/metrics"), sockets or [], strict=False)
        for text, each in told if self.started else ():
            host, port = each.getsockname()[:2]
            typer.echo(text.format(f"http://{f'[{host}]' if ':' in host else host}:{port}"))

    async def main_loop(self) -> None:
        """Serve until a signal comes, and drain after SIGTERM; another signal ends that at once."""
        await super().main_loop()
        if signal.SIGTERM not in self._captured_signals or not self._drain:
            return
        log.info("told to stop; listening for %g seconds more", self._drain)
        self._app.state.draining = True
        self._protocol.draining = True
        until = time.monotonic() + self._drain
        while time.monotonic() < until and len(self._captured_signals) == 1:
            await asyncio.sleep(0.05)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and after a second Ctrl-C too let what is open be told and closed: uvicorn would drop it."""
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()
