"""Identifiers of what is not in the gallery: requests, queries and migrations."""

import random
import time

from index.ulid import encode

# Names and no secrets: seeded by the system once, they cost no system call on the event loop.
_random = random.Random()  # noqa: S311


def new_ulid() -> str:
    """Return a ULID: 48 bits of milliseconds, then 80 random bits, as 26 characters."""
    return encode((time.time_ns() // 1_000_000 << 80) | _random.getrandbits(80))


def new_request_id() -> str:
    """Return 32 random hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"
