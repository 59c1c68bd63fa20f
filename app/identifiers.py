"""Identifiers of what is not in the gallery: queries and migrations."""

import secrets
import time

from index.ulid import encode


def new_ulid() -> str:
    """Return a ULID: 48 bits of milliseconds, then 80 random bits, as 26 characters."""
    return encode((time.time_ns() // 1_000_000 << 80) | secrets.randbits(80))
