"""Ingesting: bounded, told of batch by batch, and able to go on over a restart."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.application import create_app
from reid_client import AsyncClient, Client, Conflict, Ingested, NewSample, NotFound, Progress
from tests.app.parts import person, tiny_settings
from tests.reid_client.both import KINDS, opened, scripted
from tests.reid_client.test_packing import Enrolling, named


def people(count: int) -> list[NewSample]:
    return [NewSample(person(identity % 5, identity // 5), f"{identity % 5:04}") for identity in range(count)]


def test_progress_tells_every_sample_and_every_reason(client: Client, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    samples = people(10)
    samples[2:2] = [NewSample(tmp_path / "text.jpg", "x"), NewSample(tmp_path / "none.jpg", "x")]
    samples[7:7] = [NewSample(b"", "x", external_id="mine"), NewSample(person(1), "")]
    steps: list[Progress] = []
    done = client.ingest(samples, progress=steps.append, batch_size=3)
    assert [outcome.index for step in steps for outcome in step.outcomes] == list(range(14))
    assert [step.done for step in steps] == [3, 6, 9, 12, 14]
    assert (done.created, done.duplicates, done.rejected) == (10, 0, 4)
    assert [(each.name, each.error.code) for each in done.rejections if each.error] == [
        (f"{tmp_path}/text.jpg", "unsupported_media"),
        (f"{tmp_path}/none.jpg", "file_unreadable"),
        ("mine", "unsupported_media"),
        ("bytes", "invalid_metadata"),
    ]
    again = client.ingest(samples)
    assert (again.created, again.duplicates, again.rejected) == (0, 10, 4)


def test_an_ingestion_of_nothing(client: Client) -> None:
    assert client.ingest([]) == Ingested()


def test_an_error_of_the_whole_ends_it(client: Client) -> None:
    with pytest.raises(NotFound, match="gallery_not_found"):
        client.ingest(people(6), gallery="none", batch_size=2)


@pytest.mark.parametrize("kind", KINDS)
def test_many_rejections_are_counted_and_the_first_kept(kind: str) -> None:
    with scripted(kind, Enrolling()) as (client, _):
        done = client.ingest(NewSample("/nowhere", f"{index}") for index in range(1500))
    assert (done.rejected, len(done.rejections), done.rejections[-1].index) == (1500, 1000, 999)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_than_allowed_are_under_way(concurrency: int) -> None:
    service, lock = Enrolling(), threading.Lock()
    running, most, read = 0, 0, 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
            return service(request)

    def reading() -> Iterator[NewSample]:
        nonlocal read
        for sample in named(100):
            read += 1
            yield sample

    with scripted("sync", answer) as (client, _):
        for step in client.ingest_steps(reading(), batch_size=5, concurrency=concurrency):
            assert read - step.done <= 5 * concurrency + 1
    assert most == concurrency


def test_asynchronous_samples_are_ingested_with_no_more_requests_than_allowed() -> None:
    service = Enrolling()
    running, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return service(request)

    async def samples() -> AsyncIterator[NewSample]:
        for sample in named(50):
            yield sample

    async def ingest() -> Ingested:
        async with AsyncClient("http://reid.test", transport=httpx.MockTransport(answer)) as client:
            return await client.ingest(samples(), batch_size=5, concurrency=3)

    assert asyncio.run(ingest()).created == 50
    assert most == 3


def test_a_failure_leaves_no_request_running() -> None:
    begun, ended = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal begun, ended
        begun += 1
        try:
            if b'"0"' in request.content:
                while begun < 3:
                    await asyncio.sleep(0.001)
                return httpx.Response(409, json={"code": "migration_state", "detail": "no"})
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended += 1
            raise
        return httpx.Response(500)

    async def ingest() -> None:
        async with AsyncClient("http://reid.test", transport=httpx.MockTransport(answer)) as client:
            await client.ingest(named(3), batch_size=1, concurrency=3)

    with pytest.raises(Conflict):
        asyncio.run(ingest())
    assert ended == 2


def test_who_gives_up_does_not_wait_for_the_attempts_that_are_left() -> None:
    def samples() -> Iterator[NewSample]:
        yield from named(2)
        time.sleep(0.3)
        raise KeyboardInterrupt

    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    started = time.monotonic()
    with Client("http://reid.test", transport=httpx.MockTransport(refuse)) as client, pytest.raises(KeyboardInterrupt):
        client.ingest(samples(), batch_size=1)
    assert time.monotonic() - started < 5


class Restarted:
    """The service on one port, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.restarts = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        self._start()
        try:
            yield
        finally:
            self._stop()

    def restart(self) -> None:
        """Stop, stay away for a while, start again."""
        self._stop()
        time.sleep(0.5)
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._start()
        self.restarts += 1

    def _start(self) -> None:
        app = create_app(tiny_settings(self._folder))
        self._server = uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_over_a_restart_of_the_service(kind: str, tmp_path: Path) -> None:
    service = Restarted(tmp_path)
    samples = people(40)
    restarting: list[threading.Thread] = []

    def watch(step: Progress) -> None:
        if step.done >= 10 and not restarting:
            restarting.append(threading.Thread(target=service.restart))
            restarting[0].start()

    with service.running(), opened(kind, f"http://127.0.0.1:{service.port}") as client:
        done = client.ingest(samples, progress=watch, batch_size=5)
        restarting[0].join()
        assert service.restarts == 1
        assert done.created + done.duplicates == len(list(client.samples()))
        assert (done.created + done.duplicates, done.rejected) == (40, 0)
