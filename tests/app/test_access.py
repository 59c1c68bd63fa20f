"""Every route against every kind of key. A new route fails here until it has its line."""

import json
import logging
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute, iter_route_contexts

from app.access import OPEN, RULES
from app.application import create_app
from app.auditing import Job, LabelAudits
from app.settings import Settings
from app.suspects import Findings, MergeCandidate
from index.gallery import GalleryStore
from index.keys import Keys, Scope
from tests.app.parts import VERSION, person, tiny_settings
from tests.app.routes.calls import enrol, files, names, query, refused
from tests.app.server import serving

Route: TypeAlias = tuple[str, str]
OPEN_PATHS = {"/", "/docs", "/console/{name}", "/health/live", "/health/ready", "/metrics", "/openapi.json"}
GALLERIES = ("default", "own", "foreign")


@dataclass(frozen=True)
class Call:
    """How a route is called, and what the contract asks for."""

    path: str
    scope: Scope
    names: str | None = None  # where the gallery is named
    good: tuple[int, ...] = (200,)
    more: Mapping[str, Any] = field(default_factory=dict)
    everywhere: bool = False


def image() -> dict[str, Any]:
    return {"files": files([person(0)])}


NONE = "01KBQ4V7Y2N8W5T3R6M9XJ0ZCD"  # no sample's id
QUERY, ENROLL, ADMIN = Scope
CALLS: dict[Route, Call] = {
    ("POST", "/query"): Call("/query", QUERY, "form", more=image()),
    ("POST", "/query/batch"): Call("/query/batch", QUERY, "form", more=image()),
    ("POST", "/verify"): Call("/verify", QUERY, more={"files": {"image_a": person(0), "image_b": person(1)}}),
    ("POST", "/embed"): Call("/embed", QUERY, more=image()),
    ("GET", "/gallery"): Call("/gallery", QUERY, "query"),
    ("GET", "/gallery/{sample_id}"): Call(f"/gallery/{NONE}", QUERY, "query", (404,)),
    ("GET", "/gallery/{sample_id}/image"): Call(f"/gallery/{NONE}/image", QUERY, "query", (404,)),
    ("POST", "/gallery"): Call("/gallery", ENROLL, "form", (201,), {**image(), "data": {"identity": "new"}}),
    ("PATCH", "/gallery/{sample_id}"): Call(f"/gallery/{NONE}", ENROLL, "query", (404,), {"json": {"camera": "c"}}),
    ("DELETE", "/gallery/{sample_id}"): Call(f"/gallery/{NONE}", ENROLL, "query", (404,)),
    ("GET", "/identities"): Call("/identities", QUERY, "query"),
    ("GET", "/identities/{identity}"): Call("/identities/nobody", QUERY, "query", (404,)),
    ("PATCH", "/identities/{identity}"): Call(
        "/identities/nobody", ADMIN, "query", (404,), {"json": {"identity": "x"}}
    ),
    ("DELETE", "/identities/{identity}"): Call("/identities/nobody", ADMIN, "query", (404,)),
    ("GET", "/suspects"): Call("/suspects", QUERY, "query"),
    ("POST", "/suspects"): Call("/suspects", ENROLL, "query", (202,)),
    ("POST", "/suspects/right"): Call("/suspects/right", ENROLL, "query", (404,), {"json": {"sample_id": NONE}}),
    ("POST", "/suspects/apart"): Call(
        "/suspects/apart", ENROLL, "query", (404,), {"json": {"identities": ["nobody", "noone"]}}
    ),
    ("DELETE", "/suspects/answers"): Call("/suspects/answers", ENROLL, "query"),
    ("GET", "/drift"): Call("/drift", QUERY, "query"),
    ("GET", "/settings"): Call("/settings", ADMIN, everywhere=True),
    ("GET", "/galleries"): Call("/galleries", ADMIN),
    ("PUT", "/galleries/{name}"): Call("/galleries/", ADMIN, "path", more={"json": {}}),
    ("DELETE", "/galleries/{name}"): Call("/galleries/", ADMIN, "path", (200, 404)),
    ("GET", "/models"): Call("/models", ADMIN),
    ("GET", "/models/{version}"): Call(f"/models/{VERSION}", ADMIN),
    ("POST", "/models/{version}/activate"): Call(f"/models/{VERSION}/activate", ADMIN, good=(409,), everywhere=True),
    ("GET", "/migrations"): Call("/migrations", ADMIN),
    ("GET", "/migrations/{migration_id}"): Call("/migrations/x", ADMIN, good=(404,)),
    ("POST", "/migrations/{migration_id}/cancel"): Call("/migrations/x/cancel", ADMIN, good=(404,), everywhere=True),
    ("POST", "/migrations/{migration_id}/rollback"): Call(
        "/migrations/x/rollback", ADMIN, good=(404,), everywhere=True
    ),
    ("POST", "/migrations/{migration_id}/finalize"): Call(
        "/migrations/x/finalize", ADMIN, good=(404,), everywhere=True
    ),
}


