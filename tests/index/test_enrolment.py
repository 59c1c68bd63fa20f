import hashlib
import resource
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from index import removal
from index.enrolment import Enrolment
from index.errors import DimensionMismatch, ExternalIdConflict, InvalidValue, ModelMismatch, StoreUnavailable
from index.gallery import GalleryStore
from index.migration import State
from index.pictures import PictureStore
from index.records import Enrolled, EnrolStatus, NewSample, SampleFilter
from index.schema import awaited_pictures
from index.upkeep import Keeper
from tests.index.moving import NEW, NEW_DIM, advance, embed_all, fill, free_all, move, new, seen
from tests.index.people import DIM, VERSION, behind_its_back, enrol, open_store, sample, vector

pytestmark = pytest.mark.databases
CREATED, DUPLICATE, REJECTED = EnrolStatus.CREATED, EnrolStatus.DUPLICATE, EnrolStatus.REJECTED


def run(store: GalleryStore, *items: NewSample) -> list[Enrolled]:
    return store.enrol("default", items, model_version=VERSION)


def statuses(outcome: list[Enrolled]) -> list[EnrolStatus]:
    return [item.status for item in outcome]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "pictures").rglob("*") if path.is_file())


def count(store: GalleryStore) -> int:
    return len(store.page("default", SampleFilter(), limit=1000).items)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("bad", "error", "field"),
    [
        (sample(9, ""), InvalidValue, "identity"),
        (sample(9, "a\nb"), InvalidValue, "identity"),
        (sample(9, camera=""), InvalidValue, "camera"),
        (sample(9, captured_at=datetime(2026, 1, 1)), InvalidValue, "captured_at"),
        (sample(9, attributes={"a": float("nan")}), InvalidValue, "attributes"),
        (sample(9, external_id=""), InvalidValue, "external_id"),
        (sample(9, picture=b""), InvalidValue, "image"),
        (sample(9, embedding=vector(9, DIM + 1)), DimensionMismatch, None),
        (sample(9, embedding=vector(9) * np.float32(3)), InvalidValue, "embedding"),
    ],
)
def test_a_bad_item_fails_alone(store: GalleryStore, bad: NewSample, error: type[Exception], field: str | None) -> None:
    outcome = run(store, sample(1), bad, sample(2))
    assert statuses(outcome) == [CREATED, REJECTED, CREATED]
    assert isinstance(outcome[1].error, error)
    assert getattr(outcome[1].error, "field", None) == field
    assert count(store) == 2


def test_a_request_can_be_sent_again(store: GalleryStore, folder: Path) -> None:
    items = [sample(number, camera="c1", external_id=f"e{number}") for number in range(5)]
    first = run(store, *items)
    stored = files(folder)
    second = run(store, *items, sample(7))
    assert statuses(second) == [DUPLICATE] * 5 + [CREATED]
    assert [item.sample_id for item in second[:5]] == [item.sample_id for item in first]
    assert set(stored) < set(files(folder))


def test_duplicates_inside_one_request(store: GalleryStore) -> None:
    outcome = run(store, sample(1, "a"), sample(1, "a"), sample(1, "b"), sample(1, "a", camera="c1"))
    assert statuses(outcome) == [CREATED, DUPLICATE, CREATED, CREATED]
    assert outcome[1].sample_id == outcome[0].sample_id
    assert count(store) == 3


def test_a_duplicate_changes_nothing(store: GalleryStore) -> None:
    (key,) = enrol(store, [sample(1, "a", attributes={"x": 1})])
    before = store.get("default", key)
    (outcome,) = run(store, sample(1, "a", attributes={"x": 2}, external_id="new", embedding=vector(5)))
    assert (outcome.status, outcome.sample_id) == (DUPLICATE, key)
    assert store.get("default", key) == before


