"""The load against services with planted faults: what is lost, refused or late is to be counted as that."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from benchmarks import load
from benchmarks.load import Load, Order, closed, opened

REQUEST = b"POST /query HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: a\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Planted:
    """A service that answers the requests, numbered from 0, as it is told to."""

    def __init__(self, reply: Answer) -> None:
        self._reply = reply
        self.asked = 0
        self.connections = 0
        self.most_at_once = 0
        self._now = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                number, self.asked = self.asked, self.asked + 1
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                await self._reply(number, writer)
                self._now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def put_load(service: Planted, send: Callable[[Order, list[bytes]], Coroutine[Any, Any, Load]], **order: float) -> Load:
    async def run() -> Load:
        server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server:
            return await send(Order(host, port, "", **order), [REQUEST])  # type: ignore[arg-type]

    return asyncio.run(run())


def statuses(found: Load) -> dict[str, int]:
    return {status: len(latencies) for status, latencies in found.latencies.items()}


def test_answers_are_counted_by_status() -> None:
    async def every_third_refused(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(429 if number % 3 == 2 else 200))

    service = Planted(every_third_refused)
    found = put_load(service, closed, clients=2, count=12)
    assert statuses(found) == {"200": 8, "429": 4}
    assert found.lost == 0
    assert found.rate == pytest.approx(8 / found.seconds)
    assert service.connections == 2  # kept alive


def test_an_answer_in_pieces_is_one_answer() -> None:
    async def dripping(_number: int, writer: asyncio.StreamWriter) -> None:
        for byte in answer(200, b"x" * 5):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    found = put_load(Planted(dripping), closed, clients=1, count=3)
    assert statuses(found) == {"200": 3}


def test_a_connection_that_is_cut_loses_one_request_and_is_opened_again() -> None:
    async def cut_once(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(answer(200)[:30])
            writer.close()
        else:
            writer.write(answer(200))

    service = Planted(cut_once)
    found = put_load(service, closed, clients=1, count=4)
    assert (statuses(found), found.lost) == ({"200": 3}, 1)
    assert service.connections == 2


def test_what_is_never_answered_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE", 0.05)

    async def silent_once(number: int, writer: asyncio.StreamWriter) -> None:
        if number != 0:
            writer.write(answer(200))

    found = put_load(Planted(silent_once), closed, clients=1, count=3)
    assert (statuses(found), found.lost) == ({"200": 2}, 1)


def test_a_late_answer_is_seen_late() -> None:
    async def late_once(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 2:
            await asyncio.sleep(0.1)
        writer.write(answer(200))

    found = put_load(Planted(late_once), closed, clients=1, count=4)
    assert found.good[2] >= 0.1


def test_a_rate_waits_for_no_answer() -> None:
    everyone = asyncio.Event()

    async def all_at_once(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 9:
            everyone.set()
        await everyone.wait()
        writer.write(answer(200))

    service = Planted(all_at_once)
    found = put_load(service, opened, rate=2000.0, count=10)
    assert statuses(found) == {"200": 10}
    assert service.most_at_once == 10


def test_clients_wait_for_their_answers() -> None:
    async def slow(_number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.001)
        writer.write(answer(200))

    service = Planted(slow)
    put_load(service, closed, clients=3, count=15)
    assert service.most_at_once == 3
