"""`reid serve`: the HTTP service on one address, until it is told to stop."""

import errno
import os
import signal
import socket
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from app.application import create_app, require_guarded
from app.cli.failures import CommandError
from app.connection import PATIENCE, with_patience
from app.engine import open_engine
from app.logs import logging_to_stderr
from app.settings import Settings, is_loopback, load_settings
from index.keys import Keys

BACKLOG = 2048


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
    with listen(settings.host, settings.port) as listener:
        # opened before uvicorn runs, which would answer a failure with a trace; the application closes it
        with logging_to_stderr(settings):
            engine = open_engine(settings)
        run(create_app(settings, open_parts=lambda _: engine), listener, settings.request_timeout_s)


def refuse_unguarded(settings: Settings) -> None:
    """Raise `AddressRefused` before anything is loaded; a loopback address needs no look at the keys."""
    if not is_loopback(settings.host):
        with Keys.open(settings.database_url) as keys:
            require_guarded(settings, keys)


def listen(host: str, port: int) -> socket.socket:
    """Bind the address, so that one in use is told before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} on {host} is in use; stop what listens there, or choose another with REID_PORT"
            ) from exc
        raise CommandError(f"cannot listen on {host} port {port}: {os.strerror(exc.errno or 0)}") from exc


def run(app: FastAPI, listener: socket.socket, patience: float = PATIENCE) -> None:
    """Serve on a bound socket; return when the last answer is sent after a signal."""
    # uvicorn raises the signal again when it has stopped; by then the stop is done and is no failure
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=with_patience(patience),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    server = AnnouncedServer(config)
    server.run(sockets=[listener])
    if not server.started:
        raise CommandError("the service could not start; the log says why")


class AnnouncedServer(uvicorn.Server):
    """Says on stdout where it listens, once it answers there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the addresses."""
        await super().startup(sockets)
        for each in sockets or [] if self.started else []:
            host, port = each.getsockname()[:2]
            typer.echo(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}")
