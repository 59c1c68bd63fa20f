"""What is done in the background: codes are learnt, space is taken back, and nobody notices but by the clock."""

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from index import learning
from index.gallery import GalleryStore
from index.records import SampleFilter
from index.vectors import IndexOptions
from tests.index.people import VERSION, crowd, enrol, open_store, sample, vector, vectors
from tests.waiting import until

EVERYTHING = SampleFilter()
CODED = IndexOptions(recall=0.9, exact_rows=300)


def filled(folder: Path, count: int = 2000, index: IndexOptions = CODED) -> GalleryStore:
    store = open_store(folder, index=index)
    enrol(store, crowd(count, identities=200, cameras=5))
    store.indexes.settle()
    return store


def identities(store: GalleryStore, seed: int, where: SampleFilter = EVERYTHING) -> list[list[str]]:
    found = store.search("default", vectors(20, seed), model_version=VERSION, where=where)
    return [[person.identity for person in answer.identities] for answer in found]


def alike(ours: list[list[str]], theirs: list[list[str]]) -> float:
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(ours, theirs, strict=True)]))


def test_a_large_gallery_is_searched_by_codes_with_the_recall_asked_for(folder: Path, tmp_path: Path) -> None:
    with filled(folder) as store, filled(tmp_path / "exact", index=IndexOptions()) as exact:
        codes = store.indexes.serving.follower.shards[1].vectors.codes
        assert codes is not None
        assert codes.setting.recall >= 0.9
        assert exact.indexes.serving.follower.shards[1].vectors.codes is None
        (how,), (plain,) = store.indexes.info(), exact.indexes.info()
        assert (how.engine, how.recall, how.candidates) == ("codes", codes.setting.recall, codes.setting.depth)
        assert (plain.engine, plain.recall, plain.candidates) == ("exact", 1.0, 2000)
        assert alike(identities(store, 5), identities(exact, 5)) >= 0.9
        for where in (SampleFilter(cameras=frozenset(["c1"])), SampleFilter(exclude_cameras=frozenset(["c1"]))):
            assert alike(identities(store, 5, where), identities(exact, 5, where)) >= 0.9
        few = SampleFilter(identity="p3")
        assert identities(store, 5, few) == identities(exact, 5, few)
        assert store.check().problems == ()


def test_codes_of_a_very_large_gallery_are_scanned_in_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.codes.DIVIDED_FROM", 1000)
    monkeypatch.setattr("index.codes.ROWS_PER_LIST", 60)
    monkeypatch.setattr("index.learning.DEPTHS", (400,))
    with filled(folder) as store, filled(tmp_path / "exact", index=IndexOptions()) as exact:
        codes = store.indexes.serving.follower.shards[1].vectors.codes
        assert codes is not None
        assert codes.divided
        assert codes.setting.part < 1
        assert codes.setting.recall >= 0.9
        late = enrol(store, [sample(5000)])
        enrol(exact, [sample(5000)])
        for where in (EVERYTHING, SampleFilter(exclude_cameras=frozenset(["c1"]))):
            assert alike(identities(store, 5, where), identities(exact, 5, where)) >= 0.85
        (answer,) = store.search("default", vector(5000)[None], model_version=VERSION)
        assert answer.identities[0].samples[0].sample.sample_id == late[0]


def test_half_the_memory_gives_the_same_answers(folder: Path, tmp_path: Path) -> None:
    half = IndexOptions(storage="float16")
    for _ in range(2):  # the second time from the snapshot
        with filled(folder, index=half) as store, filled(tmp_path / "exact", index=IndexOptions()) as exact:
            asked = vectors(20, 5)
            assert store.indexes.info()[0].bytes_per_sample == exact.indexes.info()[0].bytes_per_sample - 2 * 16
            ours, theirs = (
                [
                    [(person.identity, [item.score for item in person.samples]) for person in answer.identities]
                    for answer in each.search("default", asked, model_version=VERSION, top_k=100)
                ]
                for each in (store, exact)
            )
            assert ours == theirs
            assert store.check().problems == ()


@pytest.mark.databases
def test_what_came_and_went_since_is_in_the_codes(folder: Path) -> None:
    with filled(folder) as store:
        late = enrol(store, [sample(5000), sample(5001)])
        (answer,) = store.search("default", vector(5000)[None], model_version=VERSION)
        assert answer.identities[0].identity == "p5000"
        store.delete("default", late[0])
        (answer,) = store.search("default", vector(5000)[None], model_version=VERSION)
        assert answer.identities[0].identity != "p5000"
        assert answer.searched == 2001


