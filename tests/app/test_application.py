import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.application import create_app
from app.engine import open_engine
from app.problems import STATUS_OF
from index.keys import Keys, Scope
from tests.app.parts import person, tiny_settings, write_version
from tests.app.routes.calls import enrol, files, names, query, refused
from tests.app.server import serving

# The HTTP contract's routes.
ROUTES = {
    "/query": {"post"},
    "/query/batch": {"post"},
    "/verify": {"post"},
    "/embed": {"post"},
    "/gallery": {"get", "post"},
    "/gallery/{sample_id}": {"get", "patch", "delete"},
    "/gallery/{sample_id}/image": {"get"},
    "/identities": {"get"},
    "/suspects": {"get", "post"},
    "/suspects/right": {"post"},
    "/suspects/apart": {"post"},
    "/suspects/answers": {"delete"},
    "/drift": {"get"},
    "/settings": {"get"},
    "/identities/{identity}": {"get", "patch", "delete"},
    "/galleries": {"get"},
    "/galleries/{name}": {"put", "delete"},
    "/models": {"get"},
    "/models/{version}": {"get"},
    "/models/{version}/activate": {"post"},
    "/migrations": {"get"},
    "/migrations/{migration_id}": {"get"},
    "/migrations/{migration_id}/cancel": {"post"},
    "/migrations/{migration_id}/rollback": {"post"},
    "/migrations/{migration_id}/finalize": {"post"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture
def openapi(tmp_path: Path) -> dict[str, Any]:
    return create_app(tiny_settings(tmp_path)).openapi()


@pytest.mark.parametrize(("number", "told"), [(2, True), (1, False)])
def test_a_newer_version_than_the_one_that_serves_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, told: bool
) -> None:
    settings = tiny_settings(tmp_path, log_level="info")
    if number != 1:
        write_version(settings.registry_dir, f"tiny@{number}")
    with serving(create_app(settings)):
        pass
    assert ("tiny@2 is there too: reid models activate tiny@2" in caplog.text) == told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_without_keys_only_a_loopback_address_is_served(
    tmp_path: Path, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tiny_settings(tmp_path, host=host)
    with pytest.raises((RuntimeError, SystemExit)), serving(create_app(settings)):
        pass
    assert f"cannot start: REID_HOST={host}: expected a loopback address" in caplog.text
    with Keys.open(settings.database_url) as keys:
        key_id = keys.create([Scope.QUERY])[0].key_id
        with serving(create_app(settings)) as client:
            refused(client.get("/identities"), 401, "unauthorized")
        keys.revoke(key_id)  # nobody gets in any more, and it is no reason to open the service
    with serving(create_app(settings)) as client:
        refused(client.get("/identities"), 401, "unauthorized")


def test_building_opens_nothing(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path / "models-only")
    create_app(settings)
    assert [each.name for each in settings.data_dir.iterdir()] == ["models"]


def test_openapi_has_the_contracts_routes(openapi: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in openapi["paths"].items()} == ROUTES


def test_every_route_is_described_with_its_errors(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            assert route["summary"], (method, path)
            assert route["description"], (method, path)
            for status, answer in route["responses"].items():
                codes = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
                good = status == "default" or int(status) < 400 or "EnrolAnswer" in json.dumps(answer)
                assert good or codes, (method, path, status)
                assert all(str(STATUS_OF[code]) == status for code in codes)


def test_openapi_refers_to_nothing_that_is_missing(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    references: set[str] = set()

    def collect(node: Any) -> None:  # noqa: ANN401 - any JSON
        if isinstance(node, dict):
            references.update({node["$ref"]} if isinstance(node.get("$ref"), str) else ())
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(openapi)
    assert references <= {f"#/components/schemas/{name}" for name in schemas}


def test_examples_have_all_that_is_required_and_no_default_is_refused(openapi: dict[str, Any]) -> None:
    shown = [
        (schema, each) for schema in openapi["components"]["schemas"].values() for each in schema.get("examples", ())
    ]
    assert [(schema["title"], name) for schema, each in shown for name in schema["required"] if name not in each] == []
    assert ("next_cursor", None) in {item for _, each in shown for item in each.items() if item[1] is None}
    changes = openapi["paths"]["/gallery/{sample_id}"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert "default" not in changes["properties"]["identity"]


def test_openapi_has_the_query_fields_with_their_limits(openapi: dict[str, Any]) -> None:
    content = openapi["paths"]["/query"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]["properties"]
    assert form["image"]["maxItems"] == 32
    assert (form["top_k"]["minimum"], form["top_k"]["maximum"], form["top_k"]["default"]) == (1, 1000, 10)
    assert "embedding" in content["application/json"]["schema"]["properties"]
    assert "embedding" not in form


def test_overload_is_answered_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, max_queue=1, max_batch=1)
    with serving(create_app(settings)) as client, ThreadPoolExecutor(16) as pool:
        enrol(client, person(0), "anna")
        answers = list(pool.map(lambda _: client.post("/query", files=files([person(0)] * 8)), range(64)))
        refusals = [each for each in answers if each.status_code == 429]
        assert refusals
        for each in refusals:
            refused(each, 429, "overloaded")
            assert int(each.headers["retry-after"]) >= 1
        assert all(names(each.json()) == ["anna"] for each in answers if each.status_code == 200)
        assert len(refusals) < 64
        assert names(query(client, person(0))) == ["anna"]


def test_bodies_of_all_requests_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.middleware.MAX_HELD", 500_000)
    with serving(create_app(tiny_settings(tmp_path))) as client:
        refused(client.post("/query", files=files([bytes(600_000)])), 429, "overloaded")
        for _ in range(3):  # what a request held is given back
            refused(client.post("/query", files=files([bytes(400_000)])), 415, "unsupported_media", "image")


def test_gallery_outlives_a_restart(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    with serving(create_app(settings)) as client:
        enrol(client, person(0), "anna")
    with serving(create_app(settings)) as client:
        assert names(query(client, person(0))) == ["anna"]
    with open_engine(settings) as engine:
        assert engine.gallery.check().clean


def test_start_that_fails_says_why_without_a_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(tiny_settings(tmp_path, model="tiny@9"))
    with pytest.raises((RuntimeError, SystemExit)), serving(app):
        pass
    assert "cannot start: REID_MODEL=tiny@9: expected a version out of" in caplog.text
    assert "Traceback" not in caplog.text
