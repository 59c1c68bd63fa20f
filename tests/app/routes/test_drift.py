from pathlib import Path

import httpx

from app.application import create_app
from app.drift import FILE
from app.drift_schemas import DriftAnswer
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files, query, refused
from tests.app.server import serving


def counts(client: httpx.Client) -> dict[str, dict[str, int]]:
    answer = client.get("/drift").json()
    DriftAnswer.model_validate(answer)
    return {c["camera"]: {m["measure"]: m["counted"] for m in c["measures"]} for c in answer["cameras"]}


def test_queries_and_enrolments_are_counted_and_kept(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path))) as client:
        enrol(client, person(0), "anna", camera="c1")
        enrol(client, person(0), "anna", camera="c1")  # a duplicate is no new picture
        enrol(client, person(1), "berta", camera="c2")
        query(client, person(0))
        client.post("/query/batch", files=files([person(0), person(1)]))
        expected = dict.fromkeys(("height", "brightness", "contrast", "sharpness"), 1)
        assert counts(client) == {"c1": {**expected, "score": 2}, "c2": {**expected, "score": 1}}
        text = client.get("/metrics").text
        assert 'reid_drift_value{camera="c1",gallery="default",measure="height",quantile="0.5"}' in text
        refused(client.get("/drift", params={"gallery": "none"}), 404, "gallery_not_found")
    with serving(create_app(tiny_settings(tmp_path))) as client:
        assert counts(client)["c1"] == {**expected, "score": 2}


def test_a_deleted_gallery_is_forgotten_at_once(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path))) as client:
        client.put("/galleries/shop", json={})
        enrol(client, person(0), "anna", camera="till", gallery="shop")
        enrol(client, person(0), "anna", camera="door")
        assert 'gallery="shop"' in client.get("/metrics").text
        assert client.delete("/galleries/shop").status_code == 200
        assert 'gallery="shop"' not in client.get("/metrics").text
        assert "till" not in (tmp_path / FILE).read_text()
        client.put("/galleries/shop", json={})
        assert client.get("/drift", params={"gallery": "shop"}).json()["cameras"] == []
        assert counts(client).keys() == {"door"}
