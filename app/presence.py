"""Whether a request's client is still there, told to what works for it."""

import asyncio
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect


class Presence:
    """A block that ends with `ClientDisconnect` as soon as the client has gone; for what only reads.

    Outside of such a block the client's going interrupts nothing: what writes comes to its end.
    """

    def __init__(self) -> None:
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    @property
    def gone(self) -> bool:
        """Whether the client has gone."""
        return self._gone

    def leave(self) -> None:
        """Note that the client has gone."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        if self._gone:
            raise ClientDisconnect
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        # as asyncio.timeout does: a cancellation from elsewhere, or another error, stays what it is
        if self._gone and task.uncancel() <= self._cancelling and kind in (None, asyncio.CancelledError):
            raise ClientDisconnect from error


presence: ContextVar[Presence] = ContextVar("presence")


def require_presence() -> None:
    """Raise `ClientDisconnect` where the client of the request in hand has gone."""
    with while_present():
        pass


def while_present() -> Presence:
    """Return the block for the request in hand; outside of one, a block that nothing interrupts."""
    return presence.get(None) or Presence()
