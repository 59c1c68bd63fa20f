"""Galleries that move to another model version while they are used."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from index.errors import (
    MigrationNotFound,
    MigrationRefused,
    MigrationState,
    MigrationUnderWay,
    ModelMismatch,
    SampleNotFound,
)
from index.gallery import GalleryStore
from index.indexes import Indexes
from index.migration import State
from index.opening import serving_version
from index.records import Action, Embedding, SampleFilter
from index.validation import Side
from index.vectors import IndexOptions
from tests.index.kills import killed_and_moved
from tests.index.moving import (
    NEW,
    NEW_DIM,
    PEOPLE,
    VIEWS,
    advance,
    embed_all,
    embed_batch,
    fill,
    free_all,
    move,
    new,
    old,
    seen,
    sides,
)
from tests.index.people import VERSION, behind_its_back, database_url, enrol, open_store

COUNT = PEOPLE * VIEWS
pytestmark = pytest.mark.databases


def vectors_of(folder: Path) -> dict[str, int]:
    """Count the vectors that the catalogue holds, by version."""
    engine = create_engine(database_url(folder), poolclass=NullPool)
    query = "SELECT version, count(*) AS vectors FROM embeddings JOIN versions ON id = version_id GROUP BY version"
    with engine.connect() as connection:
        return {row.version: row.vectors for row in connection.execute(text(query))}


def snapshots_of(folder: Path) -> list[int]:
    """Return the versions that the default gallery has a snapshot of, by number."""
    return sorted(int(path.name.split(".v")[1].split(".")[0]) for path in (folder / "reid.index").glob("gallery-1.v*"))


def best(store: GalleryStore, number: int, version: str) -> tuple[str, float]:
    """Search for a picture with the version's embedding."""
    embed = old if version == VERSION else new
    (answer,) = store.search("default", embed(b"picture %d" % number)[None], model_version=version)
    return answer.identities[0].identity, answer.identities[0].score


def listed(store: GalleryStore) -> list[str]:
    return [each.sample_id for each in store.page("default", SampleFilter(), limit=1000).items]


def reopened(folder: Path, version: str) -> GalleryStore:
    return open_store(folder, version, NEW_DIM if version == NEW else 16)


# --- the whole way --------------------------------------------------------------------------------------------


def test_a_gallery_moves_and_the_version_before_still_answers(store: GalleryStore, folder: Path) -> None:
    keys = fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM)
    assert (moving.state, moving.total, moving.done) == (State.PLANNED, COUNT, 0)
    assert moving.disk_bytes > COUNT * 4 * NEW_DIM
    moving, _ = embed_batch(store, moving)
    assert (moving.state, moving.done, moving.eta_s) == (State.RUNNING, 16, COUNT - 16)
    assert best(store, 3, VERSION)[0] == "p0"
    with pytest.raises(ModelMismatch):
        best(store, 3, NEW)
    moving = advance(store, moving)
    assert (moving.state, moving.done) == (State.VALIDATING, COUNT)
    assert store.model_version == VERSION
    switched = advance(store, moving)
    assert switched.state is State.SWITCHED
    assert store.model_version == NEW
    for number in range(COUNT):
        for version in (VERSION, NEW):  # a query that began before the switch gets its answer, by its own version
            name, score = best(store, number, version)
            assert name == f"p{number // VIEWS}"
            assert score == pytest.approx(1.0, abs=1e-6)
    assert listed(store) == keys
    assert serving_version(database_url(folder)) == NEW


