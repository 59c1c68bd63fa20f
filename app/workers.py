"""Threads for calls that block."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded, WorkerDied

log = logging.getLogger(__name__)
T = TypeVar("T")


class Workers:
    """A few threads for blocking calls, with a bound on how many calls may wait for them."""

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + max_waiting
        self._running = 0
        self.worked = -math.inf  # when a call ended last, by time.perf_counter

    async def run(self, call: Callable[..., T], *values: object) -> T:
        """Run the call on one of the threads; raise `Overloaded` at once when too many wait.

        What would end the thread, and then the event loop that waits for it, is raised as `WorkerDied`.
        """
        if self._running >= self._most:
            raise Overloaded(f"expected at most {self._most} calls of {self._name} at once; try again later")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._survive, call, *values)
        finally:
            self._running -= 1
            self.worked = time.perf_counter()

    def _survive(self, call: Callable[..., T], *values: object) -> T:
        try:
            return call(*values)
        except Exception:
            raise
        except BaseException as exc:
            log.critical("a call of %s would have ended its thread", self._name, exc_info=exc)
            raise WorkerDied(f"{self._name}: the worker died on this request; try again") from exc

    def close(self) -> None:
        """Finish what runs, then end the threads."""
        self._pool.shutdown(cancel_futures=True)
