"""How many requests a second each key may make."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Overloaded


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float  # when it had so many, in seconds


class Limits:
    """A bucket of tokens for each key: a request takes one, and `rate` of them come back every second.

    A full bucket has the tokens of one second, at least one: so many requests may come at once. The buckets are this
    process's own, and there are no more of them than keys.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key_id: str, rate: float) -> None:
        """Take a token; raise `Overloaded` with the seconds to wait when there is none."""
        now, most = self._clock(), max(1.0, rate)
        bucket = self._buckets.setdefault(key_id, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled) * rate)
        bucket.filled = now
        if bucket.tokens < 1:
            wait = math.ceil((1 - bucket.tokens) / rate)
            raise Overloaded(f"expected at most {rate:g} requests a second with this key, found more", wait)
        bucket.tokens -= 1
