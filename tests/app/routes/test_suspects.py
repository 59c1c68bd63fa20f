import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.application import create_app
from app.suspect_schemas import SuspectsAnswer
from app.suspects import GalleryAudit
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, refused
from tests.app.server import serving


def plant(client: httpx.Client) -> dict[str, str]:
    """Enrol four people by three views, one view of the first as the second's, and the fourth under two names."""
    found = {}
    for who in range(4):
        for view in range(4):
            name = "p1" if (who, view) == (0, 3) else "double" if (who, view) in ((3, 2), (3, 3)) else f"p{who}"
            found[f"{who}-{view}"] = enrol(client, person(who, view), name, camera=f"c{view % 2}")
    return found


def audited(client: httpx.Client, **params: object) -> dict[str, Any]:
    """Start an audit and wait for its end."""
    started = client.post("/suspects", params={key: str(value) for key, value in params.items()})
    assert started.status_code == 202, started.text
    for _ in range(200):
        answer: dict[str, Any] = client.get("/suspects").json()
        if answer["state"] != "running":
            SuspectsAnswer.model_validate(answer)
            return answer
        time.sleep(0.02)
    raise AssertionError("the audit did not end")


def test_findings_come_with_pictures_and_go_when_they_are_acted_on(client: httpx.Client) -> None:
    assert client.get("/suspects").json()["state"] == "none"
    ids = plant(client)
    answer = audited(client, threshold=0.8)
    assert (answer["state"], answer["samples"], answer["identities"], answer["threshold"]) == ("done", 16, 5, 0.8)
    assert (answer["alone"], answer["by_chance"]) == (0, None)
    first = next(item for item in answer["items"] if item["sample"]["sample_id"] == ids["0-3"])
    assert (first["sample"]["identity"], first["suggested"]) == ("p1", "p0")
    assert first["margin"] == pytest.approx(first["suggested_score"] - first["own_score"])
    assert {each["sample_id"] for each in first["own_samples"]} == {ids[f"1-{view}"] for view in range(4)} - {
        min((ids[f"1-{view}"] for view in range(4)), key=lambda each: score(client, ids["0-3"], each))
    }
    assert {each["sample_id"] for each in first["suggested_samples"]} == {ids[f"0-{view}"] for view in range(3)}
    assert client.get(first["suggested_samples"][0]["image_url"]).status_code == 200
    pairs = [{side["identity"] for side in merge["identities"]} for merge in answer["merges"]]
    assert {"p3", "double"} in pairs

    assert client.patch(f"/gallery/{ids['0-3']}", json={"identity": "p0"}).status_code == 200
    assert client.patch("/identities/double", json={"identity": "p3"}).status_code == 200
    left = client.get("/suspects").json()
    assert ids["0-3"] not in [item["sample"]["sample_id"] for item in left["items"]]
    assert not any(side["identity"] == "double" for merge in left["merges"] for side in merge["identities"])
    assert left["found"] == answer["found"]


def test_what_is_called_right_is_gone_at_once_and_from_later_audits_until_it_is_forgotten(client: httpx.Client) -> None:
    ids = plant(client)
    before = audited(client, threshold=0.8)
    assert client.post("/suspects/right", json={"sample_id": ids["0-3"]}).status_code == 204
    assert client.post("/suspects/apart", json={"identities": ["p3", "double"]}).status_code == 204
    for answer in (client.get("/suspects").json(), audited(client, threshold=0.8)):
        assert ids["0-3"] not in [item["sample"]["sample_id"] for item in answer["items"]]
        assert len(answer["merges"]) == len(before["merges"]) - 1
        assert (before["answered"], answer["answered"]) == (0, 2)
    assert client.delete("/suspects/answers").json() == {"gallery": "default", "forgotten": 2}
    assert audited(client, threshold=0.8)["items"] == before["items"]


NAMES = (["anna", "bert"], ["anna", "anna"], ["anna"])


def test_answers_about_what_is_not_there_are_refused(client: httpx.Client) -> None:
    enrol(client, person(0), "anna")
    refused(client.post("/suspects/right", json={"sample_id": "none"}), 404, "sample_not_found")
    refused(client.post("/suspects/right", json={}), 400, "invalid_parameter", "sample_id")
    nobody, twice, one = (client.post("/suspects/apart", json={"identities": given}) for given in NAMES)
    refused(nobody, 404, "identity_not_found")
    assert "found 'anna' twice" in refused(twice, 400, "invalid_parameter", "identities")["detail"]
    assert one.status_code == 400
    refused(client.delete("/suspects/answers", params={"gallery": "none"}), 404, "gallery_not_found")


def score(client: httpx.Client, one: str, other: str) -> float:
    answer = client.post("/query", json={"sample_id": one, "samples_per_identity": 100}).json()
    return float(next(s["score"] for who in answer["identities"] for s in who["samples"] if s["sample_id"] == other))


def test_limit_and_wrong_requests(client: httpx.Client) -> None:
    plant(client)
    audited(client, threshold=-1)
    assert len(client.get("/suspects", params={"limit": "2"}).json()["merges"]) == 2
    refused(client.get("/suspects", params={"limit": "201"}), 400, "invalid_parameter", "limit")
    refused(client.get("/suspects", params={"gallery": "none"}), 404, "gallery_not_found")
    refused(client.post("/suspects", params={"gallery": "none"}), 404, "gallery_not_found")
    refused(client.post("/suspects", params={"threshold": "2"}), 400, "invalid_parameter", "threshold")


def test_a_gallery_that_was_deleted_leaves_no_audit_to_the_next_of_its_name(client: httpx.Client) -> None:
    plant(client)
    audited(client, threshold=0.8)
    assert client.delete("/galleries/default").status_code == 200
    answer = client.get("/suspects").json()
    assert (answer["state"], answer["samples"], answer["found"]) == ("none", 0, 0)


def test_a_failure_is_told_and_can_be_tried_again(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError

    plant(client)
    with monkeypatch.context() as patch:
        patch.setattr(np, "stack", broken)
        failed = audited(client)
    assert (failed["state"], failed["detail"]) == ("failed", "it failed; the service's log says why")
    assert audited(client)["state"] == "done"


def test_one_under_way_is_not_begun_again_and_ends_with_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[GalleryAudit] = []

    def endless(audit: GalleryAudit, *given: object) -> None:
        begun.append(audit)
        while True:
            audit._check()
            time.sleep(0.01)

    monkeypatch.setattr(GalleryAudit, "run", endless)
    with serving(create_app(tiny_settings(tmp_path))) as client:
        for _ in range(3):
            assert client.post("/suspects").json()["state"] == "running"
    assert len(begun) == 1