def test_names_that_are_equal_in_nfc_are_duplicates(store: GalleryStore) -> None:
    outcome = run(store, sample(1, "Zo\u00eb"), sample(1, "Zoe\u0308"))
    assert statuses(outcome) == [CREATED, DUPLICATE]


@pytest.mark.parametrize(
    "other",
    [
        sample(2, "a", camera="c", external_id="e"),
        sample(1, "b", camera="c", external_id="e"),
        sample(1, "a", camera="d", external_id="e"),
        sample(1, "a", external_id="e"),
    ],
)
def test_an_external_id_with_other_content_is_a_conflict(store: GalleryStore, other: NewSample) -> None:
    first = sample(1, "a", camera="c", external_id="e")
    outcome = run(store, first, other)
    assert statuses(outcome) == [CREATED, REJECTED]
    assert isinstance(outcome[1].error, ExternalIdConflict)
    outcome = run(store, other, sample(5))
    assert statuses(outcome) == [REJECTED, CREATED]
    assert statuses(run(store, first)) == [DUPLICATE]


def test_an_external_id_is_free_again_after_deletion(store: GalleryStore) -> None:
    (key,) = enrol(store, [sample(1, external_id="e")])
    store.delete("default", key)
    enrol(store, [sample(2, external_id="e")])


def test_known_tells_duplicates_before_they_are_embedded(store: GalleryStore) -> None:
    one, other = enrol(store, [sample(1, "a"), sample(2, "b", camera="c1")])
    digests = [hashlib.sha256(sample(number).picture).hexdigest() for number in (1, 2)]
    keys = [(digests[0], "a", None), (digests[1], "b", "c1"), (digests[1], "b", None), (digests[0], "b", None)]
    assert store.known("default", keys) == [one, other, None, None]
    with pytest.raises(InvalidValue, match="hexadecimal"):
        store.known("default", [("xyz", "a", None)])


# --- what lacks its embedding or its picture ------------------------------------------------------------------


def known(store: GalleryStore, item: NewSample) -> str | None:
    digest = hashlib.sha256(item.picture).hexdigest()
    return store.known("bare", [(digest, item.identity, item.camera)])[0]


def by_new(item: NewSample) -> NewSample:
    return replace(item, embedding=new(item.picture), others={})


@pytest.mark.parametrize("keeps", [True, False])
def test_a_sample_that_was_left_out_comes_back_with_its_picture(store: GalleryStore, *, keeps: bool) -> None:
    fill(store)
    store.put_gallery("bare", store_images=False)
    items = [seen(100), seen(200)]
    keys = enrol(store, items, gallery="bare")
    switched = move(store, leave_out=True)
    assert switched.left_out == 2
    store.put_gallery("bare", store_images=keeps)
    for place in (1, 0):  # the younger one first: the index then has to take one in before it
        assert known(store, items[place]) is None
        (outcome,) = store.enrol("bare", [by_new(items[place])], model_version=NEW)
        assert (outcome.status, outcome.sample_id) == (DUPLICATE, keys[place])
        assert known(store, items[place]) == keys[place]
    store.indexes.settle()
    store.migrations.finalize(switched.migration_id)
    free_all(store)
    for item, key in zip(items, keys, strict=True):
        (answer,) = store.search("bare", new(item.picture)[None], model_version=NEW)
        assert answer.identities[0].identity == item.identity
        assert answer.identities[0].score == pytest.approx(1.0, abs=1e-6)
        assert store.get("bare", key).picture_stored is keeps
        assert not keeps or store.picture("bare", key) == item.picture


