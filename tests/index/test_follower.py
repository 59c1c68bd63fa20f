"""Readers and writers at once: every answer is one moment of the catalogue."""

import random
import threading
import time

import pytest
from sqlalchemy import Connection

from index.follower import Follower, SharedLock
from index.gallery import GalleryStore
from index.records import SampleFilter
from tests.index.people import VERSION, enrol, sample, unit, vector


def test_readers_share_and_a_writer_is_alone() -> None:
    lock = SharedLock()
    inside: list[str] = []
    seen: list[tuple[str, ...]] = []

    def read() -> None:
        with lock.reading():
            inside.append("r")
            time.sleep(0.001)
            seen.append(tuple(inside))
            inside.remove("r")

    def write() -> None:
        with lock.writing():
            inside.append("w")
            time.sleep(0.001)
            seen.append(tuple(inside))
            inside.remove("w")

    threads = [threading.Thread(target=read if number % 4 else write) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert all("w" not in state or state == ("w",) for state in seen)


def test_a_waiting_writer_goes_before_new_readers() -> None:
    lock, order = SharedLock(), []
    first = threading.Event()

    def write() -> None:
        with lock.writing():
            order.append("writer")

    def read() -> None:
        with lock.reading():
            order.append("reader")

    with lock.reading():
        writer = threading.Thread(target=write)
        writer.start()
        while not lock._writers_waiting:
            first.wait(0.001)
        reader = threading.Thread(target=read)
        reader.start()
        first.wait(0.02)
        assert order == []
    writer.join()
    reader.join()
    assert order == ["writer", "reader"]


@pytest.mark.databases
def test_every_answer_is_one_moment(store: GalleryStore) -> None:
    """One sample wanders between two people and two cameras; no answer may mix two of its states."""
    one, other = unit([1.0] + [0.1] * 15), unit([1.0] + [0.2] * 15)
    (key,) = enrol(store, [sample(1, "a", camera="c-a", attributes={"at": "a"}, embedding=one)])
    enrol(store, [sample(2, "a", camera="x", embedding=other), sample(3, "b", camera="x", embedding=other)])
    stop = threading.Event()
    wrong: list[object] = []
    answers = 0

    def ask() -> None:
        nonlocal answers
        while not stop.is_set():
            place = random.choice("ab")
            where = random.choice([SampleFilter(), SampleFilter(attributes={"at": place})])
            (answer,) = store.search("default", one[None], model_version=VERSION, where=where, samples_per_identity=9)
            shown = {
                item.sample.sample_id: (person.identity, item.sample)
                for person in answer.identities
                for item in person.samples
            }
            if where.attributes:
                good = answer.searched == len(shown) <= 1 and all(person == place for person, _ in shown.values())
            else:
                person, held = shown[key]
                good = len(shown) == 3 and held.camera == f"c-{person}" and held.attributes == {"at": person}
            if not good:
                wrong.append(answer)
            answers += 1

    readers = [threading.Thread(target=ask) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(40):
        place = "ba"[step % 2]
        store.update("default", key, {"identity": place, "camera": f"c-{place}", "attributes": {"at": place}})
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert answers > 3


@pytest.mark.databases
def test_a_query_that_is_overtaken_by_a_writer_starts_again(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(1)])
    catch_up = Follower.catch_up

    def overtaken(self: Follower, connection: Connection, last: int) -> None:
        catch_up(self, connection, last)
        monkeypatch.undo()
        writer = threading.Thread(target=lambda: enrol(store, [sample(2)]))
        writer.start()
        writer.join()

    monkeypatch.setattr(Follower, "catch_up", overtaken)
    (answer,) = store.search("default", vector(2)[None], model_version=VERSION)
    assert [person.identity for person in answer.identities] == ["p2", "p1"]


@pytest.mark.databases
@pytest.mark.parametrize("batch", [1, 20])
def test_readers_see_whole_batches(store: GalleryStore, batch: int) -> None:
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            (answer,) = store.search("default", vector(0)[None], model_version=VERSION)
            if answer.searched % batch:
                wrong.append(answer.searched)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    for step in range(10):
        enrol(store, [sample(step * batch + number) for number in range(batch)])
        assert store.search("default", vector(0)[None], model_version=VERSION)[0].searched == (step + 1) * batch
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
