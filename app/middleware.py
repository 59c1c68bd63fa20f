"""What surrounds every request: its id, its measure, and the net under it."""

import asyncio
import logging
import re
import time
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import MalformedRequest, Overloaded
from app.headers import with_standard
from app.identifiers import new_request_id
from app.logs import request_id
from app.metrics import Metrics
from app.presence import Presence, presence
from app.problems import Problem, http_problem, internal
from app.tracing import Traces

log = logging.getLogger("app.requests")
_GOOD_ID = re.compile(rb"[\x21-\x7e]{1,128}")
MAX_HELD = 256_000_000  # bytes of request bodies that are in memory, of all requests together
LEAST_RATE = 10_000  # bytes a second that a body may always take its time for
_NO_TEXT = http_problem(400, "", "expected a path and a query string in percent-encoded UTF-8, found other bytes")
_STOPS = Problem(503, "not_ready", "the service stops and could not finish this in time; send it again")
_CLIENT_GONE = 499  # nginx's status for it; nobody reads the answer, the metrics do


class RequestContext:
    """Gives every request an id, bounds what all hold together, counts them, and turns our own errors into a 500.

    A body may take `patience` seconds, and one more for every `LEAST_RATE` bytes of it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, patience: float = 30.0, traces: Traces | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces or Traces()
        self._patience = patience
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, _without_trace(send))
            return
        with self._traces.request(scope):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        identifier = _request_id(scope)
        request_id.set(identifier)
        state = scope.setdefault("state", {})
        state["request_id"] = identifier
        presence.set(client := Presence())
        state["presence"] = client
        header = (b"x-request-id", identifier.encode())
        status = held = 0

        async def receive_bounded() -> Message:
            nonlocal held
            left = started + self._patience + held / LEAST_RATE - time.perf_counter()
            message = await _received_within(left, receive)
            held += (size := len(message.get("body", b"")))
            self._held += size
            if self._held > MAX_HELD:
                raise Overloaded(f"expected at most {MAX_HELD} bytes of all requests at once; try again later")
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*with_standard(list(message["headers"])), header]
            await send(message)

        try:
            if _is_text(scope.get("raw_path") or b"") and _is_text(scope.get("query_string", b"")):
                await self._app(scope, receive_bounded, send_with_id)
            else:
                await _NO_TEXT.response(identifier)(scope, receive, send_with_id)
        except (ClientDisconnect, asyncio.CancelledError) as exc:
            if isinstance(exc, ClientDisconnect) or client.gone:
                status = status or _CLIENT_GONE
            elif not status:  # else the answer has begun, and the server cuts it
                await _STOPS.response(identifier)(scope, receive, send_with_id)
        except Exception:
            log.exception("an error of the service")
            if status:
                raise  # the answer has begun: all that is left is to cut the connection
            await internal().response(identifier)(scope, receive, send_with_id)
        finally:
            self._held -= held
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", scope["state"].get("refused", "unmatched"))
        self._metrics.request(route, scope["method"], status, seconds)
        self._traces.answered(scope, route, status)
        key_id = getattr(scope["state"].get("caller"), "key_id", None)
        # every use of a key is told; without keys the metrics count the good ones
        level = logging.INFO if status >= 400 or key_id else logging.DEBUG
        # the route's pattern, not the path: a path may hold a person's name
        told = (scope["method"], route, status, seconds * 1000, key_id or "-")
        log.log(level, "%s %s %d %.1f ms, key %s", *told, extra={"key_id": key_id})


class MetricsPort:
    """Answers `/metrics` on a port of its own, nothing else there, and it nowhere else."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what belongs to the port that it came by."""
        if scope["type"] != "http" or (scope["server"][1] == self._port) == (scope["path"] == "/metrics"):
            await self._app(scope, receive, send)
        else:
            problem = http_problem(404, scope["method"], "")
            await problem.response(scope["state"]["request_id"])(scope, receive, send)


async def _received_within(seconds: float, receive: Receive) -> Message:
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError as exc:
        raise MalformedRequest(
            f"expected the body faster, at {LEAST_RATE} bytes a second at least; it is not complete"
        ) from exc


def _is_text(encoded: bytes) -> bool:
    """Tell whether it is percent-encoded UTF-8; what is not would be read as other characters."""
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_trace(send: Send) -> Send:
    """Leave the stack trace out of what the server logs about a failed start: the application logged the reason."""

    async def send_plain(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            message = {**message, "message": ""}
        await send(message)

    return send_plain


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GOOD_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()
