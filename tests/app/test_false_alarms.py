import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import false_alarms
from app.false_alarms import FalseAlarms, measure
from app.strangers import Strangers
from index.errors import GalleryNotFound, StoreUnavailable
from index.gallery import GalleryStore
from tests.index.people import VERSION, enrol, open_store, sample
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with open_store(tmp_path) as store:
        yield store


@pytest.fixture
def alarms(store: GalleryStore) -> Iterator[FalseAlarms]:
    alarms = FalseAlarms(store)
    yield alarms
    alarms.close()


def people(store: GalleryStore, count: int, first: int = 0) -> None:
    enrol(store, [sample(each) for each in range(first, first + count)])


def test_a_gallery_is_measured_in_the_background_and_anew_when_it_has_grown(
    store: GalleryStore, alarms: FalseAlarms
) -> None:
    people(store, 25)
    assert alarms.latest("default", VERSION, 25) is None
    until(lambda: alarms.latest("default", VERSION, 25) is not None)
    first = alarms.latest("default", VERSION, 25)
    assert first is not None
    assert len(first.scores) == 25
    assert list(first.scores) == sorted(first.scores)
    assert alarms.latest("default", VERSION, 30) is first
    people(store, 10, first=25)
    assert alarms.latest("default", VERSION, 35) is first  # until there is another
    until(lambda: alarms.latest("default", VERSION, 35) is not first)
    second = alarms.latest("default", VERSION, 35)
    assert second is not None
    assert (len(second.scores), second.samples) == (35, 35)


def test_the_galleries_that_are_there_are_measured_from_the_start(store: GalleryStore) -> None:
    store.put_gallery("shop")
    people(store, 25)
    enrol(store, [sample(each) for each in range(30)], gallery="shop")
    alarms = FalseAlarms(store)
    alarms.start(VERSION)
    until(lambda: len(alarms._known) == 2)
    found = [alarms.latest(name, VERSION, 25) for name in ("default", "shop")]
    assert [each and len(each.scores) for each in found] == [25, 30]
    alarms.close()


