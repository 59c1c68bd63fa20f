"""An ASGI application behind a real HTTP server on a free loopback port, and a client of it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


@contextmanager
def serving(
    app: Callable[[Scope, Receive, Send], object] | ASGIApp,
    *,
    lifespan: bool = True,
    http: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> Iterator[httpx.Client]:
    """Serve in a thread until the block ends."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=http,
        ws="none",
        lifespan="on" if lifespan else "off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_run, args=(server,))
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server could not start")
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def _run(server: uvicorn.Server) -> None:
    with suppress(SystemExit):  # how uvicorn tells that the start failed
        server.run()
