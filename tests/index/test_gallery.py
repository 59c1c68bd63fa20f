import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import listing
from index.errors import (
    DimensionMismatch,
    GalleryNotFound,
    IdentityNotFound,
    InvalidValue,
    ModelMismatch,
    PictureNotStored,
    SampleNotFound,
)
from index.gallery import GalleryStore
from index.records import EnrolStatus, GalleryInfo, Ranking, SampleFilter
from tests.index.people import DIM, NOON, VERSION, crowd, enrol, open_store, sample, unit, vector, vectors

pytestmark = pytest.mark.databases
ALL = SampleFilter()


def ids(store: GalleryStore, where: SampleFilter = ALL, gallery: str = "default") -> list[str]:
    return [item.sample_id for item in store.page(gallery, where, limit=1000).items]


def search(store: GalleryStore, number: int = 0, where: SampleFilter = ALL, **options: Any) -> Ranking:  # noqa: ANN401
    (answer,) = store.search("default", vector(number)[None], model_version=VERSION, where=where, **options)
    return answer


def found(answer: Ranking) -> list[str]:
    return [shown.sample.sample_id for person in answer.identities for shown in person.samples]


# --- a sample's life ------------------------------------------------------------------------------------------


def test_what_was_enrolled_is_given_back(store: GalleryStore) -> None:
    item = sample(1, "Zoë/1", camera="c1", captured_at=NOON, attributes={"hat": True, "n": 1.0}, external_id="e1")
    (key,) = enrol(store, [item])
    got = store.get("default", key)
    assert (got.sample_id, got.gallery, got.identity, got.camera) == (key, "default", "Zoë/1", "c1")
    assert (got.captured_at, got.attributes, got.external_id) == (NOON, {"hat": True, "n": 1.0}, "e1")
    assert got.picture_stored
    assert store.picture("default", key) == item.picture
    assert store.embedding("default", key, model_version=VERSION).tobytes() == np.asarray(item.embedding).tobytes()


def test_a_query_sees_what_was_just_enrolled_and_not_what_was_deleted(store: GalleryStore) -> None:
    for number in range(5):
        (key,) = enrol(store, [sample(number)])
        assert found(search(store, number, top_k=1)) == [key]
        store.delete("default", key)
        assert search(store, number).identities == ()
        with pytest.raises(SampleNotFound):
            store.get("default", key)


def test_everything_is_there_after_reopening(folder: Path) -> None:
    with open_store(folder) as store:
        keys = enrol(store, crowd(50, identities=7, cameras=3))
        store.delete("default", keys[3])
        before = search(store, 1, top_k=50)
    with open_store(folder) as store:
        assert ids(store) == [key for key in keys if key != keys[3]]
        assert search(store, 1, top_k=50) == before
        assert store.check().problems == ()


def test_a_store_that_was_not_closed_loses_nothing(folder: Path) -> None:
    first = open_store(folder)
    keys = enrol(first, crowd(20, identities=4, cameras=2))
    with open_store(folder) as second:
        assert ids(second) == keys
        assert len(found(search(second, 1, top_k=100, samples_per_identity=100))) == 20
    first.close()


def test_two_stores_on_one_folder_see_each_other(store: GalleryStore, folder: Path) -> None:
    with open_store(folder) as other:
        (key,) = enrol(other, [sample(1)])
        assert found(search(store, 1)) == [key]
        (second,) = enrol(store, [sample(2)])
        assert found(search(other, 2, top_k=1)) == [second]
        store.delete("default", key)
        assert found(search(other, 1)) == [second]
        assert other.check().problems == ()


def test_ids_sort_in_the_order_of_enrolment(store: GalleryStore) -> None:
    keys = [key for start in range(4) for key in enrol(store, [sample(start * 10 + step) for step in range(5)])]
    assert sorted(keys) == keys == ids(store)


