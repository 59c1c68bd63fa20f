"""What is past its gallery's retention is erased, and nothing else."""

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from index import retention
from index.errors import InvalidValue, StoreUnavailable
from index.gallery import GalleryStore
from index.records import Action, Erased, Sample, SampleFilter
from tests.index.people import NOON, VERSION, behind_its_back, crowd, enrol, open_store, sample, vector

pytestmark = pytest.mark.databases
DAY = timedelta(days=1)


def age(folder: Path, ages: dict[str, timedelta]) -> None:
    """Let samples have been enrolled that long before noon."""
    rows = [
        {"at": (NOON - past - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), "key": key}
        for key, past in ages.items()
    ]
    behind_its_back(folder, "UPDATE samples SET enrolled_at = :at WHERE sample_id = :key", *rows)


def held(store: GalleryStore, gallery: str) -> list[Sample]:
    return list(store.page(gallery, SampleFilter(), limit=1000).items)


def slowly(samples: list[Sample], days: int | None, now: datetime) -> set[str]:
    """Look at each sample for itself, and return those that stay."""
    return {
        one.sample_id for one in samples if days is None or not one.enrolled_at + timedelta(days=days) < now
    }  # fmt: skip


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 7)
    monkeypatch.setattr(retention, "_READ_BACK", 20)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("small_batches")
def test_what_goes_is_what_a_slow_look_says(folder: Path, store: GalleryStore, seed: int) -> None:
    dice = random.Random(seed)
    kept: dict[str, int | None] = {"default": None, "day": 1, "week": 7, "blind": 3, "empty": 2}
    for name, days in kept.items():
        store.put_gallery(name, retention_days=days, store_images=name != "blind")
        if name != "empty":
            keys = enrol(store, crowd(70, identities=9, cameras=2, seed=seed), name)
            edges = [days or 1, (days or 1) + 1e-10, (days or 1) - 1e-10]  # to the microsecond
            age(folder, {key: DAY * dice.choice([*edges, dice.uniform(0, 9)]) for key in keys})
    before = {name: held(store, name) for name in kept}
    stay = {name: slowly(before[name], days, NOON) for name, days in kept.items()}
    counts = {name: len(before[name]) - len(stay[name]) for name, days in kept.items() if days is not None}
    assert store.retention.overdue(NOON) == counts
    done = store.retention.expire(NOON)
    assert {name: {one.sample_id for one in held(store, name)} for name in kept} == stay
    assert {name: erased.samples_deleted for name, erased in done.items()} == counts
    assert all(erased.verified and erased.vectors_deleted == erased.samples_deleted for erased in done.values())
    assert done["blind"].images_deleted == 0
    assert store.retention.overdue(NOON) == dict.fromkeys(counts, 0)
    for name in kept:
        (answer,) = store.search(name, vector(1)[None], model_version=VERSION)
        assert answer.searched == len(stay[name])
    told = store.audit(limit=1000).items
    assert {entry.action for entry in told} == {Action.EXPIRE}
    for name, count in counts.items():
        mine = [entry for entry in told if entry.gallery == name]
        assert sum(entry.samples for entry in mine) == sum(entry.vectors for entry in mine) == count
        assert all(entry.verified and entry.samples <= 21 for entry in mine)
        assert sum(entry.pictures or 0 for entry in mine) == done[name].images_deleted


def test_nothing_of_an_expired_sample_is_left(folder: Path) -> None:
    with open_store(folder) as store:
        store.put_gallery("default", retention_days=1)
        enrol(store, crowd(40, identities=5, cameras=2))
    with open_store(folder) as store:
        secret = sample(1000, "Erika Mustermann", picture=b"secret picture")
        (key,) = enrol(store, [secret])
        age(folder, {key: 2 * DAY})
        assert store.retention.expire(NOON) == {"default": Erased(1, 1, 1, True)}
        files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        for needle in (secret.embedding.tobytes(), secret.picture, b"Erika Mustermann", key.encode()):
            assert needle not in files
        assert store.check().clean


