"""One commit for all who enrol at the same time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from index.records import Enrolled

_MOST = 1024  # items of one commit
Item = TypeVar("Item")


@dataclass(slots=True)
class _Request(Generic[Item]):
    gallery: str
    items: Sequence[Item]
    version: str
    called: threading.Event = field(default_factory=threading.Event)  # its outcome is there, or it is its turn
    outcome: list[Enrolled] | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.outcome is not None or self.error is not None


class SharedCommit(Generic[Item]):
    """Takes requests to enrol from any number of threads, and commits those that wait together.

    The first to come commits its own; who comes meanwhile waits, and the first of them commits for all. An item is
    judged as if the requests had come one after the other; a failure of the commit is the failure of all in it.
    """

    def __init__(self, commit: Callable[[str, Sequence[Item], str], list[Enrolled]]) -> None:
        self._commit = commit
        self._waiting: list[_Request[Item]] = []
        self._busy = False  # somebody commits, or is called to
        self._list = threading.Lock()

    def enrol(self, gallery: str, items: Sequence[Item], version: str) -> list[Enrolled]:
        """Return each item's outcome, in order, once it is committed."""
        request = _Request(gallery, items, version)
        with self._list:
            self._waiting.append(request)
            first, self._busy = not self._busy, True
        if not first:
            request.called.wait()
        if not request.done:
            try:
                self._run(self._take())
            finally:
                self._call_next()
        if request.error is not None:
            raise request.error
        assert request.outcome is not None
        return request.outcome

    def _call_next(self) -> None:
        with self._list:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].called.set()

    def _take(self) -> list[_Request[Item]]:
        """Take the first request, and those behind it that go into the same gallery, up to a bound."""
        with self._list:
            first = self._waiting[0]
            taken, rest, count = [], [], 0
            for request in self._waiting:
                alike = (request.gallery, request.version) == (first.gallery, first.version)
                if request is first or (alike and count + len(request.items) <= _MOST):
                    taken.append(request)
                    count += len(request.items)
                else:
                    rest.append(request)
            self._waiting = rest
        return taken

    def _run(self, requests: list[_Request[Item]]) -> None:
        items = [item for request in requests for item in request.items]
        try:
            outcomes = self._commit(requests[0].gallery, items, requests[0].version)
        except BaseException as exc:  # noqa: BLE001 - each caller raises it
            for request in requests:
                request.error = exc
        else:
            start = 0
            for request in requests:
                request.outcome = outcomes[start : start + len(request.items)]
                start += len(request.items)
        for request in requests:
            request.called.set()