def test_a_clock_that_steps_back_keeps_the_order(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = enrol(store, [sample(1)])
    monkeypatch.setattr("index.clock.time.time_ns", lambda: 1_000_000_000_000_000_000)
    second = enrol(store, [sample(2), sample(3)])
    assert sorted(first + second) == first + second == ids(store)


# --- changes --------------------------------------------------------------------------------------------------


def test_a_field_given_replaces_and_none_clears(store: GalleryStore) -> None:
    (key,) = enrol(store, [sample(1, "a", camera="c1", captured_at=NOON, attributes={"x": 1})])
    changed = store.update("default", key, {"identity": "b", "camera": None, "attributes": {"y": [2]}})
    assert (changed.identity, changed.camera, changed.captured_at, changed.attributes) == ("b", None, NOON, {"y": [2]})
    assert store.get("default", key) == changed
    assert search(store, 1).identities[0].identity == "b"
    assert [person.identity for person in store.identities("default", limit=10).items] == ["b"]
    assert found(search(store, 1, SampleFilter(attributes={"y": [2.0]}))) == [key]
    assert found(search(store, 1, SampleFilter(attributes={"x": 1}))) == []
    cleared = store.update("default", key, {"captured_at": None, "attributes": None})
    assert (cleared.captured_at, cleared.attributes) == (None, {})


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"identity": None}, "identity"),
        ({"identity": ""}, "identity"),
        ({"camera": ""}, "camera"),
        ({"captured_at": "noon"}, "captured_at"),
        ({"attributes": [1]}, "attributes"),
        ({"external_id": "x"}, "external_id"),
    ],
)
def test_a_wrong_change_changes_nothing(store: GalleryStore, changes: dict[str, object], field: str) -> None:
    (key,) = enrol(store, [sample(1, "a", camera="c1")])
    before = store.get("default", key)
    with pytest.raises(InvalidValue) as caught:
        store.update("default", key, {"camera": "c2", **changes})
    assert caught.value.field == field
    assert store.get("default", key) == before


def test_a_change_onto_an_equal_sample_keeps_both(store: GalleryStore) -> None:
    one, other = enrol(store, [sample(1, "a", picture=b"same"), sample(2, "b", picture=b"same")])
    store.update("default", other, {"identity": "a"})
    assert ids(store, SampleFilter(identity="a")) == [one, other]
    (again,) = store.enrol("default", [sample(1, "a", picture=b"same")], model_version=VERSION)
    assert again.status is EnrolStatus.DUPLICATE
    assert again.sample_id == one
    store.delete("default", one)
    (again,) = store.enrol("default", [sample(1, "a", picture=b"same")], model_version=VERSION)
    assert (again.status, again.sample_id) == (EnrolStatus.DUPLICATE, other)


def test_a_rename_keeps_the_samples(store: GalleryStore) -> None:
    keys = enrol(store, [sample(1, "a", camera="c1", captured_at=NOON), sample(2, "a", camera="c2"), sample(3, "z")])
    summary = store.rename("default", "a", "b")
    assert (summary.identity, summary.samples, summary.cameras) == ("b", 2, ("c1", "c2"))
    assert (summary.first_seen, summary.last_seen) == (NOON, NOON)
    assert search(store, 1).identities[0].identity == "b"
    assert ids(store, SampleFilter(identity="b")) == keys[:2]
    with pytest.raises(IdentityNotFound):
        store.identity("default", "a")
    with pytest.raises(IdentityNotFound):
        store.rename("default", "a", "c")


def test_a_rename_onto_a_name_that_is_taken_merges(store: GalleryStore) -> None:
    keys = enrol(store, [sample(1, "a", picture=b"same"), sample(2, "b", picture=b"same"), sample(3, "b")])
    assert store.rename("default", "a", "b").samples == 3
    answer = search(store, 1, samples_per_identity=10)
    assert [person.identity for person in answer.identities] == ["b"]
    assert sorted(found(answer)) == keys
    assert store.rename("default", "b", "b").samples == 3


# --- identities and pages -------------------------------------------------------------------------------------


