"""Waiting for what comes true by itself."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once it is true; machines may be busy, so the time is long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not come true in {seconds:g} seconds"
        time.sleep(0.005)