def test_a_start_without_the_catalogue_is_told(
    store: GalleryStore, alarms: FalseAlarms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(store, "galleries", away)
    alarms.start(VERSION)
    until(lambda: "no gallery's strangers are measured yet: the database does not answer" in caplog.text)


def test_what_is_waited_for_fits_the_gallery(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)

    async def scenario() -> list[Strangers]:
        several = [alarms.measured("default", VERSION, 25) for _ in range(3)]
        one, two, three = await asyncio.gather(*several)
        people(store, 10, first=25)
        return [one, two, three, await alarms.measured("default", VERSION, 35)]

    one, two, three, grown = asyncio.run(scenario())
    assert one is two is three
    assert len(one.scores) == 25
    assert len(grown.scores) == 35
    assert measure(store, "default", VERSION, 35).scores == grown.scores


def test_who_leaves_does_not_take_the_others_measurement_along(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    go = threading.Event()
    alarms._waited_for.pool.submit(go.wait, 60)  # what waits can be taken back, what runs cannot

    async def scenario() -> Strangers:
        leaving = asyncio.create_task(alarms.measured("default", VERSION, 25))
        staying = asyncio.create_task(alarms.measured("default", VERSION, 25))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        go.set()
        return await staying

    assert len(asyncio.run(scenario()).scores) == 25


def test_who_waits_does_not_queue_behind_the_background(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    go = threading.Event()
    alarms._background.pool.submit(go.wait, 60)  # many galleries before this one
    alarms.start(VERSION)
    try:
        assert len(asyncio.run(asyncio.wait_for(alarms.measured("default", VERSION, 25), 30)).scores) == 25
    finally:
        go.set()


def test_the_background_does_not_measure_again_what_was_waited_for(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    go = threading.Event()
    alarms._background.pool.submit(go.wait, 60)
    assert alarms.latest("default", VERSION, 25) is None
    waited_for = asyncio.run(alarms.measured("default", VERSION, 25))
    go.set()
    until(lambda: not alarms._background.begun)
    assert alarms.latest("default", VERSION, 25) is waited_for


def test_what_was_begun_in_a_smaller_gallery_is_not_enough(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    go = threading.Event()
    alarms._waited_for.pool.submit(go.wait, 60)

    async def scenario() -> tuple[Strangers, Strangers]:
        before = asyncio.create_task(alarms.measured("default", VERSION, 25))
        await asyncio.sleep(0)
        people(store, 10, first=25)
        grown = asyncio.create_task(alarms.measured("default", VERSION, 35))
        await asyncio.sleep(0)
        go.set()
        return await before, await grown

    before, grown = asyncio.run(scenario())
    assert (before.samples, grown.samples) == (25, 35)


def test_what_is_measured_while_its_gallery_is_deleted_is_not_kept(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    go = threading.Event()
    alarms._background.pool.submit(go.wait, 60)
    assert alarms.latest("default", VERSION, 25) is None
    [begun] = alarms._background.begun.values()
    alarms.forget("default")
    go.set()
    assert len(begun.result().scores) == 25
    alarms._background.pool.submit(lambda: None).result()  # what ended before it is kept by now, or is not
    assert alarms.latest("default", VERSION, 25) is None


def test_too_few_people_are_measured_once(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 19)

    async def scenario() -> Strangers:
        return await alarms.measured("default", VERSION, 19)

    assert asyncio.run(scenario()).scores == ()
    assert alarms.latest("default", VERSION, 19) is asyncio.run(scenario())


def test_most_a_thousand_are_searched_for(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    people(store, 40)
    monkeypatch.setattr(false_alarms, "MOST_STRANGERS", 30)
    assert len(measure(store, "default", VERSION, 40).scores) == 30


def test_a_gallery_that_is_gone_is_told_to_who_waits(alarms: FalseAlarms) -> None:
    async def scenario() -> None:
        with pytest.raises(GalleryNotFound):
            await alarms.measured("nobody", VERSION, 5)

    asyncio.run(scenario())
    assert alarms.latest("nobody", VERSION, 5) is None
    until(lambda: not alarms._background.begun)
    assert not alarms._failed


def test_what_is_known_of_a_gallery_is_forgotten_with_it(store: GalleryStore, alarms: FalseAlarms) -> None:
    people(store, 25)
    until(lambda: alarms.latest("default", VERSION, 25) is not None)
    alarms.forget("another")
    assert alarms.latest("default", VERSION, 25) is not None
    alarms.forget("default")
    assert alarms.latest("default", VERSION, 25) is None


AWAY = StoreUnavailable("the database does not answer")


def broken(store: GalleryStore, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Let every measurement fail; return a list that grows with each."""
    asked: list[int] = []

    def fail(*_: object, **__: object) -> None:
        asked.append(1)
        raise error

    monkeypatch.setattr(store, "strangers", fail)
    return asked


@pytest.mark.parametrize(("error", "trace"), [(AWAY, False), (OSError("the disk is away"), True)])
def test_a_failure_is_logged_and_is_not_what_is_known(
    store: GalleryStore,
    alarms: FalseAlarms,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    trace: bool,
) -> None:
    monkeypatch.setattr(false_alarms, "_PAUSES", (3600.0, 3600.0))
    asked = broken(store, monkeypatch, error)
    assert alarms.latest("default", VERSION, 25) is None
    until(lambda: bool(alarms._failed))
    assert alarms.latest("default", VERSION, 25) is None
    assert len(asked) == 1
    assert not alarms._background.begun
    assert f"the strangers of gallery 'default' could not be measured, queries try again after 3600 s: {error}" in (
        caplog.text
    )
    assert ("Traceback" in caplog.text) is trace
    with pytest.raises(type(error)):  # who needs it now waits for no pause, and is told
        asyncio.run(alarms.measured("default", VERSION, 25))


def test_what_failed_is_measured_by_a_later_query(
    store: GalleryStore, alarms: FalseAlarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_alarms, "_PAUSES", (0.0, 0.0))
    people(store, 25)
    with monkeypatch.context() as patch:
        broken(store, patch, AWAY)
        assert alarms.latest("default", VERSION, 25) is None
        until(lambda: bool(alarms._failed))
    until(lambda: alarms.latest("default", VERSION, 25) is not None)
    assert not alarms._failed


def test_the_pauses_between_failures_grow_up_to_a_bound(
    store: GalleryStore, alarms: FalseAlarms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(false_alarms, "_PAUSES", (0.01, 0.03))
    broken(store, monkeypatch, AWAY)

    def four_times() -> bool:
        assert alarms.latest("default", VERSION, 25) is None
        return len(caplog.records) >= 4

    until(four_times)
    told = [each.getMessage().partition(" after ")[2].partition(" s:")[0] for each in caplog.records]
    assert told[:4] == ["0.01", "0.02", "0.03", "0.03"]


def test_the_most_galleries_that_are_kept(
    store: GalleryStore, alarms: FalseAlarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_alarms, "_KEPT", 2)
    for name in "abc":
        store.put_gallery(name)
        until(lambda name=name: alarms.latest(name, VERSION, 0) is not None)  # type: ignore[misc]
    assert [name for name in "bc" if alarms.latest(name, VERSION, 0) is not None] == ["b", "c"]
    assert alarms.latest("a", VERSION, 0) is None


def test_closing_ends_what_runs(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    people(store, 25)
    began = threading.Event()

    def endless(*_: object, **__: object) -> Iterator[list[float]]:
        while True:
            began.set()
            yield [0.5]

    monkeypatch.setattr(store, "strangers", endless)
    alarms = FalseAlarms(store)
    assert alarms.latest("default", VERSION, 25) is None
    assert began.wait(60)
    alarms.close()