def test_pages_hold_everything_once_while_others_write(store: GalleryStore) -> None:
    keys = enrol(store, [sample(number, f"p{number % 5}") for number in range(25)])
    seen, cursor = [], None
    while True:
        page = store.page("default", ALL, limit=4, cursor=cursor)
        seen += [item.sample_id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(seen) == 8:
            store.delete("default", keys[0])  # behind
            store.delete("default", keys[20])  # ahead
            late = enrol(store, [sample(100)])
    assert seen == [key for key in keys if key != keys[20]] + late


def test_all_samples_come_in_the_order_of_enrolment(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = enrol(store, [sample(number, f"p{number % 5}") for number in range(6)])
    for most in (1, 4, 6, 1000):
        monkeypatch.setattr(listing, "MOST", most)
        assert [each.sample_id for each in store.all_samples("default")] == keys
    with pytest.raises(GalleryNotFound):
        next(store.all_samples("no"))


def test_identities_page_by_name(store: GalleryStore) -> None:
    enrol(store, [sample(number, name) for number, name in enumerate(["b", "a/1", "ä", "B", "c", "人"])])
    names, cursor = [], None
    while True:
        page = store.identities("default", limit=2, cursor=cursor)
        names += [person.identity for person in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == sorted(["b", "a/1", "ä", "B", "c", "人"])


@pytest.mark.databases("sqlite")
def test_the_longest_name_fits_into_a_cursor(store: GalleryStore) -> None:
    names = ["\N{GRINNING FACE}" * 255 + end for end in "ab"]
    enrol(store, [sample(number, name) for number, name in enumerate(names)])
    first = store.identities("default", limit=1)
    assert first.next_cursor is not None
    assert len(first.next_cursor) <= 2048  # as the routes take it
    rest = store.identities("default", limit=1, cursor=first.next_cursor)
    assert [each.identity for each in (*first.items, *rest.items)] == names


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "MQ==MQ", "Im5hbWUi", "dHJ1ZQ", "W1tb" * 5000])
def test_a_foreign_cursor_is_refused(store: GalleryStore, cursor: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        store.page("default", ALL, limit=3, cursor=cursor)
    assert caught.value.field == "cursor"


@pytest.mark.databases("sqlite")
def test_a_cursor_of_half_a_character_is_refused(store: GalleryStore) -> None:
    half = base64.urlsafe_b64encode(b'"\\ud800"').decode()
    with pytest.raises(InvalidValue, match="next_cursor of an earlier page"):
        store.identities("default", limit=3, cursor=half.rstrip("="))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_is_bounded(store: GalleryStore, limit: int) -> None:
    with pytest.raises(InvalidValue, match="limit from 1 to 1000"):
        store.page("default", ALL, limit=limit)


# --- galleries ------------------------------------------------------------------------------------------------


def test_galleries_are_apart(store: GalleryStore) -> None:
    store.put_gallery("other")
    (one,) = enrol(store, [sample(1)])
    (two,) = enrol(store, [sample(1)], gallery="other")
    assert found(search(store, 1)) == [one]
    assert ids(store, gallery="other") == [two]
    with pytest.raises(SampleNotFound):
        store.get("other", one)
    assert [(info.name, info.samples, info.identities) for info in store.galleries()] == [
        ("default", 1, 1),
        ("other", 1, 1),
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.enrol("no", [sample(1)], model_version=VERSION),
        lambda store: store.get("no", "x"),
        lambda store: store.known("no", []),
        lambda store: store.page("no", ALL, limit=1),
        lambda store: store.identities("no", limit=1),
        lambda store: store.erase("no", "x"),
        lambda store: store.delete_gallery("no"),
        lambda store: store.search("no", vectors(1), model_version=VERSION),
    ],
)
def test_a_gallery_must_have_been_made(store: GalleryStore, call: Callable[[GalleryStore], object]) -> None:
    with pytest.raises(GalleryNotFound, match="'no'"):
        call(store)


def test_settings_of_a_gallery_change(store: GalleryStore) -> None:
    assert store.put_gallery("g", retention_days=30, store_images=False).retention_days == 30
    (key,) = enrol(store, [sample(1)], gallery="g")
    info = store.put_gallery("g", retention_days=None, store_images=True)
    assert (info.retention_days, info.store_images, info.samples) == (None, True, 1)
    with pytest.raises(PictureNotStored):
        store.picture("g", key)


@pytest.mark.databases("sqlite")
def test_a_gallery_deleted_as_it_is_made_is_told_as_it_was_made(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = store.galleries

    def delete_first() -> list[GalleryInfo]:
        store.delete_gallery("brief")
        return listed()

    monkeypatch.setattr(store, "galleries", delete_first)
    made = store.put_gallery("brief", retention_days=3, store_images=False)
    assert made == GalleryInfo("brief", 3, False, samples=0, identities=0)
    assert [info.name for info in listed()] == ["default"]


@pytest.mark.parametrize("name", ["", "a/b", ".x", "x" * 65, "ä", "a b"])
def test_a_gallery_name_is_refused(store: GalleryStore, name: str) -> None:
    with pytest.raises(InvalidValue, match="gallery's name"):
        store.put_gallery(name)
    with pytest.raises(InvalidValue, match="retention_days"):
        store.put_gallery("ok", retention_days=0)


def test_without_images_nothing_is_written_to_the_picture_store(store: GalleryStore, folder: Path) -> None:
    store.put_gallery("g", store_images=False)
    (key,) = enrol(store, [sample(1)], gallery="g")
    assert not store.get("g", key).picture_stored
    assert list((folder / "pictures").rglob("*")) == []


def test_a_gallery_is_deleted_with_all_that_is_in_it(store: GalleryStore, folder: Path) -> None:
    store.put_gallery("g")
    enrol(store, crowd(30, identities=5, cameras=2), gallery="g")
    erased = store.delete_gallery("g")
    assert (erased.samples_deleted, erased.images_deleted, erased.vectors_deleted) == (30, 30, 30)
    assert erased.verified
    assert [path for path in (folder / "pictures").rglob("*") if path.is_file()] == []
    with pytest.raises(GalleryNotFound):
        store.page("g", ALL, limit=1)
    store.put_gallery("g")
    assert ids(store, gallery="g") == []
    assert store.search("g", vectors(1), model_version=VERSION)[0].searched == 0


def test_the_default_gallery_is_always_there(store: GalleryStore) -> None:
    enrol(store, [sample(1)])
    assert store.delete_gallery("default").samples_deleted == 1
    assert [info.name for info in store.galleries()] == ["default"]
    (key,) = enrol(store, [sample(1)])
    assert found(search(store, 1)) == [key]


# --- search ---------------------------------------------------------------------------------------------------


def test_identities_rank_by_their_best_sample(store: GalleryStore) -> None:
    store.enrol(
        "default",
        [
            sample(1, "far", embedding=unit([0.2] + [1.0] * 15)),
            sample(2, "near", embedding=unit([1.0] + [0.1] * 15)),
            sample(3, "near", embedding=unit([1.0] + [0.3] * 15)),
        ],
        model_version=VERSION,
    )
    (answer,) = store.search("default", unit([[1.0] + [0.0] * 15]), model_version=VERSION, samples_per_identity=5)
    assert [(person.identity, len(person.samples)) for person in answer.identities] == [("near", 2), ("far", 1)]
    near = answer.identities[0]
    assert near.score == near.samples[0].score > near.samples[1].score
    assert near.score == pytest.approx(1 / np.sqrt(1 + 15 * 0.01), abs=1e-6)
    assert answer.searched == 3


def test_ties_rank_by_sample_id(store: GalleryStore) -> None:
    keys = enrol(store, [sample(number, f"p{9 - number}", embedding=vector(1)) for number in range(9)])
    assert found(search(store, 1, top_k=5)) == keys[:5]


def test_a_query_by_sample_can_leave_it_out(store: GalleryStore) -> None:
    keys = enrol(store, [sample(1, "a"), sample(2, "b")])
    answer = search(store, 1, SampleFilter(exclude_sample=keys[0]))
    assert (found(answer), answer.searched, answer.enrolled) == ([keys[1]], 1, 2)
    assert search(store, 1, SampleFilter(exclude_sample="unknown")).searched == 2


def test_an_empty_gallery_answers_no_one(store: GalleryStore) -> None:
    assert search(store) == Ranking((), 0)
    assert store.search("default", vectors(3), model_version=VERSION) == [Ranking((), 0)] * 3
    assert store.search("default", np.empty((0, DIM), dtype=np.float32), model_version=VERSION) == []


def test_no_samples_are_shown_when_none_are_asked_for(store: GalleryStore) -> None:
    enrol(store, [sample(1, "a"), sample(2, "b")])
    answer = search(store, 1, samples_per_identity=0)
    assert [(person.identity, person.samples) for person in answer.identities] == [("a", ()), ("b", ())]
    assert answer.identities[0].score == pytest.approx(1.0, abs=1e-6)


def test_a_batch_answers_like_single_queries(store: GalleryStore) -> None:
    enrol(store, crowd(300, identities=40, cameras=3))
    queries = vectors(9, 77)
    batch = store.search("default", queries, model_version=VERSION)
    assert batch == [store.search("default", query[None], model_version=VERSION)[0] for query in queries]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model_version": "other@1"}, ModelMismatch),
        ({"top_k": 0}, InvalidValue),
        ({"top_k": 1001}, InvalidValue),
        ({"samples_per_identity": -1}, InvalidValue),
        ({"samples_per_identity": 101}, InvalidValue),
        ({"queries": vectors(1, dim=DIM + 1)}, DimensionMismatch),
        ({"queries": vector(1)}, DimensionMismatch),
        ({"queries": vectors(1) * np.float32(2)}, InvalidValue),
        ({"queries": vectors(1) * np.float32(np.nan)}, InvalidValue),
        ({"where": SampleFilter(captured_after=NOON.replace(tzinfo=None))}, InvalidValue),
    ],
)
def test_a_wrong_query_is_refused(store: GalleryStore, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        store.search("default", **{"queries": vectors(1), "model_version": VERSION, **options})


# --- model versions -------------------------------------------------------------------------------------------


def test_a_filled_store_opens_with_its_version_only(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
    with pytest.raises(ModelMismatch, match="1 samples are enrolled with test@1, found other@1"):
        open_store(folder, "other@1")
    with open_store(folder) as store:
        assert store.indexes.sample_count() == 1


def test_an_empty_store_opens_with_another_version(folder: Path) -> None:
    with open_store(folder) as store:
        (key,) = enrol(store, [sample(1)])
        store.delete("default", key)
    with open_store(folder, "wide@2", 2 * DIM) as store:
        assert (store.model_version, store.dim) == ("wide@2", 2 * DIM)
        wide = vector(1, 2 * DIM)
        enrol(store, [sample(1, embedding=wide)])
        (answer,) = store.search("default", wide[None], model_version="wide@2")
        assert answer.identities[0].score == pytest.approx(1.0, abs=1e-6)
        with pytest.raises(ModelMismatch):
            store.enrol("default", [sample(2)], model_version=VERSION)


def test_a_store_left_behind_by_another_process_refuses(folder: Path) -> None:
    with open_store(folder) as behind:
        open_store(folder, "other@1").close()
        with pytest.raises(ModelMismatch):
            behind.enrol("default", [sample(1)], model_version=VERSION)


def test_times_are_half_open(store: GalleryStore) -> None:
    keys = enrol(store, [sample(number, captured_at=NOON + timedelta(microseconds=number)) for number in range(3)])
    where = SampleFilter(captured_after=NOON, captured_before=NOON + timedelta(microseconds=2))
    assert ids(store, where) == keys[:2]
    assert sorted(found(search(store, 1, where))) == keys[:2]
