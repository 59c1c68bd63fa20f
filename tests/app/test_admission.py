"""Over the queue's bound: refused before anything else is looked at."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from app.application import create_app
from app.callers import Caller
from app.enrolment import MAX_ENROLLING
from app.errors import Overloaded
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files, refused
from tests.app.server import serving


def test_what_needs_the_model_is_refused_at_the_door_and_nothing_else_is(tmp_path: Path) -> None:
    app = create_app(tiny_settings(tmp_path))

    def full(pictures: int) -> None:
        raise Overloaded(f"expected room for {pictures}")

    with serving(app) as client:
        sample = enrol(client, person(0), "anna")
        app.state.service.pipeline.require_room = full
        for path in ("/query", "/query/batch", "/verify", "/embed", "/gallery"):
            answer = client.post(path, files={"nonsense": b"that nobody reads"})
            refused(answer, 429, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
        assert client.post("/query", json={"sample_id": sample}).status_code == 200
        assert client.get("/identities").status_code == 200
        text = client.get("/metrics").text
        assert 'reid_requests_total{method="POST",route="/query",status="429"} 1.0' in text
        assert 'reid_rejected_items_total{code="overloaded"} 5.0' in text
        del app.state.service.pipeline.require_room
        assert client.post("/query", files=files([person(0)])).status_code == 200


@pytest.mark.parametrize("path", ["/query", "/embed"])
def test_a_connection_outlives_its_refusal(tmp_path: Path, path: str) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        real = app.state.service.pipeline.require_room

        def full(pictures: int) -> None:
            app.state.service.pipeline.require_room = real
            raise Overloaded("full")

        app.state.service.pipeline.require_room = full
        assert client.post(path, files=files([person(0)] * 8)).status_code == 429
        assert client.post(path, files=files([person(0)] * 8)).status_code == 200


def ask(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/query", files=files([person(0)]), headers=headers)


def test_who_is_let_in_has_a_place_before_anything_is_decoded(tmp_path: Path) -> None:
    app = create_app(tiny_settings(tmp_path, max_queue=1))
    with serving(app) as client, ThreadPoolExecutor(1) as pool:
        asked, told = threading.Event(), threading.Event()
        keyring = app.state.service.keyring
        caller = keyring.caller

        async def slow(headers: Headers) -> Caller:
            asked.set()
            await asyncio.to_thread(told.wait, 5)
            found: Caller = await caller(headers)
            return found

        keyring.caller = slow
        first = pool.submit(ask, client)
        assert asked.wait(5)
        refused(ask(client), 429, "overloaded")
        told.set()
        assert first.result().status_code == 200
        assert ask(client).status_code == 200


def test_who_is_refused_at_the_key_gives_the_place_back(tmp_path: Path) -> None:
    app = create_app(tiny_settings(tmp_path, max_queue=1))
    with serving(app) as client:
        for _ in range(2):
            refused(ask(client, **{"X-API-Key": "a key that was never made"}), 401, "unauthorized")
        assert ask(client).status_code == 200


def test_a_client_that_takes_its_time_has_no_place(tmp_path: Path) -> None:
    app = create_app(tiny_settings(tmp_path, max_queue=1))
    with serving(app) as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, port)) as slow:
            slow.sendall(
                b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            )
            end = time.monotonic() + 5
            while ask(client).status_code != 200:
                assert time.monotonic() < end, "a body that does not come keeps others out"


def test_slow_uploads_keep_nobody_from_enrolling_and_work_does(tmp_path: Path) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client, ExitStack() as slow:
        host, port = client.base_url.host, client.base_url.port
        for _ in range(MAX_ENROLLING):
            connection = slow.enter_context(socket.create_connection((host, port)))
            connection.sendall(
                b"POST /gallery HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
        time.sleep(0.2)
        enrol(client, person(0), "anna")
        app.state.service.enrolling = MAX_ENROLLING
        refused(client.post("/gallery", files=files([person(1)]), data={"identity": "berta"}), 429, "overloaded")
