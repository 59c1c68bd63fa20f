"""Threads for calls that block."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")


class Workers:
    """A few threads for blocking calls, with a bound on how many calls may wait for them."""

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + max_waiting
        self._running = 0

    async def run(self, call: Callable[..., T], *values: object) -> T:
        """Run the call on one of the threads; raise `Overloaded` at once when too many wait."""
        if self._running >= self._most:
            raise Overloaded(f"expected at most {self._most} calls of {self._name} at once; try again later")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call, *values)
        finally:
            self._running -= 1

    def close(self) -> None:
        """Finish what runs, then end the threads."""
        self._pool.shutdown(cancel_futures=True)