def test_the_validation_tells_what_was_compared(store: GalleryStore) -> None:
    fill(store)
    told = move(store).validation
    assert told["passed"] is True
    assert (told["problems"], told["samples"], told["probes"]) == ([], COUNT, COUNT)
    assert (told["missing"], told["left_out"], told["odd_vectors"]) == (0, 0, 0)
    assert told["found_by_own_vector"] == 1.0
    assert told["embedded_again"]["least_cosine"] == pytest.approx(1.0, abs=1e-6)
    assert told["across_cameras"]["people"] == COUNT
    hits = {"source": 0, "target": 0}
    shared = 0
    for number in range(COUNT):  # slowly: everybody else on the other camera, by their best view
        found = {}
        for name, embed in (("source", old), ("target", new)):
            others = [each for each in range(COUNT) if each % 2 != number % 2]
            mine = embed(b"picture %d" % number).astype(np.float64)
            scores = [float(mine @ embed(b"picture %d" % each)) for each in others]
            found[name] = others[int(np.argmax(scores))] // VIEWS
            hits[name] += found[name] == number // VIEWS
        shared += found["source"] == found["target"]
    assert told["across_cameras"] == {
        "people": COUNT,
        "source": round(hits["source"] / COUNT, 4),
        "target": round(hits["target"] / COUNT, 4),
    }
    assert told["same_first"] == round(shared / COUNT, 4)
    verdicts = told["verdicts"]
    counted = [verdicts[name] for name in ("match_in_both", "only_source", "only_target", "in_neither")]
    assert sum(counted) == COUNT


def test_the_way_back_keeps_what_was_enrolled_meanwhile(store: GalleryStore, folder: Path) -> None:
    keys = fill(store)
    switched = move(store)
    with_both = seen(COUNT, both=True)
    late = store.enrol("default", [_by_new(with_both.picture)], model_version=NEW)[0].sample_id
    assert store.migrations.roll_back(switched.migration_id) is None  # the late one has no vector to go back with
    embed_all(store, store.migrations.get(switched.migration_id))
    back = store.migrations.roll_back(switched.migration_id)
    assert back is not None
    assert back.state is State.ROLLED_BACK
    store.indexes.serve(VERSION)
    assert best(store, COUNT, VERSION)[0] == f"p{COUNT // VIEWS}"
    assert listed(store) == [*keys, late]
    free_all(store)
    assert vectors_of(folder) == {VERSION: COUNT + 1}


def _by_new(picture: bytes) -> Any:  # noqa: ANN401 - a sample
    made = seen(int(picture.split()[1]))
    return type(made)(made.identity, new(picture), picture, made.camera)


def test_finalizing_frees_the_old_vectors(store: GalleryStore, folder: Path) -> None:
    fill(store)
    switched = move(store)
    assert vectors_of(folder) == {VERSION: COUNT, NEW: COUNT}
    assert store.migrations.finalize(switched.migration_id).state is State.FINALIZED
    assert not store.migrations.free_some(grace=3600)  # requests that began before get their answers
    assert best(store, 3, VERSION)[0] == "p0"
    free_all(store)
    assert vectors_of(folder) == {NEW: COUNT}
    assert store.migrations.get(switched.migration_id).freed
    assert store.indexes.versions() == (NEW,)
    assert not list((folder / "reid.index").glob("*.v1.*"))
    with pytest.raises(MigrationState, match="finalized"):
        store.migrations.roll_back(switched.migration_id)


def test_snapshots_that_a_crash_left_after_the_old_vectors_were_freed_go_at_the_next_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(folder) as store:
        fill(store)
        switched = move(store)
    with reopened(folder, NEW) as store:
        assert snapshots_of(folder) == [1, 2]  # both while there is a way back
        store.migrations.finalize(switched.migration_id)
        with monkeypatch.context() as patch:
            patch.setattr(Indexes, "forget", lambda *_: None)
            free_all(store)
        assert snapshots_of(folder) == [1, 2]
    with reopened(folder, NEW):
        assert snapshots_of(folder) == [2]


def test_an_empty_store_changes_at_once(store: GalleryStore) -> None:
    done = store.migrations.plan(NEW, NEW_DIM)
    assert (done.state, done.total) == (State.FINALIZED, 0)
    assert store.migrations.serving() == NEW
    store.migrations.load_serving()
    store.indexes.serve(NEW)
    (key,) = enrol(store, [_by_new(b"picture 1")])
    assert store.embedding("default", key, model_version=NEW).tobytes() == new(b"picture 1").tobytes()


