import asyncio
import logging
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from app.errors import MalformedRequest
from app.metrics import Metrics
from app.middleware import RequestContext
from tests.app.server import serving


async def good(request: Request) -> Response:
    return PlainTextResponse(request.state.request_id)


async def broken(request: Request) -> Response:
    raise RuntimeError("a secret path")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> Iterator[httpx.Client]:
    app = Starlette(routes=[Route("/good", good), Route("/broken", broken)])
    app.add_middleware(RequestContext, metrics=metrics)
    with serving(app, lifespan=False) as client:
        yield client


def test_clients_own_id_comes_back(client: httpx.Client) -> None:
    answer = client.get("/good", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["X-Request-ID"] == answer.text == "mine-1"


@pytest.mark.parametrize("identifier", ["", "two words", "x" * 129, "\u00e9"])
def test_an_id_that_cannot_be_logged_is_replaced(client: httpx.Client, identifier: str) -> None:
    answer = client.get("/good", headers=[(b"X-Request-ID", identifier.encode("latin-1"))])
    assert answer.headers["X-Request-ID"] == answer.text
    assert answer.text != identifier
    assert len(answer.text) == 32


def test_requests_have_ids_of_their_own(client: httpx.Client) -> None:
    assert client.get("/good").text != client.get("/good").text


def test_an_error_of_our_own_is_a_500_that_tells_nothing(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
    assert "a secret path" in caplog.text


def test_a_client_that_left_is_no_error(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    async def gone(scope: object, receive: object, send: object) -> None:
        raise ClientDisconnect

    async def unused(message: Message | None = None) -> Message:
        raise NotImplementedError

    scope = {"type": "http", "method": "POST", "headers": []}
    asyncio.run(RequestContext(gone, metrics)(scope, unused, unused))  # type: ignore[arg-type]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert b'status="499"' in metrics.render(queue=0, samples=0, version="v", providers="p")


@pytest.mark.parametrize("begun", [False, True])
def test_who_is_waiting_when_the_server_stops_is_told_so(
    metrics: Metrics, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    sent: list[Message] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def keep(message: Message) -> None:
        sent.append(message)

    async def unused() -> Message:
        raise NotImplementedError

    async def scenario() -> None:
        scope = {"type": "http", "method": "POST", "headers": []}
        asking = asyncio.create_task(RequestContext(slow, metrics)(scope, unused, keep))
        await asyncio.sleep(0)
        asking.cancel()
        await asking

    asyncio.run(scenario())
    assert [each.get("status") for each in sent] == ([200] if begun else [503, None])
    assert begun or b'"code":"not_ready"' in sent[1]["body"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_requests_are_counted_by_route_and_status(metrics: Metrics) -> None:
    app = Starlette(routes=[Route("/good/{name}", good), Route("/broken", broken)])
    app.add_middleware(RequestContext, metrics=metrics)
    with serving(app, lifespan=False) as client:
        for path in ("/good/anna", "/broken", "/nothing"):
            client.get(path)
    text = metrics.render(queue=0, samples=0, version="v", providers="p").decode()
    for route, status in (("/good/{name}", 200), ("/broken", 500), ("unmatched", 404)):
        assert f'reid_requests_total{{method="GET",route="{route}",status="{status}"}} 1.0' in text


def test_a_path_or_query_string_that_is_no_text_is_refused(client: httpx.Client) -> None:
    for target in (b"/good%ff", b"/good?a=%ed%a0%80", b"/good?%c0%af"):
        answer = client.get(httpx.URL(scheme="http", host="127.0.0.1", port=client.base_url.port, raw_path=target))
        assert answer.status_code == 400
        assert answer.json()["code"] == "malformed_request"
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_a_body_that_does_not_come_is_refused(metrics: Metrics) -> None:
    async def reading(request: Request) -> Response:
        with pytest.raises(MalformedRequest, match="expected the body faster"):
            await request.body()
        return PlainTextResponse("told")

    app = Starlette(routes=[Route("/", reading, methods=["POST"])])
    app.add_middleware(RequestContext, metrics=metrics, patience=0.2)

    def dripping() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x"
            time.sleep(0.05)

    with serving(app, lifespan=False) as client:
        assert client.post("/", content=dripping()).text == "told"
        assert client.post("/", content=b"x").status_code == 500  # the handler expects a slow one
