"""One client's connection: bounded in time and size before a request is the application's, refused as the rest is."""

from asyncio import TimerHandle, Transport
from collections.abc import Sequence

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.headers import with_standard
from app.identifiers import new_request_id
from app.problems import MEDIA_TYPE, http_problem

MAX_HEAD = 65_535  # bytes of request line and headers; httptools takes no longer target
PATIENCE = 30.0  # seconds
PROBES = (0.1, 1.0)  # seconds between looks at whether a client is still there: one near, and one far away
_TOO_LARGE = f"expected at most {MAX_HEAD} bytes of request line and headers, found more"
_NO_REQUEST = "expected a request of HTTP/1.1, found something else"


class HeadTooLarge(Exception):
    """Request line and headers are over the limit; the parser turns it into a refusal."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, which waits forever for headers and keeps any number of their bytes, with bounds.

    From the connection's first moment, or from an answer's end, the next request's headers must be there within
    `patience` seconds. What is left of a body after an answer, and an answer that nobody takes, has as long.
    """

    patience = PATIENCE
    draining = False  # soon nothing listens here: each answer is its connection's last
    _waiting: TimerHandle | None = None
    _in_head = True
    _head = 0
    _uncounted = 0
    _unsent = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more, and let go what was asked here."""
        self._stop_waiting()
        if self.cycle is not None and (client := self.cycle.scope.get("state", {}).get("presence")) is not None:
            client.leave()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it
        """Keep a connection that its client closed on its own side for as long as an answer is due."""
        due = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        if due:
            self.cycle.keep_alive = False
            self._probe(self.cycle, PROBES)
        return due

    def _probe(self, cycle: RequestResponseCycle, delays: Sequence[float]) -> None:
        """Find out whether a client that closed its side still listens: TCP tells the two apart only by what is sent.

        An interim answer is what a client has to ignore, and what one that has gone refuses; the next one then fails.
        """
        if self.transport.is_closing() or cycle.response_started or self.scope["http_version"] != "1.1":
            return
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if delays:
            self.loop.call_later(delays[0], self._probe, cycle, delays[1:])

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        self._uncounted = len(data)
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head += self._uncounted
            if self._head > MAX_HEAD:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin to read a request's head."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > MAX_HEAD:
            raise HeadTooLarge
        super().on_headers_complete()
        self._in_head, self._head = False, 0
        self._stop_waiting()
        # what asks for an upgrade is not spoken to here: nothing after it would be parsed
        if self.draining or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Begin to count the next request's head."""
        super().on_message_complete()
        # what has come with its end is another's, or bounded by what is read at once
        self._in_head, self._head, self._uncounted = True, 0, 0

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, unless it is already there."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._wait()

    def pause_writing(self) -> None:
        """Wait for a client that takes an answer too slowly to be given the rest of it."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on; the wait for the next request, after an answer's end, is another."""
        super().resume_writing()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text says less
        """Refuse what is no HTTP request, as problem+json, and close; an answer that has begun is only cut off."""
        if self._in_head or self.cycle is None or not self.cycle.response_started:
            self.transport.write(_refusal(_TOO_LARGE if self._head > MAX_HEAD else _NO_REQUEST))
        self.transport.close()

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.patience, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:  # somebody takes it, slowly
            self._unsent = unsent
            self._wait()
        else:
            self.transport.abort()


def with_patience(seconds: float) -> type[Connection]:
    """Return the protocol with another patience."""
    return type("PatientConnection", (Connection,), {"patience": seconds})


def _refusal(detail: str) -> bytes:
    identifier = new_request_id()
    body = orjson.dumps(http_problem(400, "", detail).body(identifier))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-request-id", identifier.encode()),
    ]
    lines = [b"HTTP/1.1 400 Bad Request", *(b": ".join(each) for each in with_standard(headers))]
    return b"\r\n".join([*lines, b"", body])