# --- meanwhile ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("when", [State.PLANNED, State.RUNNING, State.VALIDATING])
def test_what_is_enrolled_during_a_migration_is_in_both_versions(
    store: GalleryStore, folder: Path, when: State, *, both: bool
) -> None:
    fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM)
    if when is State.RUNNING:
        moving, _ = embed_batch(store, moving)
    if when is State.VALIDATING:
        moving = advance(store, moving)
    enrol(store, [seen(COUNT, both=both)])
    assert vectors_of(folder).get(NEW, 0) == {State.PLANNED: 0, State.RUNNING: 16, State.VALIDATING: COUNT}[when] + both
    while moving.state is not State.SWITCHED:
        moving = advance(store, moving)
    assert vectors_of(folder) == {VERSION: COUNT + 1, NEW: COUNT + 1}
    name, score = best(store, COUNT, NEW)
    assert name == f"p{COUNT // VIEWS}"
    assert score == pytest.approx(1.0, abs=1e-6)


def test_after_the_switch_a_sample_may_have_both_vectors(store: GalleryStore, folder: Path) -> None:
    fill(store)
    switched = move(store)
    sample = _by_new(b"picture %d" % COUNT)
    with_old = type(sample)(sample.identity, sample.embedding, sample.picture, others={VERSION: old(sample.picture)})
    store.enrol("default", [with_old], model_version=NEW)
    assert store.migrations.roll_back(switched.migration_id) is not None
    store.indexes.serve(VERSION)
    assert vectors_of(folder) == {VERSION: COUNT + 1, NEW: COUNT + 1}


def test_vectors_of_a_version_that_is_not_moved_to_are_not_kept(store: GalleryStore, folder: Path) -> None:
    enrol(store, [seen(1, both=True)])
    assert vectors_of(folder) == {VERSION: 1}


@pytest.mark.parametrize("when", [State.RUNNING, State.VALIDATING, State.SWITCHED])
def test_what_is_erased_during_a_migration_is_gone_from_both(store: GalleryStore, folder: Path, when: State) -> None:
    keys = fill(store)
    moving, _ = embed_batch(store, store.migrations.plan(NEW, NEW_DIM))
    while moving.state is not when:
        moving = advance(store, moving)
    store.delete("default", keys[0])
    erased = store.erase("default", "p1")
    assert (erased.samples_deleted, erased.verified) == (VIEWS, True)
    assert erased.vectors_deleted == 2 * VIEWS
    while moving.state is not State.SWITCHED:
        moving = advance(store, moving)
    left = COUNT - VIEWS - 1
    assert vectors_of(folder) == {VERSION: left, NEW: left}
    for version in (VERSION, NEW):
        assert best(store, VIEWS, version)[1] < 0.999
    assert store.migrations.roll_back(moving.migration_id) is not None
    store.indexes.serve(VERSION)
    assert len(listed(store)) == left


def test_a_batch_of_samples_that_were_erased_meanwhile_is_stored_without_them(store: GalleryStore) -> None:
    keys = fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM)
    pending = store.migrations.pending(moving, 3)
    store.delete("default", keys[1])
    vectors = {each.number: new(store.read_picture(each.digest)).tobytes() for each in pending if each.number != 2}
    vectors[pending[1].number] = new(b"picture 1").tobytes()
    assert store.migrations.put(moving, vectors, pending[-1].number).position == 3
    assert [each.number for each in store.migrations.pending(store.migrations.get(moving.migration_id), 1)] == [4]


# --- refusals -------------------------------------------------------------------------------------------------


def test_one_migration_at_a_time(store: GalleryStore) -> None:
    fill(store)
    with pytest.raises(MigrationState, match="not active, found test@1"):
        store.migrations.plan(VERSION, 16)
    moving = store.migrations.plan(NEW, NEW_DIM)
    with pytest.raises(MigrationUnderWay, match=moving.migration_id):
        store.migrations.plan("test@3", 4)
    with pytest.raises(MigrationNotFound):
        store.migrations.get("none")
    for wish in (store.migrations.roll_back, store.migrations.finalize):
        with pytest.raises(MigrationState, match="found one that is planned"):
            wish(moving.migration_id)
    switched = advance(store, advance(store, moving))
    with pytest.raises(MigrationState, match="found one that is switched"):
        store.migrations.cancel(switched.migration_id)


