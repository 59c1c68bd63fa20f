"""Both clients behind the waiting one's methods, so that one table of tests is run on each."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx

from reid_client import AsyncClient, Client, Retry

KINDS = ("sync", "async")


class Waiting:
    """An `AsyncClient` whose methods wait for their results."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given, **named: self._wait(getattr(self._client, name)(*given, **named))

    def _wait(self, result: Any) -> Any:  # noqa: ANN401 - whatever the method returns
        if inspect.iscoroutine(result):
            return self._runner.run(result)
        return self._each(result)

    def _each(self, results: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> tuple[Any, bool]:
            try:
                return await anext(results), True
            except StopAsyncIteration:
                return None, False

        while True:
            item, more = self._runner.run(following())
            if not more:
                return
            yield item


@contextmanager
def opened(kind: str, url: str, **more: Any) -> Iterator[Client]:  # noqa: ANN401 - any argument
    """Open a client of a kind."""
    if kind == "sync":
        with Client(url, **more) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncClient(url, **more)
        yield cast(Client, Waiting(asynchronous, runner))
        runner.run(asynchronous.close())


class Time:
    """A clock that goes on by what is slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@contextmanager
def scripted(
    kind: str, answer: Callable[[httpx.Request], httpx.Response], retry: Retry | None = None
) -> Iterator[tuple[Client, Time]]:
    """Open a client whose requests a function answers, in a time of its own."""
    time = Time()
    with opened(
        kind,
        "http://reid.test",
        key="secret",
        retry=retry or Retry(chance=lambda: 1.0),
        transport=httpx.MockTransport(answer),
        clock=time.clock,
        sleep=time.sleep if kind == "sync" else time.sleep_async,
    ) as client:
        yield client, time