def test_a_picture_that_a_younger_sample_uses_stays(folder: Path, store: GalleryStore) -> None:
    store.put_gallery("default", retention_days=1)
    old, young = enrol(store, [sample(1, "a", picture=b"both"), sample(1, "b", picture=b"both")])
    age(folder, {old: 2 * DAY, young: timedelta(0)})
    assert store.retention.expire(NOON)["default"].images_deleted == 0
    assert store.picture("default", young) == b"both"


def test_the_present_is_now_unless_it_is_given(folder: Path, store: GalleryStore) -> None:
    store.put_gallery("default", retention_days=2**31 - 1)
    enrol(store, [sample(1)])
    assert store.retention.expire() == {"default": Erased(0, 0, 0, True)}
    store.put_gallery("default", retention_days=1)
    assert store.retention.overdue() == {"default": 0}
    assert store.retention.overdue(datetime.now(UTC) + 2 * DAY) == {"default": 1}
    with pytest.raises(InvalidValue, match="naive"):
        store.retention.expire(datetime(2026, 5, 1))
    assert store.audit(limit=10).items == ()


@pytest.mark.usefixtures("small_batches")
def test_others_enrol_between_two_transactions(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_gallery("default", retention_days=1)
    keys = enrol(store, [sample(number) for number in range(50)])
    age(folder, dict.fromkeys(keys, 2 * DAY))
    take = retention._take
    made: list[int] = []

    def enrolling(*values: object) -> object:
        made.append(len(made))
        return take(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(retention, "_take", enrolling)
    stop = threading.Event()
    enrolled: list[str] = []

    def guest() -> None:
        number = 1000
        while not stop.is_set():
            enrolled.extend(enrol(store, [sample(number)]))
            number += 1

    thread = threading.Thread(target=guest)
    thread.start()
    try:
        assert store.retention.expire(NOON)["default"].samples_deleted == 50
    finally:
        stop.set()
        thread.join()
    assert len(made) >= 8  # seven at a time
    assert {one.sample_id for one in held(store, "default")} == set(enrolled)


@pytest.mark.usefixtures("small_batches")
def test_it_can_be_stopped_between_two_transactions(folder: Path, store: GalleryStore) -> None:
    store.put_gallery("default", retention_days=1)
    age(folder, dict.fromkeys(enrol(store, [sample(number) for number in range(30)]), 2 * DAY))
    turns = iter([False, False, False, True])
    done = store.retention.expire(NOON, stopped=lambda: next(turns, True))
    assert done["default"] == Erased(14, 14, 14, True)
    assert store.retention.overdue(NOON) == {"default": 16}


@pytest.mark.usefixtures("small_batches")
def test_what_was_deleted_before_a_failure_is_cleared(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_gallery("default", retention_days=1)
    age(folder, dict.fromkeys(enrol(store, [sample(number) for number in range(30)]), 2 * DAY))
    take, turns = retention._take, iter([True, False])

    def failing(*values: object) -> object:
        if not next(turns):
            raise StoreUnavailable("the disk is full")
        return take(*values)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_take", failing)
        with pytest.raises(StoreUnavailable):
            store.retention.expire(NOON)
    (entry,) = store.audit(limit=10).items
    assert (entry.samples, entry.pictures, entry.verified) == (7, 7, True)
    assert len([path for path in (folder / "pictures").rglob("*") if path.is_file()]) == 23


@pytest.mark.usefixtures("small_batches")
def test_a_retention_that_is_lifted_meanwhile_is_lifted_at_once(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_gallery("default", retention_days=1)
    age(folder, dict.fromkeys(enrol(store, [sample(number) for number in range(30)]), 2 * DAY))
    turns = iter([False, False, False])

    def stopped() -> bool:
        last = next(turns, None) is None
        if last:
            store.put_gallery("default", retention_days=None)
        return False

    assert store.retention.expire(NOON, stopped=stopped)["default"].samples_deleted == 14
    assert len(held(store, "default")) == 16