def test_samples_without_a_picture_are_refused_or_left_out(store: GalleryStore, folder: Path) -> None:
    keys = fill(store)
    store.put_gallery("bare", store_images=False)
    (bare,) = enrol(store, [seen(COUNT)], gallery="bare")
    with pytest.raises(MigrationRefused, match="1 of gallery 'bare'"):
        store.migrations.plan(NEW, NEW_DIM)
    switched = move(store, leave_out=True)
    assert (switched.left_out, switched.validation["left_out"]) == (1, 1)
    assert store.check().problems == ()
    assert store.page("bare", SampleFilter(), limit=10).items == ()
    with pytest.raises(SampleNotFound):
        store.embedding("bare", bare, model_version=NEW)
    assert store.migrations.roll_back(switched.migration_id) is not None
    store.indexes.serve(VERSION)
    assert [each.sample_id for each in store.page("bare", SampleFilter(), limit=10).items] == [bare]

    again = move(store, leave_out=True)
    store.migrations.finalize(again.migration_id)
    free_all(store)
    assert listed(store) == keys
    with pytest.raises(SampleNotFound):
        store.get("bare", bare)
    assert vectors_of(folder) == {NEW: COUNT}
    entry = store.audit(limit=1).items[0]
    assert (entry.action, entry.gallery, entry.samples, entry.verified) == (Action.LEAVE_OUT, "bare", 1, True)


def test_a_snapshot_without_what_is_left_out_is_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(folder) as store:
        store.put_gallery("default", store_images=False)
        enrol(store, [seen(0)])
        store.put_gallery("default", store_images=True)
        enrol(store, [seen(number) for number in range(1, COUNT)])
        move(store, leave_out=True)
    with reopened(folder, NEW) as store:
        assert store.indexes.sample_count() == COUNT - 1
        assert store.check().problems == ()
    assert caplog.text == ""


def test_a_disk_without_room_is_told_before_it_begins(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    fill(store)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    if database == "postgresql":
        store.migrations.plan(NEW, NEW_DIM)  # the server's disk is not ours to look at
        return
    with pytest.raises(MigrationRefused, match="MB free on the data folder's disk"):
        store.migrations.plan(NEW, NEW_DIM)
    assert store.migrations.latest() == []


# --- what stops before the switch -----------------------------------------------------------------------------


def test_a_picture_that_cannot_be_embedded_stops_it(store: GalleryStore) -> None:
    keys = fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM)
    first = store.migrations.pending(moving, 1)[0]
    moving = store.migrations.put(moving, {first.number: b""}, first.number)
    failed = advance(store, advance(store, moving))
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert "1 samples could not be embedded again" in failed.error
    assert store.model_version == VERSION
    assert listed(store) == keys
    # tried once more, when its picture is there again: the other vectors are used
    again = store.migrations.plan(NEW, NEW_DIM)
    assert [each.number for each in store.migrations.pending(again, 10)] == [first.number]
    assert advance(store, advance(store, again)).state is State.SWITCHED


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda _picture: new(b"picture 0"), "told apart"),
        (lambda picture: new(b"picture %d" % (int(picture.split()[1]) * 7 % COUNT)), "people seen by two cameras"),
        (lambda picture: new(picture) * np.float32(2), "not finite and of length 1"),
        (lambda picture: new(picture) * np.float32(np.nan), "not finite and of length 1"),
    ],
)
def test_a_model_that_finds_nobody_does_not_come_to_serve(
    store: GalleryStore,
    wrong: Callable[[bytes], Embedding],
    problem: str,
) -> None:
    fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM)
    vectors = {
        each.number: np.asarray(wrong(store.read_picture(each.digest)), np.float32).tobytes()
        for each in store.migrations.pending(moving, COUNT)
    }
    moving = store.migrations.begin_validation(store.migrations.put(moving, vectors, COUNT))
    told = store.migrations.validate(moving, Side(None, old), Side(None, wrong))
    assert told["passed"] is False
    assert any(problem in each for each in told["problems"])