def test_a_sample_that_comes_back_is_found_at_once(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    store.put_gallery("bare", store_images=False)
    older, younger = seen(100), seen(200)
    keys = enrol(store, [older, younger], gallery="bare")
    move(store, leave_out=True)
    store.enrol("bare", [by_new(younger)], model_version=NEW)
    monkeypatch.setattr(Keeper, "look", lambda _: None)  # nothing is done in the background
    with open_store(folder, NEW, NEW_DIM) as other:
        store.enrol("bare", [by_new(older)], model_version=NEW)
        for asked in (store, other):
            (answer,) = asked.search("bare", new(older.picture)[None], model_version=NEW)
            assert (answer.searched, answer.identities[0].identity) == (2, older.identity)
            assert [each.sample_id for each in asked.page("bare", SampleFilter(), limit=5).items] == keys


@pytest.mark.parametrize("when", [State.PLANNED, State.VALIDATING])
def test_a_sample_that_would_be_left_out_is_not(store: GalleryStore, when: State) -> None:
    fill(store)
    store.put_gallery("bare", store_images=False)
    (key,) = enrol(store, [seen(100)], gallery="bare")
    moving = store.migrations.plan(NEW, NEW_DIM, leave_out=True)
    if when is State.VALIDATING:
        moving = store.migrations.begin_validation(embed_all(store, moving))
    assert known(store, seen(100)) is None
    (outcome,) = store.enrol("bare", [seen(100, both=True)], model_version=VERSION)
    assert (outcome.status, outcome.sample_id) == (DUPLICATE, key)
    assert known(store, seen(100)) == key
    while moving.state is not State.SWITCHED:
        moving = advance(store, moving)
    (answer,) = store.search("bare", new(b"picture 100")[None], model_version=NEW)
    assert answer.identities[0].samples[0].sample.sample_id == key


def test_a_picture_that_was_not_kept_is_when_it_is_sent_again(store: GalleryStore) -> None:
    store.put_gallery("bare", store_images=False)
    (key,) = enrol(store, [seen(1)], gallery="bare")
    assert known(store, seen(1)) == key
    store.put_gallery("bare", store_images=True)
    assert known(store, seen(1)) is None
    assert store.enrol("bare", [seen(1)], model_version=VERSION) == [Enrolled(DUPLICATE, key)]
    assert known(store, seen(1)) == key
    assert store.picture("bare", key) == seen(1).picture
    store.migrations.plan(NEW, NEW_DIM)  # refused while a sample has no picture


def test_an_embedding_that_was_lost_comes_back_with_the_picture(store: GalleryStore, folder: Path) -> None:
    store.put_gallery("bare")
    (key,) = enrol(store, [seen(1)], gallery="bare")
    behind_its_back(folder, "DELETE FROM embeddings")
    assert known(store, seen(1)) is None
    assert store.enrol("bare", [seen(1)], model_version=VERSION) == [Enrolled(DUPLICATE, key)]
    assert store.embedding("bare", key, model_version=VERSION).tobytes() == seen(1).embedding.tobytes()


@pytest.mark.parametrize("altered", [None, b"picturf 1"])
@pytest.mark.parametrize("by_another", [False, True])
def test_a_picture_that_was_lost_comes_back_when_it_is_sent_again(
    store: GalleryStore, folder: Path, altered: bytes | None, by_another: bool
) -> None:
    store.put_gallery("bare")
    (key,) = enrol(store, [sample(1)], gallery="bare")
    (file,) = (path for path in (folder / "pictures").rglob("*") if path.is_file())
    if altered is None:
        file.unlink()
    else:
        assert len(altered) == len(sample(1).picture)
        file.write_bytes(altered)
    assert not store.check().clean
    assert known(store, sample(1)) is None
    again = sample(1, "another" if by_another else None)
    (outcome,) = store.enrol("bare", [again], model_version=VERSION)
    assert outcome.status is (CREATED if by_another else DUPLICATE)
    assert known(store, sample(1)) == key
    assert store.picture("bare", key) == sample(1).picture
    assert store.check().clean


# --- refused whole --------------------------------------------------------------------------------------------


def test_another_version_is_refused_whole(store: GalleryStore, folder: Path) -> None:
    with pytest.raises(ModelMismatch, match="expected an embedding of test@1, found one of other@1"):
        store.enrol("default", [sample(1)], model_version="other@1")
    assert (count(store), files(folder)) == (0, [])


def test_nothing_at_all_can_be_enrolled(store: GalleryStore) -> None:
    assert run(store) == []


def together(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def guarded(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as exc:  # noqa: BLE001  # handed to the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_same_request_from_many_threads_creates_once(store: GalleryStore) -> None:
    items = [sample(number, external_id=f"e{number}") for number in range(8)]
    outcomes: list[list[Enrolled]] = []
    together(6, lambda _: outcomes.append(run(store, *items)))
    assert sum(item.status is CREATED for outcome in outcomes for item in outcome) == 8
    assert len({item.sample_id for outcome in outcomes for item in outcome}) == 8
    assert count(store) == 8


def test_the_same_picture_enrolled_and_erased_at_once_is_never_lost(store: GalleryStore, folder: Path) -> None:
    with open_store(folder) as other:

        def enrol_it(store: GalleryStore, name: str) -> None:
            for _ in range(3):
                (outcome,) = store.enrol("default", [sample(1, name, picture=b"same")], model_version=VERSION)
                assert store.picture("default", outcome.sample_id or "") == b"same"
                store.erase("default", name)

        together(3, lambda number: enrol_it((store, other, store)[number], f"p{number}"))
    assert files(folder) == []


def test_a_picture_that_cannot_be_stored_fails_the_request_whole(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = PictureStore.put

    def half(self: PictureStore, pictures: dict[bytes, bytes]) -> None:
        put(self, dict(list(pictures.items())[:2]))
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(PictureStore, "put", half)
        with pytest.raises(StoreUnavailable):
            run(store, sample(1), sample(2), sample(3))
    assert (count(store), files(folder)) == (0, [])
    enrol(store, [sample(1), sample(2), sample(3)])


@pytest.mark.databases("sqlite")
def test_pictures_of_a_commit_that_fails_are_removed_again(store: GalleryStore, folder: Path) -> None:
    enrol(store, [sample(1)])
    stored = files(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # room for pictures, and none for the write-ahead log
    try:
        with pytest.raises(StoreUnavailable, match="failed to read or write"):
            run(store, sample(2), sample(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (count(store), files(folder)) == (1, stored)
    enrol(store, [sample(2), sample(3)])


@pytest.mark.parametrize("fails", [False, True])
def test_no_picture_is_awaited_once_an_enrolment_is_over(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    if fails:
        monkeypatch.setattr(Enrolment, "_commit", raising(StoreUnavailable("gone")))
        with pytest.raises(StoreUnavailable):
            run(store, sample(1), sample(2))
    else:
        run(store, sample(1), sample(2))
    with store._database.read() as connection:
        assert removal.pending(connection, b"", 10, awaited_pictures) == []


def test_what_a_failure_left_is_removed_at_the_next_opening(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail = raising(StoreUnavailable("gone"))
    with open_store(folder) as store, monkeypatch.context() as patched:
        patched.setattr(Enrolment, "_commit", fail)
        patched.setattr(PictureStore, "require", fail)
        with pytest.raises(StoreUnavailable):
            run(store, sample(1), sample(2))
    assert len(files(folder)) == 2
    with open_store(folder):
        assert files(folder) == []


def test_an_opening_beside_an_enrolment_takes_nothing_from_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = PictureStore.put
    seen: list[list[str]] = []

    def watched(pictures: PictureStore, given: Mapping[bytes, bytes]) -> None:
        put(pictures, given)
        if not seen:
            seen.append(files(folder))
            with open_store(folder):
                seen.append(files(folder))

    with open_store(folder) as store:
        monkeypatch.setattr(PictureStore, "put", watched)
        run(store, sample(1), sample(2))
        assert [len(each) for each in seen] == [2, 0]
        assert files(folder) == seen[0]
        assert store.check().clean
    with open_store(folder):
        assert files(folder) == seen[0]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
