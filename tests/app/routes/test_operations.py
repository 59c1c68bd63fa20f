import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.application import create_app
from app.engine import Engine, open_engine
from app.errors import Overloaded
from app.routes import operations
from index.errors import StoreUnavailable
from index.records import Ranking
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol_people, files, query, refused
from tests.app.server import serving


def test_live_and_ready(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}


def failing_embed(images: NDArray[np.uint8], *, alone: bool = False) -> NDArray[np.float32]:
    raise RuntimeError("planted")


def failing_search(*values: object, **more: object) -> list[Ranking]:
    raise StoreUnavailable("SELECT planted FROM /tmp")


@pytest.mark.parametrize(("part", "plant"), [("embed", failing_embed), ("search", failing_search)])
def test_not_ready_names_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, plant: Any) -> None:  # noqa: ANN401
    engine = open_engine(tiny_settings(tmp_path))
    monkeypatch.setattr(engine.embedder if part == "embed" else engine.gallery, part, plant)

    def opened(_: object) -> Engine:
        return engine

    with serving(create_app(engine.settings, opened)) as client:
        assert refused(client.get("/health/ready"), 503, "not_ready")["detail"].startswith(f"{part}: ")
        assert client.get("/health/live").status_code == 200
        refused(client.post("/query", files=files([person(0)])), 503, "not_ready")
        monkeypatch.undo()
        assert client.get("/health/ready").status_code == 200


def test_a_busy_model_is_ready_and_one_that_hangs_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(tiny_settings(tmp_path, max_queue=2))
    embed, free = engine.embedder.embed, threading.Event()

    def slow(images: NDArray[np.uint8], *, alone: bool = False) -> NDArray[np.float32]:
        time.sleep(0.02)
        assert free.wait(30)
        return embed(images, alone=alone)

    def opened(_: object) -> Engine:
        return engine

    monkeypatch.setattr(engine.embedder, "embed", slow)
    free.set()
    with serving(create_app(engine.settings, opened)) as client, ThreadPoolExecutor(6) as pool:

        def ask(times: int) -> list[int]:
            return [client.post("/query", files=files([person(0)])).status_code for _ in range(times)]

        asking = [pool.submit(ask, 30) for _ in range(6)]
        probes = []
        while not all(each.done() for each in asking):
            probes.append(client.get("/health/ready").status_code)
        assert {status for each in asking for status in each.result()} == {200, 429}
        assert set(probes) == {200}

        monkeypatch.setattr("app.health.LIMIT", 0.5)
        free.clear()
        asking = [pool.submit(ask, 1) for _ in range(4)]
        while not any(each.done() for each in asking):  # refused: the queue is full
            time.sleep(0.01)
        refused(client.get("/health/ready"), 503, "not_ready")
        free.set()
        assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(("searched", "status"), [(np.inf, 200), (-np.inf, 503)])
def test_a_busy_search_is_ready_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched: float, status: int
) -> None:
    async def full(*_: object) -> list[Ranking]:
        raise Overloaded("planted")

    monkeypatch.setattr("app.health.rank", full)
    monkeypatch.setattr("app.health.LIMIT", 0.3)
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        app.state.service.pipeline._searching.worked = searched
        assert client.get("/health/ready").status_code == status


def test_metrics_count_what_happened(client: httpx.Client) -> None:
    enrol_people(client, 2)
    query(client, person(0))
    client.post("/query", files=files([b"text"]))
    client.get("/nothing")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'reid_requests_total{method="POST",route="/gallery",status="201"} 2.0',
        'reid_requests_total{method="POST",route="/query",status="200"} 1.0',
        'reid_requests_total{method="POST",route="/query",status="415"} 1.0',
        'reid_rejected_items_total{code="unsupported_media"} 1.0',
        "reid_embeddings_total 3.0",
        "reid_queue_limit_pictures 512.0",
        "reid_index_lag_changes 0.0",
        "reid_gallery_samples 2.0",
        "reid_queue_pictures 0.0",
    ):
        assert line in answer.text.splitlines()
    assert 'reid_model_info{providers="CPUExecutionProvider",version="tiny@1"} 1.0' in answer.text


def test_metrics_are_told_while_the_catalogue_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(tiny_settings(tmp_path))

    def away() -> None:
        raise StoreUnavailable("planted")

    def hangs() -> int:
        time.sleep(0.5)
        return 0

    with serving(create_app(engine.settings, lambda _: engine)) as client:
        enrol_people(client, 1)
        for fault in (away, hangs):
            monkeypatch.setattr(engine.gallery.indexes, "lag", fault)
            monkeypatch.setattr(operations, "PATIENCE", 0.2)
            answer = client.get("/metrics")
            assert answer.status_code == 200
            assert 'reid_requests_total{method="POST",route="/gallery",status="201"} 1.0' in answer.text
            assert "reid_gallery_samples NaN" in answer.text.splitlines()
        monkeypatch.undo()
        assert "reid_gallery_samples 1.0" in client.get("/metrics").text.splitlines()


def test_unknown_path_and_wrong_method(client: httpx.Client) -> None:
    refused(client.get("/nothing"), 404, "not_found")
    refused(client.get("/gallery/"), 404, "not_found")
    answer = client.put("/query")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