def test_a_move_that_is_forced_is_told_what_it_loses(store: GalleryStore) -> None:
    fill(store)
    moving = store.migrations.plan(NEW, NEW_DIM, forced=True)
    vectors = {each.number: new(b"picture 0").tobytes() for each in store.migrations.pending(moving, COUNT)}
    moving = store.migrations.begin_validation(store.migrations.put(moving, vectors, COUNT))
    told = store.migrations.validate(moving, Side(None, old), Side(None, lambda _picture: new(b"picture 0")))
    assert (told["passed"], told["problems"]) == (True, [])
    assert "told apart" in told["overruled"][0]


def test_a_model_that_embeds_otherwise_than_what_is_stored_does_not_come_to_serve(store: GalleryStore) -> None:
    fill(store)
    moving = advance(store, store.migrations.plan(NEW, NEW_DIM))
    told = store.migrations.validate(moving, sides()[0], Side(None, lambda picture: -new(picture)))
    assert any("the stored vector once more" in each for each in told["problems"])


def test_a_lost_vector_stops_it(store: GalleryStore, folder: Path) -> None:
    fill(store)
    moving = advance(store, store.migrations.plan(NEW, NEW_DIM))
    behind_its_back(folder, "DELETE FROM embeddings WHERE sample_id = 7 AND version_id = 2")
    failed = advance(store, moving)
    assert failed.error == "1 samples have no vector of it"


def test_cancelling_frees_what_was_embedded(store: GalleryStore, folder: Path) -> None:
    fill(store)
    moving, _ = embed_batch(store, store.migrations.plan(NEW, NEW_DIM))
    assert store.migrations.cancel(moving.migration_id).state is State.CANCELLED
    stopped = store.migrations.put(moving, {20: new(b"picture 19").tobytes()}, 20)  # of one who did not know yet
    assert stopped.state is State.CANCELLED
    free_all(store)
    assert vectors_of(folder) == {VERSION: COUNT}


def test_what_is_cancelled_before_the_switch_embeds_no_more(store: GalleryStore, folder: Path) -> None:
    fill(store)
    moving = advance(store, store.migrations.plan(NEW, NEW_DIM))
    (late,) = enrol(store, [seen(COUNT)])  # by the version that serves alone
    assert store.migrations.switch(moving, {}) is None
    stopped = store.migrations.cancel(moving.migration_id)
    with pytest.raises(MigrationState, match="found one that is cancelled"):
        store.migrations.switch(moving, {})
    assert embed_batch(store, stopped)[0] == stopped
    free_all(store)
    assert vectors_of(folder) == {VERSION: COUNT + 1}
    assert store.embedding("default", late, model_version=VERSION).tobytes() == old(b"picture %d" % COUNT).tobytes()


def test_a_cancelled_try_is_used_by_the_next(store: GalleryStore, folder: Path) -> None:
    fill(store)
    moving, _ = embed_batch(store, store.migrations.plan(NEW, NEW_DIM))
    store.migrations.cancel(moving.migration_id)
    again = store.migrations.plan(NEW, NEW_DIM)
    assert not store.migrations.free_some()
    assert store.migrations.pending(again, 1)[0].number == 17
    assert vectors_of(folder) == {VERSION: COUNT, NEW: 16}


# --- processes ------------------------------------------------------------------------------------------------


def test_each_state_outlives_a_restart(folder: Path) -> None:
    with open_store(folder) as store:
        keys = fill(store)
        moving, _ = embed_batch(store, store.migrations.plan(NEW, NEW_DIM))
    for state in (State.RUNNING, State.VALIDATING):
        with open_store(folder) as store:
            found = store.migrations.under_way()
            assert found is not None
            assert found.state is state
            moving = advance(store, found)
    with reopened(folder, NEW) as store:
        assert store.migrations.get(moving.migration_id).state is State.SWITCHED
        assert listed(store) == keys
        store.migrations.finalize(moving.migration_id)
        assert store.migrations.free_some()
    with reopened(folder, NEW) as store:
        free_all(store)
        assert vectors_of(folder) == {NEW: COUNT}
        assert store.check().problems == ()


