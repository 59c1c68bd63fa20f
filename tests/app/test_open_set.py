from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app import open_set, recalibration
from app.open_set import search
from app.recalibration import Choice, measure
from index.gallery import GalleryStore
from tests.app.test_recalibration import people
from tests.index.people import enrol, open_store, sample, unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with open_store(tmp_path) as store:
        yield store


@pytest.mark.parametrize("any_camera", [False, True])
def test_strangers_and_known_people_by_plain_loops(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, any_camera: bool
) -> None:
    monkeypatch.setattr(open_set, "_BLOCK", 70)
    samples = [*people(60), sample(999, "p0", camera=None, embedding=unit(np.ones(16)))]
    enrol(store, samples)
    drawn = measure(store, Choice("default", any_camera=any_camera), store.model_version).drawn
    found = search(store, drawn, store.model_version)
    stranger, known = [], []
    for one in samples:
        if one.camera is None and not any_camera:
            continue
        others = max(float(one.embedding @ each.embedding) for each in samples if each.identity != one.identity)
        own = max(
            float(one.embedding @ each.embedding)
            for each in samples
            if each.identity == one.identity and (each is not one if any_camera else each.camera != one.camera)
        )
        stranger.append(others)
        known.append(own if own >= others else -np.inf)
    assert found.enrolled == 59
    assert sorted(found.strangers.tolist()) == pytest.approx(sorted(stranger), abs=1e-6)
    assert sorted(found.known.tolist()) == pytest.approx(sorted(known), abs=1e-6)
    assert found.let_through(0.5) == pytest.approx(np.mean(np.array(stranger) >= 0.5))

    card = found.open_set()
    assert card is not None
    assert [each.false_alarm_rate for each in card.rates] == [0.1]  # 36 strangers; of 1 % it would be 3
    with monkeypatch.context() as patch:
        patch.setattr(open_set, "_LEAST_ERRORS", 3)
        more = found.open_set()
    assert more is not None
    assert [each.false_alarm_rate for each in more.rates] == [0.1, 0.01]
    assert found.let_through(card.rates[0].threshold) == pytest.approx(0.1, abs=0.01)
    assert card.rates[0].detection_rate == pytest.approx(np.mean(np.array(known) >= card.rates[0].threshold))
    assert card.protocol.startswith(f"{len(drawn.samples)} samples of 60 identities of the gallery 'default' on 20")


def test_drawn_samples_are_searched_for_in_the_whole_gallery(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalibration, "_MOST_SAMPLES", 150)
    monkeypatch.setattr(open_set, "_LEAST_ERRORS", 20)
    ids = enrol(store, people(60))
    drawn = measure(store, Choice("default", suspects=frozenset(ids[:6])), store.model_version).drawn
    found = search(store, drawn, store.model_version)
    assert (len(found.strangers), found.enrolled) == (150, 58)  # one is left out whole
    assert found.open_set() is None  # of 150 strangers, 10 % are 15
    assert found.let_through(-1) == 1
