import asyncio
import socket
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from app.application import create_app
from app.connection import with_patience
from app.engine import Engine, open_engine
from app.presence import Presence
from benchmarks.wire import post
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files, names, query
from tests.app.server import serving
from tests.waiting import until


def test_the_block_ends_when_the_client_goes_and_only_the_block() -> None:
    async def scenario() -> None:
        client = Presence()
        with client:
            pass
        loop = asyncio.get_running_loop()
        loop.call_soon(client.leave)
        await asyncio.sleep(0.01)  # outside of a block: not interrupted
        with pytest.raises(ClientDisconnect), client:
            raise AssertionError("whoever has gone begins nothing")
        other = Presence()
        loop.call_soon(other.leave)
        with pytest.raises(ClientDisconnect), other:
            await asyncio.sleep(10)
        await asyncio.sleep(0)  # nothing of the cancellation is left

    asyncio.run(scenario())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def scenario() -> None:
        async def work() -> None:
            with Presence():
                await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_a_client_that_goes_away_frees_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(tiny_settings(tmp_path, max_queue=8, max_batch=1))
    go, sizes, real = threading.Event(), list[int](), engine.embedder.embed

    def slow(images: NDArray[np.uint8], *, alone: bool = False) -> NDArray[np.float32]:
        sizes.append(len(images))
        assert go.wait(20)
        return real(images, alone=alone)

    def opened(_: object) -> Engine:
        return engine

    app = create_app(engine.settings, opened)
    with serving(app, http=with_patience(30)) as client:
        enrol_thread = threading.Thread(target=enrol, args=(client, person(0), "anna"))
        monkeypatch.setattr(engine.embedder, "embed", slow)
        enrol_thread.start()
        until(lambda: len(sizes) == 1)
        pipeline = app.state.service.pipeline
        address = (client.base_url.host, client.base_url.port or 0)
        gone = [socket.create_connection(address) for _ in range(8)]
        for each in gone:
            each.sendall(post("/query", [person(1)], {}))
        until(lambda: pipeline.depth == 8)
        assert client.post("/query", files=files([person(0)])).status_code == 429
        for each in gone:
            each.close()
        until(lambda: pipeline.depth == 0)
        go.set()
        enrol_thread.join()
        assert names(query(client, person(0))) == ["anna"]
        assert len(sizes) == 2  # nothing was done for those who had gone
        assert 'route="/query",status="499"} 8.0' in client.get("/metrics").text


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let each query of a batch be answered by some megabytes, and each be a piece of the answer."""
    text = b'{"identities": ["' + b"x" * 4_000_000 + b'"]}'

    async def written(_service: object, _query: object, _line: object, rankings: list[object]) -> list[bytes]:
        return [text] * len(rankings)

    monkeypatch.setattr("app.routes.query.written", written)
    monkeypatch.setattr("app.routes.query.MOST_ROWS", 1)
    return text


def test_who_takes_no_answer_is_cut_off(tmp_path: Path, pieces: bytes) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app, http=with_patience(0.3)) as client:
        whole = client.post("/query/batch", files=files([person(0)] * 8))
        assert len(whole.content) > 8 * len(pieces)
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as idle:
            idle.sendall(post("/query/batch", [person(0)] * 8, {}))
            until(lambda: 'route="/query/batch"' in client.get("/metrics").text and counted(client) == 2)
            taken = 0
            try:
                while part := idle.recv(1 << 20):
                    taken += len(part)
            except ConnectionResetError:
                pass
        assert taken < len(whole.content)


def counted(client: httpx.Client) -> float:
    """Return how many batches have come to their end."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(each.split()[-1]) for each in lines if "reid_requests_total{" in each and "/query/batch" in each)


def test_an_answer_in_parts_takes_http_1_1(tmp_path: Path, pieces: bytes) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        for count, status in ((1, b"HTTP/1.1 200"), (2, b"HTTP/1.1 400")):
            with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as old:
                old.sendall(post("/query/batch", [person(0)] * count, {}).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
                answer = b""
                while part := old.recv(1 << 20):
                    answer += part
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(status)
            assert b"transfer-encoding" not in head.lower()
            assert (pieces in body) == (count == 1)