def test_one_process_works_at_it_until_it_is_not_heard_of(folder: Path) -> None:
    with open_store(folder) as one, open_store(folder) as other:
        fill(one)
        moving = one.migrations.plan(NEW, NEW_DIM)
        assert one.migrations.hold(moving.migration_id, "one")
        assert not other.migrations.hold(moving.migration_id, "other")
        assert one.migrations.hold(moving.migration_id, "one")
        one.migrations.release("one")
        assert other.migrations.hold(moving.migration_id, "other")
        behind_its_back(folder, "UPDATE migrations SET owned_until = 1")
        assert one.migrations.hold(moving.migration_id, "one")


def test_another_process_follows_the_switch(folder: Path) -> None:
    with open_store(folder) as one, open_store(folder) as other:
        fill(one)
        moving = advance(one, one.migrations.plan(NEW, NEW_DIM))
        other.migrations.load(moving.target_id)
        enrol(other, [seen(COUNT)])  # by one vector: the one that works embeds it before it switches
        advance(one, moving)
        assert (other.model_version, other.migrations.serving()) == (VERSION, NEW)
        assert best(other, COUNT, VERSION)[0] == best(other, COUNT, NEW)[0] == f"p{COUNT // VIEWS}"
        other.indexes.serve(NEW)
        assert len(listed(other)) == COUNT + 1


def test_the_same_model_needs_no_embedding(store: GalleryStore, folder: Path) -> None:
    keys = fill(store)
    moving = store.migrations.plan("test@9", 16)
    while vectors := store.migrations.copied(moving, 25):
        moving = store.migrations.put(moving, vectors, max(vectors))
    assert (moving.done, vectors_of(folder)) == (COUNT, {VERSION: COUNT, "test@9": COUNT})
    moving = store.migrations.begin_validation(moving)
    validation = store.migrations.validate(moving, Side(0.8, old), Side(0.7, old))
    assert validation["passed"]
    assert validation["same_first"] == 1.0
    store.migrations.switch(moving, validation)
    store.indexes.serve("test@9")
    before = store.embedding("default", keys[3], model_version=VERSION)
    assert store.embedding("default", keys[3], model_version="test@9").tobytes() == before.tobytes()


@pytest.mark.parametrize("index", [IndexOptions(), IndexOptions(exact_rows=40)])
def test_vectors_that_come_after_those_of_younger_samples(folder: Path, index: IndexOptions) -> None:
    with open_store(folder, index=index) as store:
        fill(store)
        moving = advance(store, store.migrations.plan(NEW, NEW_DIM))
        for number in range(COUNT, COUNT + 6):  # every other one by a process that embeds with one version alone
            enrol(store, [seen(number, both=bool(number % 2))])
        switched = advance(store, moving)
        assert switched.state is State.SWITCHED
        assert len(listed(store)) == COUNT + 6
        for number in range(COUNT, COUNT + 6):
            assert best(store, number, NEW)[0] == f"p{number // VIEWS}"
        store.enrol("default", [_by_new(b"picture 70")], model_version=NEW)
        sample = _by_new(b"picture 71")
        both = type(sample)(sample.identity, sample.embedding, sample.picture, others={VERSION: old(sample.picture)})
        store.enrol("default", [both], model_version=NEW)
        embed_all(store, store.migrations.get(switched.migration_id))
        assert store.migrations.roll_back(switched.migration_id) is not None
        store.indexes.serve(VERSION)
        assert best(store, 70, VERSION)[0] == "p14"
        assert best(store, 71, VERSION)[0] == "p14"
        assert store.check().problems == ()
    with open_store(folder, index=index) as store:
        assert len(listed(store)) == COUNT + 8


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("when", ["before", "committed"])
@pytest.mark.parametrize("at", [1, 4, 6, 7])
def test_a_move_goes_on_after_a_kill(folder: Path, at: int, when: str) -> None:
    killed_and_moved(folder, "finalized", at, when)