def send(client: httpx.Client, route: Route, key: str | None, gallery: str | None = None) -> httpx.Response:
    """Make a route's call with a key, naming a gallery or none."""
    call, path = CALLS[route], CALLS[route].path
    more: dict[str, Any] = {**call.more, "headers": {} if key is None else {"Authorization": f"Bearer {key}"}}
    if call.names == "path":
        path += gallery or "own"
    elif gallery is not None and call.names == "query":
        more["params"] = {"gallery": gallery}
    elif gallery is not None and call.names == "form":
        more["data"] = {**call.more.get("data", {}), "gallery": gallery}
    return client.request(route[0], path, **more)


@dataclass
class Service:
    """A running service with three galleries, each with one person who is named after it."""

    client: httpx.Client
    keys: Keys

    def key(self, *scopes: Scope, gallery: str | None = None, rate: float | None = None) -> str:
        return self.keys.create(scopes, gallery=gallery, rate=rate)[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny_settings(tmp_path)


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with serving(create_app(settings)) as client, Keys.open(settings.database_url) as keys:
        for gallery in GALLERIES:
            assert client.put(f"/galleries/{gallery}", json={}).status_code == 200
            enrol(client, person(0), f"person of {gallery}", gallery=gallery)
        yield Service(client, keys)


def walk(settings: Settings) -> set[Route]:
    """Return every method and path that the application answers."""
    app = create_app(settings)
    found: set[Route] = set()
    for context in iter_route_contexts(app.routes):
        path = getattr(context, "path_format", None) or getattr(context, "path", None)
        assert isinstance(path, str), "something other than a route is mounted: what keeps strangers out of it?"
        found |= {(method, path) for method in getattr(context, "methods", None) or ()}
    return found


def test_every_route_is_open_or_has_its_line(settings: Settings) -> None:
    routes = walk(settings)
    assert len(routes) > 25
    assert {route for route in routes if route[1] not in OPEN_PATHS} == set(CALLS)
    assert set(RULES) == {route for route in routes if route[1] != "/openapi.json"}  # FastAPI's own, and open
    assert {path for (_, path), rule in RULES.items() if rule is OPEN} == OPEN_PATHS - {"/openapi.json"}


@pytest.mark.parametrize("route", CALLS, ids=" ".join)
def test_nobody_known_gets_nothing(service: Service, route: Route) -> None:
    good = service.key(ADMIN)
    revoked, text = service.keys.create([ADMIN])
    service.keys.revoke(revoked.key_id)
    for key in (None, "x", good[:-1], good.upper(), f"reid_{'0' * 12}_{good[18:]}", text):
        answer = send(service.client, route, key)
        problem = refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="reid"'
        assert all(each[18:] not in json.dumps(problem) for each in (good, text))
    assert send(service.client, route, good).status_code in CALLS[route].good


@pytest.mark.parametrize("route", CALLS, ids=" ".join)
def test_a_key_is_good_for_its_scopes(service: Service, route: Route) -> None:
    call = CALLS[route]
    for scopes in ((QUERY,), (ENROLL,), (QUERY, ENROLL), (ADMIN,)):
        answer = send(service.client, route, service.key(*scopes))
        if call.scope in scopes or ADMIN in scopes:
            assert answer.status_code in call.good, answer.text
        else:
            refused(answer, 403, "forbidden")


@pytest.mark.parametrize("route", CALLS, ids=" ".join)
def test_a_bound_key_reaches_its_gallery_alone(service: Service, route: Route) -> None:
    call, key = CALLS[route], service.key(ADMIN, gallery="own")
    if call.everywhere:
        refused(send(service.client, route, key), 403, "forbidden")
        return
    for gallery in (None, "own"):
        answer = send(service.client, route, key, gallery)
        assert answer.status_code in call.good, answer.text
        assert "foreign" not in answer.text
        assert "default" not in answer.text or call.names is None
        if call.names in ("query", "form") and route != ("POST", "/gallery"):
            assert "own" in answer.text
        send(service.client, ("PUT", "/galleries/{name}"), key)  # what was deleted is there again
    for gallery in ("foreign", "default", "nowhere"):
        if call.names is not None:
            refused(send(service.client, route, key, gallery), 403, "forbidden")


def test_an_enrolment_with_a_bound_key_is_in_its_gallery(service: Service) -> None:
    key, admin = service.key(ENROLL, gallery="own"), service.key(ADMIN)
    headers = {"X-API-Key": key}
    alone = service.client.post("/gallery", files=files([person(1)]), data={"identity": "berta"}, headers=headers)
    metadata = json.dumps([{"identity": "carla"}, {"identity": "dora"}])
    several = service.client.post(
        "/gallery", files=files([person(2), person(3)]), data={"metadata": metadata}, headers=headers
    )
    assert (alone.status_code, several.status_code) == (201, 201)
    found = {}
    for gallery in GALLERIES:
        page = service.client.get("/identities", params={"gallery": gallery}, headers={"X-API-Key": admin}).json()
        found[gallery] = [each["identity"] for each in page["items"]]
    people = ["berta", "carla", "dora"]
    assert found == {name: [*(people if name == "own" else []), f"person of {name}"] for name in GALLERIES}


def test_a_query_by_json_is_bound_too(service: Service) -> None:
    headers = {"X-API-Key": service.key(QUERY, gallery="own")}
    page = service.client.get("/gallery", headers=headers).json()
    by_sample = {"sample_id": page["items"][0]["sample_id"]}
    assert service.client.post("/query", json=by_sample, headers=headers).json()["gallery"] == "own"
    refused(service.client.post("/query", json={**by_sample, "gallery": "foreign"}, headers=headers), 403, "forbidden")
    answer = service.client.post("/query", data={**by_sample, "gallery": "default"}, files=[], headers=headers)
    refused(answer, 400, "malformed_request")  # httpx sends a form without files in another type


def test_a_bound_key_is_shown_its_own_gallery_alone(service: Service) -> None:
    found = service.client.get("/galleries", headers={"X-API-Key": service.key(ADMIN, gallery="own")}).json()
    assert [each["name"] for each in found["items"]] == ["own"]


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_what_is_open_needs_no_key_and_minds_no_wrong_one(service: Service, path: str) -> None:
    service.key(ADMIN)
    assert service.client.get(path.format(name="main.js")).status_code == 200
    assert service.client.get(path.format(name="main.js"), headers={"X-API-Key": "wrong"}).status_code == 200


def test_no_unknown_path_or_method_tells_more(service: Service) -> None:
    service.key(ADMIN)
    for path in ("/nothing", "/gallery/", "/galleries/own/..%2fown/x/y", "/docs/oauth2-redirect", "/console/../x"):
        assert service.client.get(path).status_code in (404, 405), path
    assert service.client.put("/query").headers["Allow"] == "POST"
    refused(service.client.put("/gallery/x"), 405, "method_not_allowed")
    assert service.client.put("/gallery/x").headers["Allow"] == "DELETE, GET, PATCH"
    for method in ("HEAD", "OPTIONS", "TRACE"):
        answer = service.client.request(method, "/gallery", headers={"Origin": "https://example.org"})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_who_may_not_read_starts_an_audit_and_sees_no_finding(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(service.client, person(1), "another")
    ended = Job()
    pair = MergeCandidate("person of default", "another", 0.9)
    ended.state, ended.findings = "done", Findings("default", VERSION, 2, 2, 2, 0.8, None, (), (pair,))
    monkeypatch.setattr(LabelAudits, "start", lambda *_: ended)
    for scopes, shown in (((ENROLL,), 0), ((ENROLL, QUERY), 1), ((ADMIN,), 1)):
        answer = service.client.post("/suspects", headers={"X-API-Key": service.key(*scopes)}).json()
        assert (answer["state"], len(answer["merges"])) == ("done", shown)


def test_both_headers_must_agree(service: Service) -> None:
    key, other = service.key(QUERY), service.key(QUERY)
    both = {"Authorization": f"Bearer {key}", "X-API-Key": key}
    assert service.client.get("/identities", headers=both).status_code == 200
    refused(service.client.get("/identities", headers={**both, "X-API-Key": other}), 401, "unauthorized")


def test_the_key_is_looked_at_before_anything_else_of_the_request(service: Service) -> None:
    service.key(ADMIN)
    refused(service.client.get("/gallery", params={"limit": "many"}), 401, "unauthorized")
    refused(service.client.get("/gallery/none", params={"gallery": "none"}), 401, "unauthorized")
    refused(
        service.client.post("/query", content=b"{", headers={"Content-Type": "application/json"}), 401, "unauthorized"
    )
    headers = {"X-API-Key": service.key(QUERY)}
    refused(service.client.put("/galleries/x%20y", content=b"{", headers=headers), 403, "forbidden")


def test_the_body_of_a_stranger_is_not_read(service: Service) -> None:
    service.key(ADMIN)
    with socket.create_connection((service.client.base_url.host, service.client.base_url.port or 0), 10) as stranger:
        stranger.sendall(
            b"POST /gallery HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 64000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")  # and not 100: the body was never asked for


def test_the_first_key_closes_a_running_service_at_once(settings: Settings) -> None:
    with serving(create_app(settings)) as client, Keys.open(settings.database_url) as keys:
        assert client.get("/identities").status_code == 200
        refused(client.get("/identities", headers={"X-API-Key": "wrong"}), 401, "unauthorized")
        key_id, text = keys.create([QUERY])[0].key_id, keys.all()
        assert len(text) == 1
        refused(client.get("/identities"), 401, "unauthorized")
        keys.revoke(key_id)
        refused(client.get("/identities"), 401, "unauthorized")


def test_a_revocation_is_seen_at_once_by_every_service_of_the_folder(settings: Settings) -> None:
    with serving(create_app(settings)) as one, serving(create_app(settings)) as two:
        for _ in range(5):
            with Keys.open(settings.database_url) as keys:
                made, text = keys.create([QUERY])
                headers = {"Authorization": f"Bearer {text}"}
                assert one.get("/identities", headers=headers).status_code == 200
                assert two.get("/identities", headers=headers).status_code == 200
                keys.revoke(made.key_id)
            refused(one.get("/identities", headers=headers), 401, "unauthorized")
            refused(two.get("/identities", headers=headers), 401, "unauthorized")


def test_too_many_requests_of_a_key_are_told_when_to_come_back(service: Service) -> None:
    slow, fast = service.key(QUERY, rate=0.001), service.key(QUERY)
    assert service.client.get("/identities", headers={"X-API-Key": slow}).status_code == 200
    answer = service.client.get("/identities", headers={"X-API-Key": slow})
    refused(answer, 429, "overloaded")
    assert 990 <= int(answer.headers["retry-after"]) <= 1000
    assert service.client.get("/identities", headers={"X-API-Key": fast}).status_code == 200


def test_who_deleted_is_in_the_audit_log(service: Service, settings: Settings) -> None:
    made, key = service.keys.create([ADMIN])
    headers = {"X-API-Key": key}
    [sample] = service.client.get("/gallery", params={"gallery": "own"}, headers=headers).json()["items"]
    service.client.delete(f"/gallery/{sample['sample_id']}", params={"gallery": "own"}, headers=headers)
    service.client.delete("/identities/person of default", headers=headers)
    service.client.delete("/galleries/foreign", headers=headers)
    with GalleryStore.open(settings.database_url, settings.blob_url, model_version=VERSION, dim=96) as store:
        told = [(each.action.value, each.actor) for each in store.audit(limit=3).items]
    assert told == [(action, made.key_id) for action in ("delete_gallery", "erase_identity", "delete_sample")]


def test_every_request_is_logged_with_its_key_and_without_names(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    made, key = service.keys.create([QUERY], rate=2)
    with caplog.at_level(logging.INFO):
        for path in ("/identities", "/identities/anna", "/galleries"):
            service.client.get(path, headers={"X-API-Key": key})
        service.client.get("/identities")
    records = [record for record in caplog.records if record.name == "app.requests"]
    assert [record.__dict__["key_id"] for record in records] == [made.key_id] * 3 + [None]
    assert [record.getMessage().split()[:3] for record in records] == [
        ["GET", "/identities", "200"],
        ["GET", "/identities/{identity:path}", "404"],
        ["GET", "/galleries", "429"],
        ["GET", "/identities", "401"],
    ]
    assert "anna" not in "".join(record.getMessage() for record in records)


def test_the_last_use_is_written_down(service: Service) -> None:
    made, key = service.keys.create([QUERY])
    for _ in range(3):
        service.client.get("/identities", headers={"X-API-Key": key})
    while (found := service.keys.all()[0]).last_used_at is None:
        pass
    assert found.key_id == made.key_id
    assert found.last_used_at >= made.created_at


def test_a_key_is_nowhere_but_with_its_owner(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with (
        caplog.at_level(logging.DEBUG),
        serving(create_app(settings)) as client,
        Keys.open(settings.database_url) as keys,
    ):
        texts = [keys.create([scope], gallery=gallery)[1] for scope in Scope for gallery in (None, "own")]
        keys.revoke(keys.all()[0].key_id)
        for text in texts:
            for wrong in (text, text[:-1], f"{text}x"):
                for headers in ({"X-API-Key": wrong}, {"Authorization": f"Bearer {wrong}"}, {"Authorization": wrong}):
                    for route in CALLS:
                        if route[0] == "GET":
                            answer = client.get(CALLS[route].path, headers=headers)
                            told.append(answer.text + str(answer.headers))
            with monkeypatch.context() as patch:
                patch.setattr(GalleryStore, "identities", lambda *_, **__: 1 / 0)
                told.append(client.get("/identities", headers={"X-API-Key": text}).text)
    assert "ZeroDivisionError" in caplog.text
    ours = "".join(record.getMessage() + str(record.exc_info) for record in caplog.records if record.name != "httpcore")
    written = b"".join(path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file())
    for text in texts:
        secret = text[18:-1]
        assert secret not in "".join(told)
        assert secret not in ours
        assert secret not in caplog.text
        assert secret.encode() not in written


def test_openapi_says_which_key_each_route_needs(settings: Settings) -> None:
    document = create_app(settings).openapi()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            call = CALLS.get((method.upper(), path))
            if call is None:
                assert path in OPEN_PATHS
                assert (route["security"], "401" in route["responses"]) == ([], False)
                assert "Needs no key." in route["description"]
                continue
            assert route["security"] == [{"bearer": []}, {"header": []}]
            assert f"Needs a key that has the scope `{call.scope}`" in route["description"]
            assert ("bound to no gallery" in route["description"]) == call.everywhere
            for status, code in (("401", "unauthorized"), ("403", "forbidden"), ("429", "overloaded")):
                assert code in route["responses"][status]["content"]["application/problem+json"]["examples"]


def test_the_document_is_the_same_each_time(settings: Settings) -> None:
    app = create_app(settings)
    assert app.openapi() == app.openapi() == create_app(settings).openapi()


def test_a_route_without_a_rule_answers_nobody(settings: Settings) -> None:
    async def forgotten() -> dict[str, str]:
        return {"secret": "all of it"}

    app = create_app(settings)
    app.include_router(APIRouter(routes=[APIRoute("/included", forgotten)]))
    app.add_api_route("/added", forgotten)
    with serving(app) as client:
        for path in ("/included", "/added"):
            refused(client.get(path), 500, "internal_error")


def test_nothing_needs_a_key_on_this_machine_before_one_was_made(settings: Settings) -> None:
    with serving(create_app(settings)) as client:
        enrol(client, person(0), "anna")
        assert names(query(client, person(0))) == ["anna"]
