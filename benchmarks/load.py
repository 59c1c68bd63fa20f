"""The load, from a process of its own that costs little: python -m benchmarks.load ORDER prints a `Load` as JSON.

ORDER is an `Order` as JSON: either so many clients, each asking again when it is answered, or so many requests a
second whatever becomes of them.

Clients stand for other machines: what they do goes before the service's own work, where the system allows it, so that
what is timed is the service, and not how long an answer lay there until its client had a core.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Self, cast

import uvloop

PATIENCE = 60.0  # seconds after the last request until what is not answered counts as lost
AHEAD = -10  # of the service's priority


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where: `clients` at once, or `rate` a second; until `seconds` are over or `count` were sent."""

    host: str
    port: int
    requests: str  # a file of whole HTTP requests, a JSON list of latin-1 texts
    clients: int = 0
    rate: float = 0.0
    seconds: float = 1e9
    count: int = 10**9


@dataclass(slots=True)
class Load:
    """What clients saw: the seconds to each answer by status, and how many requests were never answered."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0
    seconds: float = 0.0
    cpu: float = 0.0  # seconds of processor time that sending and receiving took

    @property
    def good(self) -> list[float]:
        """The seconds to each 200."""
        return self.latencies.get("200", [])

    @property
    def rate(self) -> float:
        """Requests answered with 200 in a second."""
        return len(self.good) / self.seconds


class Exchange(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._whole = 0
        self._status = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.closed = False

    @classmethod
    async def open(cls, order: Order) -> Self:
        """Connect."""
        _, made = await asyncio.get_running_loop().create_connection(cls, order.host, order.port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the service closed the connection"))

    def send(self, request: bytes) -> asyncio.Future[bytes]:
        """Send a request; what is returned becomes the answer's status."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._whole and (head := self._received.find(b"\r\n\r\n")) >= 0:
            self._status = bytes(self._received[9:12])
            lines = bytes(self._received[:head]).lower()
            place = lines.index(b"content-length: ") + 16
            self._whole = head + 4 + int(lines[place : place + 12].partition(b"\r")[0])
        if self._whole and len(self._received) >= self._whole:
            del self._received[: self._whole]
            self._whole = 0
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(self._status)

    def close(self) -> None:
        """Close the connection; it is closed at once, though the loop tells of it later."""
        self.closed = True
        self._transport.abort()


async def ask(connection: Exchange, request: bytes, load: Load) -> None:
    """Ask once and note how that went."""
    started = time.perf_counter()
    try:
        status = await asyncio.wait_for(connection.send(request), PATIENCE)
    except (OSError, TimeoutError):
        load.lost += 1
        connection.close()
    else:
        load.latencies.setdefault(status.decode(), []).append(time.perf_counter() - started)


async def closed(order: Order, requests: list[bytes]) -> Load:
    """Let clients ask side by side, each its next question after the answer to the last one."""
    load, sent, begin = Load(), 0, time.perf_counter()

    async def client(number: int) -> None:
        nonlocal sent
        connection, turn = await Exchange.open(order), number
        while sent < order.count and time.perf_counter() < begin + order.seconds:
            sent += 1
            turn += 1
            if connection.closed:
                connection = await Exchange.open(order)
            await ask(connection, requests[turn % len(requests)], load)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(order.clients)))
    load.seconds = time.perf_counter() - begin
    return load


async def opened(order: Order, requests: list[bytes]) -> Load:
    """Send as many requests a second as ordered, at random moments, each on a connection that is free."""
    load, free, running = Load(), list[Exchange](), set[asyncio.Task[None]]()
    moments, begin = random.Random(0), time.perf_counter()

    async def one(request: bytes) -> None:
        while free and free[-1].closed:
            free.pop()
        connection = free.pop() if free else await Exchange.open(order)
        await ask(connection, request, load)
        if not connection.closed:
            free.append(connection)

    due, number = begin, 0
    while due < begin + order.seconds and number < order.count:
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(requests[number % len(requests)]))
        running.add(task)
        task.add_done_callback(running.discard)
        due += moments.expovariate(order.rate)
        number += 1
    load.seconds = time.perf_counter() - begin
    await asyncio.gather(*running)
    return load


def main() -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
    order = Order(**json.loads(sys.argv[1]))
    with open(order.requests, encoding="ascii") as file:  # noqa: PTH123
        requests = [text.encode("latin-1") for text in json.load(file)]
    load = uvloop.run(opened(order, requests) if order.rate else closed(order, requests))
    used = resource.getrusage(resource.RUSAGE_SELF)
    load.cpu = used.ru_utime + used.ru_stime
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()
