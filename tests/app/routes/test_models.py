import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.application import create_app
from app.engine import open_engine
from app.errors import Overloaded
from app.settings import Settings
from index.keys import Scope
from index.migration import Migration
from index.migrations import Migrations
from model.promotion import approve
from model.registry import Registry
from tests.app.moving import OTHER, two_versions
from tests.app.parts import VERSION, person, tiny_settings, write_version
from tests.app.routes.calls import enrol, files, query, refused
from tests.app.server import serving
from tests.model.faulty import FAULTS, faulty_version
from tests.tiny_model import CALIBRATION


def activate(client: httpx.Client, **more: bool) -> httpx.Response:
    """Activate the other version, which has no calibration, all the same."""
    return client.post(f"/models/{OTHER}/activate", params={"force": True, **more})


def planned(folder: Path) -> tuple[Settings, str]:
    """Plan a migration to the other version in a data folder that nothing serves; return its id."""
    settings = two_versions(folder)
    with open_engine(settings) as engine:
        return settings, engine.gallery.migrations.plan(OTHER, engine.embedder.dim).migration_id


def until(client: httpx.Client, identifier: str, state: str) -> dict[str, Any]:
    """Follow a migration until it is in a state; fail when it ends in another."""
    while True:
        told: dict[str, Any] = client.get(f"/migrations/{identifier}").json()
        if told["state"] == state:
            return told
        assert told["state"] in ("planned", "running", "validating"), told
        time.sleep(0.05)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a service with two versions, of which the first is active and none is pinned."""
    for version, shift in ((VERSION, 117.3), (OTHER, 90.7)):
        write_version(
            tmp_path / "models", version, shift=shift, calibration=CALIBRATION if version == VERSION else None
        )
    (tmp_path / "models" / "active").write_text(VERSION)
    with serving(create_app(tiny_settings(tmp_path, model=None))) as client:
        yield client


def test_versions_are_listed_with_their_cards(client: httpx.Client) -> None:
    told = client.get("/models").json()
    assert told["active"] == VERSION
    mine = {each["version"]: each for each in told["items"] if each["version"].startswith("tiny")}
    assert {version: each["active"] for version, each in mine.items()} == {VERSION: True, OTHER: False}
    assert mine[VERSION]["card"]["calibration"]["thresholds"][0]["threshold"] == 0.90
    assert client.get(f"/models/{OTHER}").json() == mine[OTHER]


@pytest.mark.parametrize("version", ["tiny@3", "nothing", "..%2F..%2Fetc", "tiny@1%00"])
def test_unknown_version(client: httpx.Client, version: str) -> None:
    for answer in (client.get(f"/models/{version}"), client.post(f"/models/{version}/activate")):
        assert answer.status_code == 404
        assert answer.json()["code"] in ("model_not_found", "not_found")


def test_empty_gallery_changes_at_once(client: httpx.Client, tmp_path: Path) -> None:
    answer = activate(client)
    assert answer.status_code == 202
    migration = client.get(f"/migrations/{answer.json()['migration_id']}").json()
    assert (migration["state"], migration["source"], migration["target"]) == ("finalized", VERSION, OTHER)
    assert client.get("/migrations").json() == {"items": [migration]}
    assert client.get("/models").json()["active"] == OTHER
    enrol(client, person(0), "anna")
    found = query(client, person(0))
    assert (found["model_version"], found["verdict"], found["threshold"]) == (OTHER, "uncalibrated", None)
    assert found["identities"][0]["match"] is None
    assert (tmp_path / "models" / "active").read_text().strip() == OTHER


def test_change_outlives_a_restart(tmp_path: Path) -> None:
    for version in (VERSION, OTHER):
        write_version(tmp_path / "models", version)
    (tmp_path / "models" / "active").write_text(VERSION)
    settings = tiny_settings(tmp_path, model=None)
    with serving(create_app(settings)) as client:
        activate(client)
        enrol(client, person(0), "anna")
    with serving(create_app(settings)) as client:
        assert query(client, person(0))["model_version"] == OTHER


def test_a_filled_gallery_moves_and_comes_back(client: httpx.Client) -> None:
    for number in range(4):
        enrol(client, person(number), f"p{number}")
    identifier = activate(client).json()["migration_id"]
    moved = until(client, identifier, "switched")
    assert (moved["done"], moved["total"], moved["left_out"], moved["error"]) == (4, 4, 0, None)
    assert moved["validation"]["passed"] is True
    assert client.get("/models").json()["active"] == OTHER
    found = query(client, person(0))
    assert (found["model_version"], found["verdict"]) == (OTHER, "uncalibrated")
    assert found["identities"][0]["identity"] == "p0"
    late = enrol(client, person(7), "late")
    refused(client.post(f"/models/{VERSION}/activate"), 409, "migration_in_progress")
    back = client.post(f"/migrations/{identifier}/rollback").json()
    assert back["state"] == "rolled_back"
    found = query(client, person(7))
    assert (found["model_version"], found["verdict"], found["threshold"]) == (VERSION, "match", 0.95)
    assert found["identities"][0]["samples"][0]["sample_id"] == late
    assert client.get("/models").json()["active"] == VERSION


def test_a_gallery_moves_on_after_a_restart(tmp_path: Path) -> None:
    settings, identifier = planned(tmp_path)
    with serving(create_app(settings)) as client:
        until(client, identifier, "switched")
        assert client.post(f"/migrations/{identifier}/finalize").json()["state"] == "finalized"
    with serving(create_app(settings)) as client:
        assert query(client, person(0))["model_version"] == OTHER


def test_a_change_is_answered_however_many_calls_wait_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings, identifier), finalize = planned(tmp_path), Migrations.finalize
    app = create_app(settings)

    def full(*_: object) -> None:
        raise Overloaded("planted")

    def finalized(store: Migrations, migration_id: str, actor: str | None) -> Migration:
        monkeypatch.setattr(app.state.service.pipeline, "keep", full)
        return finalize(store, migration_id, actor)

    monkeypatch.setattr(Migrations, "finalize", finalized)
    with serving(app) as client:
        until(client, identifier, "switched")
        assert client.post(f"/migrations/{identifier}/finalize").json()["state"] == "finalized"


def test_pictures_that_were_not_kept_stop_it_or_are_left_out(client: httpx.Client) -> None:
    client.put("/galleries/bare", json={"store_images": False})
    enrol(client, person(0), "anna", gallery="bare")
    enrol(client, person(1), "bert")
    problem = refused(activate(client), 409, "migration_state")
    assert "1 of gallery 'bare'" in problem["detail"]
    assert client.get("/migrations").json() == {"items": []}
    answer = activate(client, leave_out=True)
    moved = until(client, answer.json()["migration_id"], "switched")
    assert moved["left_out"] == 1
    assert query(client, person(0), gallery="bare")["identities"] == []
    client.post(f"/migrations/{moved['migration_id']}/rollback")
    assert query(client, person(0), gallery="bare")["identities"][0]["identity"] == "anna"


def test_a_version_that_cannot_be_opened_any_more_fails_the_migration(tmp_path: Path) -> None:
    settings, identifier = planned(tmp_path)
    (tmp_path / "models" / "tiny" / "2" / "model.onnx").write_bytes(b"damaged")
    with serving(create_app(settings)) as client:
        failed = until(client, identifier, "failed")
        assert "sha256" in failed["error"]
        assert query(client, person(0))["model_version"] == VERSION
        assert client.post(f"/migrations/{identifier}/cancel").json()["state"] == "cancelled"


def test_a_version_that_lacks_something_goes_live_by_force_alone(client: httpx.Client) -> None:
    enrol(client, person(0), "anna")
    problem = refused(client.post(f"/models/{OTHER}/activate"), 409, "migration_state")
    assert "calibration: missing" in problem["detail"]
    assert client.get("/migrations").json() == {"items": []}
    assert client.get(f"/models/{OTHER}").json()["promotions"] == []
    until(client, activate(client).json()["migration_id"], "switched")
    [promotion] = client.get(f"/models/{OTHER}").json()["promotions"]
    assert (promotion["replaced"], promotion["forced"], promotion["by"]) == (VERSION, True, "HTTP, without a key")


def test_a_promotion_that_cannot_be_recorded_is_in_the_log(
    client: httpx.Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models" / "promotions.jsonl").mkdir()  # as a full disk: what is there cannot be replaced
    answer = activate(client)
    assert answer.status_code == 202
    assert client.get("/migrations").json()["items"][0]["migration_id"] == answer.json()["migration_id"]
    [told] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "its promotion could not be recorded" in told.getMessage()
    for part in (f'"replaced":"{VERSION}"', '"by":"HTTP, without a key"', '"forced":true', "calibration: missing"):
        assert part in told.getMessage()


def test_whose_key_changed_the_version_is_in_the_audit_log(tmp_path: Path) -> None:
    settings, identifier = planned(tmp_path)
    with open_engine(settings) as engine:
        made, key = engine.gallery.keys.create([Scope.ADMIN])
    with serving(create_app(settings)) as client:
        client.headers["X-API-Key"] = key
        until(client, identifier, "switched")
        client.post(f"/migrations/{identifier}/rollback")
        again = activate(client).json()["migration_id"]
        until(client, again, "switched")
        client.post(f"/migrations/{again}/finalize")
    with open_engine(settings) as engine:
        told = [(each.action.value, each.actor, each.migration_id) for each in engine.gallery.audit(limit=6).items]
    assert told[:-1] == [
        ("finalize_migration", made.key_id, again),
        ("switch_version", made.key_id, again),
        ("start_migration", made.key_id, again),
        ("roll_back_migration", made.key_id, identifier),
        ("switch_version", None, identifier),  # whoever planned it had no name
    ]


def test_active_version_is_not_activated_again(client: httpx.Client) -> None:
    refused(client.post(f"/models/{VERSION}/activate"), 409, "migration_state")


def test_pinned_version_is_not_changed(tmp_path: Path) -> None:
    for version in (VERSION, OTHER):
        write_version(tmp_path / "models", version)
    with serving(create_app(tiny_settings(tmp_path, model=VERSION))) as client:
        problem = refused(activate(client), 409, "migration_state")
        assert "REID_MODEL" in problem["detail"]


def test_damaged_version_is_not_activated(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "models" / "tiny" / "2" / "model.onnx").write_bytes(b"damaged")
    refused(activate(client), 503, "not_ready")
    assert client.get("/models").json()["active"] == VERSION
    assert client.get("/health/ready").status_code == 200


def test_final_change_stays(client: httpx.Client) -> None:
    identifier = activate(client).json()["migration_id"]
    for action in ("cancel", "rollback", "finalize"):
        refused(client.post(f"/migrations/{identifier}/{action}"), 409, "migration_state")
        refused(client.post(f"/migrations/none/{action}"), 404, "migration_not_found")
    refused(client.get("/migrations/none"), 404, "migration_not_found")


def test_embedding_of_the_version_before_is_refused(client: httpx.Client) -> None:
    [embedding] = client.post("/embed", files=files([person(0)])).json()["embeddings"]
    activate(client)
    answer = client.post("/query", json={"embedding": embedding, "model_version": VERSION})
    refused(answer, 409, "model_mismatch")


def test_version_registered_meanwhile_is_there_without_a_restart(client: httpx.Client, tmp_path: Path) -> None:
    write_version(tmp_path / "elsewhere", "later@1")
    registry = Registry(tmp_path / "models")
    assert client.get("/models/later@1").status_code == 404
    registry.import_version(tmp_path / "elsewhere" / "later" / "1")
    assert "later@1" in [each["version"] for each in client.get("/models").json()["items"]]
    assert client.get("/models/later@1").json()["card"]["version"] == "later@1"
    assert client.post("/models/later@1/activate").status_code == 202
    enrol(client, person(0), "anna")
    assert query(client, person(0))["model_version"] == "later@1"


def test_version_removed_meanwhile_is_gone_without_a_restart(client: httpx.Client, tmp_path: Path) -> None:
    Registry(tmp_path / "models").remove(OTHER)
    assert OTHER not in [each["version"] for each in client.get("/models").json()["items"]]
    refused(activate(client), 404, "model_not_found")
    assert client.get("/health/ready").status_code == 200


def test_card_comes_with_who_made_the_version_live(client: httpx.Client, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    registry.record_promotion(approve(registry, OTHER, VERSION, force=True, by="key 01ABC"))
    told = client.get(f"/models/{OTHER}").json()["promotions"]
    assert [(each["by"], each["replaced"], each["forced"]) for each in told] == [("key 01ABC", VERSION, True)]
    assert "calibration" in told[0]["reasons"][0]
    assert client.get(f"/models/{VERSION}").json()["promotions"] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_model_file_is_not_activated_and_the_active_one_answers(
    client: httpx.Client, tmp_path: Path, fault: str
) -> None:
    enrolled = client.post("/embed", files=files([person(0)])).json()
    faulty_version(tmp_path / "models" / "faulty" / "2", FAULTS[fault][0], name="faulty")
    problem = refused(client.post("/models/faulty@2/activate"), 503, "not_ready")
    assert re.search(FAULTS[fault][1], problem["detail"])
    assert str(tmp_path) not in problem["detail"]
    assert client.get("/models").json()["active"] == VERSION
    assert client.post("/embed", files=files([person(0)])).json() == enrolled
    assert client.get("/health/ready").status_code == 200
