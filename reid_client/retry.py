"""When a request is sent again, and after how long."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import httpx

from reid_client.answers import problem
from reid_client.calls import Call
from reid_client.errors import ConnectionFailed, DeadlineExceeded, NotFound, ReidError

T = TypeVar("T")
OVERLOADED = 429
GATEWAY = (502, 503, 504)
# The request never left: whatever it would have done, it has not.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The request itself is wrong, and stays so.
_FINAL = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.TooManyRedirects)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long a call is tried.

    `deadline` is in seconds, for one request with all its attempts and waits; of an attempt, each step (connecting,
    sending, waiting for the answer's next bytes) gets no longer than what is left of it. Before attempt n + 1 the wait
    is `first * 2**(n - 1)`, at most `longest`, less up to half of it by chance, so that clients do not come in step.
    """

    attempts: int = 12
    deadline: float = 120.0
    first: float = 0.2
    longest: float = 8.0
    chance: Callable[[], float] = random.random

    def wait(self, attempt: int, retry_after: float | None) -> float:
        """Return the seconds after this attempt (from 1); never less than what the service asks for."""
        backoff = min(self.longest, self.first * 2.0 ** (attempt - 1))
        if retry_after is not None:
            return retry_after + self.first * self.chance()
        return backoff * (0.5 + 0.5 * self.chance())


class Attempts(Generic[T]):
    """One call from its first attempt to the one that settles it; it sends nothing and sleeps nowhere itself."""

    def __init__(self, call: Call[T], policy: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self.call = call
        self._policy = policy
        self._clock = clock
        self._end = clock() + policy.deadline
        self._made = 0
        self._lost = False  # an attempt may have done its work though no answer came

    def timeout(self, most: httpx.Timeout) -> httpx.Timeout:
        """Return the timeouts of the next attempt: what is left until the deadline cuts them short."""
        left = max(0.001, self._end - self._clock())
        cut = {name: left if value is None else min(left, value) for name, value in most.as_dict().items()}
        return httpx.Timeout(**cut)

    def after_failure(self, failure: httpx.RequestError) -> float:
        """Return the seconds until the next attempt; raise `ConnectionFailed` where there is to be none."""
        sent = not isinstance(failure, _NEVER_SENT)
        self._lost = self._lost or sent
        error = ConnectionFailed(_told(failure), code="connection_failed")
        error.__cause__ = failure
        return self._next(error, again=not isinstance(failure, _FINAL) and (self.call.repeatable or not sent))

    def after(self, response: httpx.Response) -> float | None:
        """Return the seconds until the next attempt, or None when the call is settled; raise the error it ends in."""
        if response.is_success or response.status_code in self.call.accepted:
            return None
        error = problem(response)
        # not the service's own word: what lies between may have given up while the work was done
        self._lost = self._lost or (response.status_code in GATEWAY and error.code == f"http_{response.status_code}")
        if isinstance(error, NotFound) and self._lost and self.call.when_gone is not None:
            self.call.when_gone(error)
            return None
        again = response.status_code == OVERLOADED or (response.status_code in GATEWAY and self.call.repeatable)
        return self._next(error, again=again, retry_after=_retry_after(response))

    def _next(self, error: ReidError, *, again: bool, retry_after: float | None = None) -> float:
        self._made += 1
        if not again or not self.call.retried or self._made >= self._policy.attempts:
            raise error
        wait = self._policy.wait(self._made, retry_after)
        if self._clock() + wait >= self._end:
            raise DeadlineExceeded(
                f"expected an answer within {self._policy.deadline:g} s, found none in {self._made} attempts; "
                f"the last: {error}",
                code="deadline_exceeded",
                status=error.status,
                field=error.field,
                request_id=error.request_id,
            ) from error
        return wait


def _retry_after(response: httpx.Response) -> float | None:
    """Return the header's seconds; it may be a date as well."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _told(failure: httpx.RequestError) -> str:
    url = failure.request.url  # without its path, in which a person's name may be, and without a password
    found = f"{type(failure).__name__}: {failure}".rstrip(": ")
    return f"expected an answer of {url.scheme}://{url.netloc.decode()}, found {found}"
