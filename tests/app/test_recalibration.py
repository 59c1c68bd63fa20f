import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import recalibration
from app.errors import CalibrationRefused
from app.recalibration import Choice, Shortfall, measure, measure_reference, register
from index.errors import GalleryNotFound
from index.gallery import GalleryStore
from index.records import NewSample
from model.card import InputContract
from model.reference import refer
from model.registry import Registry
from tests.app.parts import VERSION, person, write_version
from tests.index.people import enrol, open_store, sample, unit


def people(count: int, *, cameras: int = 3, each: int = 6, seed: int = 0) -> list[NewSample]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, 16))
    return [
        sample(
            number,
            f"p{number // each}",
            camera=f"c{number % cameras}" if cameras else None,
            embedding=unit(centres[number // each] + 0.5 * rng.standard_normal(16)),
        )
        for number in range(count * each)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with open_store(tmp_path) as store:
        yield store


def test_thresholds_by_plain_loops(store: GalleryStore) -> None:
    samples = people(40)
    enrol(store, samples)
    found = measure(store, Choice("default"), store.model_version)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for place, one in enumerate(samples):
        for other in samples[:place]:
            same = one.identity == other.identity
            if not same or one.camera != other.camera:
                scores[same].append(float(one.embedding @ other.embedding))
    calibration = found.calibration
    assert (calibration.positive_pairs, calibration.negative_pairs) == (len(scores[True]), len(scores[False]))
    assert [each.false_match_rate for each in calibration.thresholds] == [1e-2]
    [threshold] = calibration.thresholds
    assert np.mean(np.array(scores[False]) >= threshold.threshold) == pytest.approx(1e-2, abs=1e-3)
    assert threshold.true_match_rate == pytest.approx(np.mean(np.array(scores[True]) >= threshold.threshold), abs=1e-3)
    assert threshold.low <= threshold.threshold <= threshold.high
    negative = len(scores[False])
    assert found.missing == (Shortfall(1e-3, negative, 30_000), Shortfall(1e-4, negative, 300_000))
    assert calibration.protocol.startswith("all pairs of 240 samples of 40 identities of the gallery 'default' on 20")


def test_suspects_do_not_count(store: GalleryStore) -> None:
    ids = enrol(store, people(40))
    wrong = ids[::24]
    for place, sample_id in enumerate(wrong):
        store.update("default", sample_id, {"identity": f"p{(4 * place + 9) % 40}"})
    spoilt, mended = (
        measure(store, Choice("default", suspects=frozenset(left)), store.model_version) for left in ([], wrong)
    )
    assert mended.samples == spoilt.samples - len(wrong)
    assert mended.suspects == len(wrong)
    assert f"{len(wrong)} suspected labels left out" in mended.calibration.protocol
    assert mended.calibration.thresholds[0].true_match_rate > spoilt.calibration.thresholds[0].true_match_rate


def test_a_large_gallery_is_drawn_from(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalibration, "_MOST_SAMPLES", 150)
    monkeypatch.setattr(recalibration, "_MOST_EACH", 5)
    enrol(store, people(60))
    first, again = (measure(store, Choice("default", seed=1), store.model_version) for _ in range(2))
    assert first == again
    assert (first.samples, first.calibration.identities) == (150, 30)
    assert measure(store, Choice("default", seed=2), store.model_version).calibration != first.calibration


def test_too_few_people_or_pairs_are_refused(store: GalleryStore) -> None:
    with pytest.raises(GalleryNotFound):
        measure(store, Choice("none"), store.model_version)
    enrol(store, people(19))
    with pytest.raises(CalibrationRefused, match=r"expected 20 identities or more in gallery 'default', found 19"):
        measure(store, Choice("default"), store.model_version)
    store.put_gallery("alone")
    enrol(store, people(30, cameras=1), "alone")
    with pytest.raises(CalibrationRefused, match=r"expected 30 pairs of one person across cameras.* found 0 and 15660"):
        measure(store, Choice("alone"), store.model_version)
    assert measure(store, Choice("alone", any_camera=True), store.model_version).calibration.protocol.startswith(
        "all pairs of 180 samples"
    )
    store.put_gallery("blind")
    enrol(store, people(30, cameras=0), "blind")
    with pytest.raises(CalibrationRefused, match=r"found 0, and 180 samples without a camera, which --any-camera"):
        measure(store, Choice("blind"), store.model_version)


def test_the_reference_is_what_the_gallery_is_like(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalibration, "_MOST_PICTURES", 100)
    pictures = {number: person(number % 5, view=number) for number in range(180)}
    samples = [replace(each, picture=pictures[number]) for number, each in enumerate(people(30))]
    samples[7] = replace(samples[7], picture=b"no picture")
    enrol(store, samples)
    drawn = measure(store, Choice("default"), store.model_version).drawn
    found = measure_reference(store, drawn, InputContract(height=64, width=32))
    assert found is not None
    counted = {each.measure: sum(each.counts) for each in found.measures}
    broken = hashlib.sha256(b"no picture").hexdigest() in [each.digest for each in drawn.samples[:100]]
    assert counted == {"score": 180, **dict.fromkeys(("brightness", "contrast", "sharpness"), 100 - broken)}
    assert found.protocol.startswith("180 samples of 30 identities of the gallery 'default' on 20")


def test_a_gallery_without_pictures_has_a_reference_of_scores_alone(store: GalleryStore) -> None:
    store.put_gallery("bare", store_images=False)
    enrol(store, people(30), "bare")
    drawn = measure(store, Choice("bare"), store.model_version).drawn
    found = measure_reference(store, drawn, InputContract(height=64, width=32))
    assert found is not None
    assert [each.measure for each in found.measures] == ["score"]


def test_the_new_version_is_the_same_model_with_another_calibration(store: GalleryStore, tmp_path: Path) -> None:
    write_version(tmp_path / "models")
    registry = Registry(tmp_path / "models")
    enrol(store, people(30))
    calibration = measure(store, Choice("default"), store.model_version).calibration
    reference = refer("made up", np.array([0.2, 0.8], np.float32), [])
    register(registry, VERSION, "tiny@2", calibration, reference)
    old, new = registry.card(VERSION), registry.card("tiny@2")
    assert (new.calibration, new.reference) == (calibration, reference)
    changed = {"version", "created", "calibration", "reference", "open_set"}
    assert new.model_dump(exclude=changed) == old.model_dump(exclude=changed)
    assert registry.file("tiny@2").read_bytes() == registry.file(VERSION).read_bytes()
    assert registry.open("tiny@2", threads=1).version == "tiny@2"
    with pytest.raises(CalibrationRefused, match="tiny@2, which is registered"):
        register(registry, VERSION, "tiny@2", calibration)
    with pytest.raises(CalibrationRefused, match="expected a new version such as mine@2"):
        register(registry, VERSION, "../x@1", calibration)
