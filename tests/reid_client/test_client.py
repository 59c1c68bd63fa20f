"""Every method against the whole service, by both clients."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from app import false_alarms
from app.application import create_app
from index.keys import Keys, Scope
from model.registry import Registry
from reid_client import (
    Client,
    Conflict,
    Forbidden,
    InvalidRequest,
    ItemError,
    NewSample,
    NotFound,
    QueryResult,
    ReidError,
    Unauthorized,
    Unprocessable,
    UnsupportedMedia,
)
from reid_client.connection import connection
from tests.app.parts import VERSION, person, tiny_settings, write_version
from tests.app.server import serving
from tests.reid_client.both import KINDS, opened

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
STRANGE = ["a/b", "..", ".", "%2F", "Müller ?#&+", "x%20y", "trailing/"]


def sample(identity: int, view: int = 0, camera: str = "c1") -> NewSample:
    return NewSample(person(identity, view), f"{identity:04}", camera=camera, captured_at=NOON + timedelta(hours=view))


def enrolled(client: Client, count: int = 3) -> list[str]:
    done = client.enrol([sample(identity) for identity in range(count)])
    return [item.sample_id or "" for item in done.items]


def test_enrolment_answers_item_by_item(client: Client, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(person(1))
    rows = [sample(0), NewSample(tmp_path / "one.jpg", "0001"), sample(0), NewSample(b"no picture", "0002")]
    done = client.enrol([*rows, NewSample(tmp_path / "none.jpg", "0003")])
    assert [item.status for item in done.items] == ["created", "created", "duplicate", "rejected", "rejected"]
    assert (done.created, done.duplicates, done.rejected) == (2, 1, 2)
    assert done.items[2].sample_id == done.items[0].sample_id
    assert [item.error.code for item in done.items[3:] if item.error] == ["unsupported_media", "file_unreadable"]


def test_only_bad_pictures_are_an_answer_and_no_error(client: Client) -> None:
    done = client.enrol([NewSample(b"no picture", "0002")])
    assert (done.rejected, done.items[0].status) == (1, "rejected")


def test_a_query_finds_who_was_enrolled(client: Client, tmp_path: Path) -> None:
    ids = enrolled(client)
    (tmp_path / "one.jpg").write_bytes(person(1))
    for pictures in (person(1), str(tmp_path / "one.jpg"), tmp_path / "one.jpg", [person(1), person(1)]):
        found = client.query(pictures, top_k=2, samples_per_identity=1)
        assert found.verdict == "match"
        assert [each.rank for each in found.identities] == [1, 2]
        assert found.best is not None
        assert (found.best.identity, found.best.match) == ("0001", True)
        assert found.best.score == pytest.approx(1, abs=1e-5)
        assert found.best.samples[0].sample_id == ids[1]
        assert found.best.samples[0].captured_at == NOON
    assert client.query(person(1), gallery="default", threshold=0.5, rerank=True).threshold == 0.5


def test_a_query_by_sample_and_by_embedding(client: Client) -> None:
    ids = enrolled(client)
    left_out = client.query(sample_id=ids[1])
    assert (left_out.searched, left_out.model_version) == (2, VERSION)
    made = client.embed([person(1), person(2)])
    assert (made.dim, len(made.embeddings)) == (96, 2)
    found = client.query(embedding=made.embeddings[1], model_version=made.model_version, camera="c1", attributes={})
    assert found.best is not None
    assert found.best.identity == "0002"
    array = np.array(made.embeddings[1], np.float32)
    again = client.query(embedding=array, model_version=made.model_version)  # type: ignore[arg-type]
    assert again.best is not None
    assert again.best.identity == "0002"


@pytest.mark.parametrize("by_form", [True, False])
def test_the_filters_go_with_a_query(client: Client, by_form: bool) -> None:
    others = [NewSample(person(7), "0007", camera="c2", attributes={"bag": True}), NewSample(person(8), "0008")]
    client.enrol([sample(0), sample(1, view=5), *others])
    embedding = None if by_form else client.embed(person(0)).embeddings[0]

    def names(**filters: object) -> set[str]:
        version = None if by_form else VERSION
        pictures = person(0) if by_form else None
        found = client.query(pictures, embedding=embedding, model_version=version, **filters)  # type: ignore[arg-type]
        return {each.identity for each in found.identities}

    assert names(camera="c1") == {"0000", "0001"}
    assert names(camera=["c1", "c2"]) == {"0000", "0001", "0007"}
    assert names(exclude_camera=("c1", "c2")) == {"0008"}
    assert names(captured_after=NOON + timedelta(hours=1)) == {"0001"}
    assert names(captured_before=NOON + timedelta(hours=1)) == {"0000"}
    assert names(attributes={"bag": True}) == {"0007"}


def test_exactly_one_thing_is_sought(client: Client) -> None:
    with pytest.raises(ValueError, match="found 0"):
        client.query()
    with pytest.raises(ValueError, match="found 2"):
        client.query(person(1), sample_id="x")
    with pytest.raises(ValueError, match="at least one picture"):
        client.query([])


def test_a_batch_answers_each_picture(client: Client) -> None:
    enrolled(client)
    first, second, third = client.query_batch([person(1), b"no picture", person(2)], top_k=1)
    assert isinstance(first, QueryResult)
    assert isinstance(third, QueryResult)
    assert [each.identities[0].identity for each in (first, third)] == ["0001", "0002"]
    assert isinstance(second, ItemError)
    assert second.code == "unsupported_media"


def test_the_line_may_be_drawn_by_who_is_not_in_the_gallery(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_alarms, "LEAST_IDENTITIES", 2)
    client.enrol([sample(each) for each in range(8)])
    found = client.query(person(1), false_alarm_rate=0.5)
    assert found.false_alarm_rate is not None
    assert 0 < found.false_alarm_rate <= 0.5
    assert [each.match for each in found.identities] == [
        each.false_alarm_rate is not None and each.false_alarm_rate <= 0.5 for each in found.identities
    ]


def test_two_pictures_are_compared(client: Client) -> None:
    same = client.verify(person(1), person(1), false_match_rate=0.01)
    assert same.match
    assert same.score == pytest.approx(1, abs=1e-5)
    assert (same.threshold, same.false_match_rate) == (0.9, 0.01)
    assert client.verify(person(1), person(2), threshold=1.0).match is False


def test_the_samples_are_listed_page_by_page(client: Client) -> None:
    ids = enrolled(client, 5)
    assert {each.sample_id for each in client.samples(page_size=2)} == set(ids)
    assert [each.sample_id for each in client.samples(identity="0003")] == [ids[3]]
    assert list(client.samples(camera=["c8", "c9"])) == []
    assert list(client.samples(captured_after=NOON + timedelta(hours=1))) == []


def test_a_sample_is_shown_changed_and_deleted(client: Client) -> None:
    sample_id = enrolled(client, 1)[0]
    assert client.picture(sample_id) == person(0)
    assert client.sample(sample_id).captured_at == NOON
    changed = client.update(sample_id, camera=None, captured_at=NOON + timedelta(days=1), attributes={"bag": 1})
    assert (changed.camera, changed.captured_at, changed.attributes) == (None, NOON + timedelta(days=1), {"bag": 1})
    assert client.update(sample_id, camera="c9") == client.sample(sample_id)
    assert client.sample(sample_id).camera == "c9"
    client.delete(sample_id)
    with pytest.raises(NotFound, match="sample_not_found") as told:
        client.delete(sample_id)
    assert (told.value.status, told.value.code) == (404, "sample_not_found")
    assert told.value.request_id


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_can_be_shown_renamed_and_erased(client: Client, name: str) -> None:
    client.enrol([NewSample(person(1), name), NewSample(person(2), "other")])
    assert client.identity(name).samples == 1
    assert client.rename("other", name).samples == 2
    assert [each.identity for each in client.identities(page_size=1)] == [name]
    erased = client.erase(name)
    assert (erased.samples_deleted, erased.images_deleted, erased.verified) == (2, 2, True)
    with pytest.raises(NotFound, match="identity_not_found"):
        client.erase(name)


def test_the_people_are_listed_page_by_page(client: Client) -> None:
    enrolled(client, 5)
    people = list(client.identities(page_size=2))
    assert [each.identity for each in people] == ["0000", "0001", "0002", "0003", "0004"]
    assert (people[0].cameras, people[0].first_seen) == (("c1",), NOON)


def test_a_gallery_is_made_used_and_deleted(client: Client) -> None:
    name = "shop.2"
    made = client.put_gallery(name, retention_days=30, store_images=False)
    assert (made.name, made.retention_days, made.store_images) == (name, 30, False)
    done = client.enrol([sample(1)], gallery=name)
    kept = done.items[0].sample_id or ""
    assert client.query(person(1), gallery=name).verdict == "match"
    assert client.sample(kept, gallery=name).image_url is None
    with pytest.raises(NotFound, match="image_not_stored"):
        client.picture(kept, gallery=name)
    assert {each.name for each in client.galleries()} == {"default", name}
    assert client.delete_gallery(name).samples_deleted == 1
    with pytest.raises(NotFound, match="gallery_not_found"):
        client.enrol([sample(1)], gallery=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_is_activated_and_its_migration_shown(kind: str, tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, model=None)
    write_version(tmp_path / "models", "tiny@2", shift=90)
    Registry(tmp_path / "models").activate(VERSION)
    with serving(create_app(settings)) as http, opened(kind, str(http.base_url)) as client:
        migration = client.migration(client.activate("tiny@2"))
        assert (migration.source, migration.target, migration.state) == (VERSION, "tiny@2", "finalized")
        assert client.migrations() == (migration,)
        assert migration.created.tzinfo is not None
        assert client.models().active == "tiny@2"


def test_the_models_and_their_migrations(client: Client) -> None:
    assert (client.models().active, client.model(VERSION).active) == (VERSION, True)
    assert client.model(VERSION).card["terms"] == "for tests"
    with pytest.raises(NotFound, match="model_not_found"):
        client.model("other@1")
    with pytest.raises(Conflict, match="migration_state"):
        client.activate(VERSION)
    assert client.migrations() == ()
    for call in (
        client.migration,
        client.cancel_migration,
        client.roll_back_migration,
        client.finalize_migration,
    ):
        with pytest.raises(NotFound, match="migration_not_found"):
            call("none")


def test_health(client: Client) -> None:
    client.live()
    client.ready()


def test_an_error_has_the_family_and_what_the_service_told(client: Client) -> None:
    with pytest.raises(InvalidRequest) as told:
        client.query(person(1), top_k=0)
    assert (told.value.status, told.value.code, told.value.field) == (400, "invalid_parameter", "top_k")
    assert str(told.value).startswith("invalid_parameter (top_k): ")
    with pytest.raises(UnsupportedMedia):
        client.query(b"no picture")
    with pytest.raises(Unprocessable):
        client.query(embedding=[1.0], model_version=VERSION)
    with pytest.raises(InvalidRequest):
        client.query(person(1), captured_after=datetime(2026, 1, 1))
    with pytest.raises(ReidError):
        client.query(person(1), false_match_rate=0.9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_an_argument_or_of_the_environment(
    kind: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Keys.open(f"sqlite:///{tmp_path}/data/reid.db") as keys:
        _, key = keys.create([Scope.QUERY], gallery=None, label=None, rate=None)
    with opened(kind, address) as client, pytest.raises(Unauthorized):
        client.identities().__next__()
    with opened(kind, address, key=key) as client:
        assert list(client.identities()) == []
        with pytest.raises(Forbidden):
            client.enrol([sample(1)])
    monkeypatch.setenv("REID_KEY", key)
    monkeypatch.setenv("REID_URL", address)
    with opened(kind, "") as client:
        assert list(client.identities()) == []


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://localhost", "http://", "http://a\0b", "/gallery"])
def test_an_address_that_cannot_be_called_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="http://127"):
        Client(address)


@pytest.mark.parametrize("key", ["se cret", "sécret", "se\ncret"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="reid keys create") as told:
        Client(key=key)
    assert "cret" not in str(told.value)
    assert "cret" not in repr(connection(None, " secret\n", 1))
    assert connection(None, " secret\n", 1).key == "secret"