@pytest.mark.databases
def test_what_was_learnt_is_kept_in_the_snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(folder) as store:
        before = identities(store, 5)
    monkeypatch.setattr(learning, "learn", lambda *_: pytest.fail("it was learnt again"))
    with open_store(folder, index=CODED) as store:
        store.indexes.settle()
        assert store.indexes.serving.follower.shards[1].vectors.codes is not None
        assert identities(store, 5) == before


def test_a_recall_that_no_code_reaches_leaves_the_search_exact(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        store = filled(folder, index=IndexOptions(recall=1.01, exact_rows=300))
    assert "so all are compared" in caplog.text
    assert store.indexes.serving.follower.shards[1].vectors.codes is None
    caplog.clear()
    enrol(store, [sample(5000)])
    store.indexes.settle()
    assert caplog.text == ""  # it is not tried again before the gallery has grown
    store.close()


def test_what_fails_unforeseen_in_the_background_is_logged_and_stops_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[bool] = []

    def broken(*_: object) -> None:
        tried.append(True)
        raise RuntimeError("a fault of FAISS")

    monkeypatch.setattr(learning, "learn", broken)
    with open_store(folder, index=CODED) as store:
        enrol(store, crowd(1000, identities=200, cameras=5))
        until(lambda: "upkeep of the index rests for 60 s" in caplog.text)
        assert "a fault of FAISS" in caplog.text
        assert len(identities(store, 5)) == 20
        keeper = store.indexes.serving.keeper
        assert keeper._thread is not None
        keeper._thread.join()
        enrol(store, [sample(1001)])
        keeper._thread.join()
        assert len(tried) == 1  # not at every change
        keeper._rests_until = 0.0
        enrol(store, [sample(1002)])
        until(lambda: len(tried) == 2)


def test_the_recall_that_is_told_is_that_of_a_slow_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.learning.DEPTHS", (20,))
    with open_store(folder, index=IndexOptions(recall=0.1, exact_rows=300)) as store:
        enrol(store, [sample(number) for number in range(600)])  # a person each
        store.indexes.settle()
        index = store.indexes.serving.follower.shards[1].vectors
        assert index.codes is not None
        embeddings = index.read(np.arange(600))
        found = 0
        for row, query in enumerate(embeddings):
            order = np.argsort(-(embeddings @ query))
            near = set(index.codes.search(query[None], 20, None, 1.0)[0].tolist())
            nearest = [other for other in order if other != row][:10]
            ours = [other for other in order if other != row and other in near][:10]
            found += len(set(nearest) & set(ours))
        assert 0.3 < found / 6000 < 0.97
        assert index.codes.setting.recall == pytest.approx(found / 6000, abs=0.05)


def test_of_settings_that_are_not_enough_the_best_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("index.learning.DEPTHS", (2, 300))
    with caplog.at_level(logging.WARNING), open_store(folder, index=IndexOptions(recall=1.01, exact_rows=300)) as store:
        enrol(store, [sample(number) for number in range(600)])
        store.indexes.settle()
    assert "codes reach a recall of 1.0 only" in caplog.text


@pytest.mark.parametrize("index", [IndexOptions(), CODED])
def test_space_is_taken_back_while_others_write(folder: Path, index: IndexOptions) -> None:
    store = open_store(folder, index=index)
    keys = enrol(store, crowd(800, identities=100, cameras=3))
    store.indexes.settle()
    stop = threading.Event()
    late: list[str] = []

    def write() -> None:
        number = 9000
        while not stop.is_set():
            late.extend(enrol(store, [sample(number)]))
            if number % 3 == 0:
                store.delete("default", late.pop(0))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    for key in keys[:400]:
        store.delete("default", key)
    stop.set()
    writer.join()
    store.indexes.settle()
    shard = store.indexes.serving.follower.shards[1]
    assert len(shard.roster) == 400 + len(late)
    assert shard.roster.dead < 400  # were it not for the compaction, each deletion had left one
    assert shard.roster.dead <= 0.25 * shard.roster.rows
    for key in (late[-1], keys[-1]):
        (answer,) = store.search(
            "default", store.embedding("default", key, model_version=VERSION)[None], model_version=VERSION
        )
        assert key in [found.sample.sample_id for found in answer.identities[0].samples]
    assert store.check().problems == ()
    store.close()
