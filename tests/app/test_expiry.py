import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app import expiry
from app.application import create_app
from app.settings import Settings
from index.errors import StoreUnavailable
from index.retention import Retention
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, names, query
from tests.app.server import serving
from tests.waiting import until


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(expiry, "FIRST_SECONDS", 0.0)
    return tiny_settings(tmp_path, expiry_interval_s=0.05)


def make_old(settings: Settings, sample_id: str) -> None:
    connection = sqlite3.connect(settings.data_dir / "reid.db")
    connection.execute("UPDATE samples SET enrolled_at = 0 WHERE sample_id = ?", (sample_id,))
    connection.commit()
    connection.close()


def test_the_service_expires_by_itself(settings: Settings) -> None:
    with serving(create_app(settings)) as client:
        client.put("/galleries/default", json={"retention_days": 1})
        make_old(settings, enrol(client, person(0), "anna"))
        enrol(client, person(1), "berta")
        until(lambda: names(query(client, person(0))) == ["berta"])
        until(lambda: "reid_expired_samples_total 1.0" in client.get("/metrics").text)
        assert "reid_expiry_failures_total 0.0" in client.get("/metrics").text


def test_a_failure_is_logged_and_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expire, failures = Retention.expire, iter([StoreUnavailable("the disk is full"), ValueError("a fault of ours")])

    def failing(self: Retention, *, stopped: Callable[[], bool]) -> object:
        if (failure := next(failures, None)) is not None:
            raise failure
        return expire(self, stopped=stopped)

    monkeypatch.setattr(Retention, "expire", failing)
    with serving(create_app(settings)) as client:
        client.put("/galleries/default", json={"retention_days": 1})
        make_old(settings, enrol(client, person(0), "anna"))
        until(lambda: names(query(client, person(0))) == [])
        assert "reid_expiry_failures_total 2.0" in client.get("/metrics").text
    assert caplog.text.count("expiry failed; it is tried again in 0.05 seconds") == 2


def test_an_interval_of_0_is_never(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []  # counted, for the service outlives whatever a run raises

    def expire(*_: object, **__: object) -> dict[str, object]:
        ran.append(True)
        return {}

    monkeypatch.setattr(Retention, "expire", expire)
    with serving(create_app(settings.model_copy(update={"expiry_interval_s": 0.0}))) as client:
        for _ in range(20):
            assert client.get("/galleries").status_code == 200
    assert not ran


def test_a_run_under_way_ends_with_the_service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    ended: list[float] = []

    def long(self: Retention, *, stopped: Callable[[], bool]) -> dict[str, object]:
        began.append(time.monotonic())
        until(stopped)
        ended.append(time.monotonic())
        return {}

    monkeypatch.setattr(Retention, "expire", long)
    with serving(create_app(settings)):
        until(lambda: bool(began))
    assert len(ended) == 1
