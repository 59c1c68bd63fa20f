"""Over the queue's bound: refused before anything else is looked at."""

from pathlib import Path

import pytest

from app.application import create_app
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
