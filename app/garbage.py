"""Looking through everything for garbage when nobody waits for it, and not when Python's count of new objects says so.

Most of it needs no such look: what is in no cycle goes at once, and young cycles in the small collections. A full one
goes through all that is held for requests, and nothing else runs meanwhile: with 512 that wait, 90,000 objects and 50
to 110 ms, once in two seconds.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

EVERY = 5.0  # seconds
LONGEST = 60.0  # seconds without a full collection, however much waits
_NEVER = 1_000_000  # smaller collections before a full one: weeks of a full queue


class Garbage:
    """Collects everything now and then; `waiting` tells how much waits."""

    def __init__(self, waiting: Callable[[], int], every: float = EVERY, longest: float = LONGEST) -> None:
        self._waiting = waiting
        self._every = every
        self._longest = longest

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take the full collections over from Python until the block ends.

        What is there when it begins stays: the modules' 160,000 objects, which take 50 ms to go through.
        """
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], _NEVER)
        gc.freeze()
        task = asyncio.create_task(self._repeat(), name="garbage")
        try:
            yield
        finally:
            gc.unfreeze()
            gc.set_threshold(*thresholds)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _repeat(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._every)
            if not self._waiting() or time.monotonic() - last >= self._longest:
                gc.collect()
                last = time.monotonic()
