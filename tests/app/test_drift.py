import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.distribution import Comparison, Distribution
from app.drift import FILE, Drift
from index.records import RankedIdentity, RankedSample, Ranking, Sample
from model.card import Card, Histogram, InputContract, OutputContract, Reference
from model.measures import MEASURES, Measure
from model.quality import Quality
from tests.tiny_model import tiny_card

SCORE, BRIGHTNESS = MEASURES[0], MEASURES[2]
QUALITY = Quality(128.0, 100.0, 40.0, 8.0)


def ranking(score: float, camera: str | None = "c1") -> Ranking:
    sample = Sample("s", "default", "p", camera, None, {}, None, "d", True, datetime.now(UTC))
    second = RankedIdentity("q", score - 0.1, (RankedSample(sample, score - 0.1),))
    best = RankedIdentity("p", score, (RankedSample(sample, score),))
    return Ranking((second, best), 2, best)


def counts(drift: Drift, gallery: str = "default") -> dict[tuple[str, str], int]:
    return {(c["camera"], m["measure"]): m["counted"] for c in drift.answer(gallery)["cameras"] for m in c["measures"]}


def test_scores_and_pictures_are_counted_by_camera(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    drift.score("default", "v@1", ranking(0.75))
    drift.score("default", "v@1", ranking(0.75, None))
    drift.score("default", "v@1", Ranking((), 0))
    drift.picture("other", "c1", QUALITY)
    assert counts(drift) == {("(none)", "score"): 1, ("c1", "score"): 1}
    assert counts(drift, "other") == {("c1", name): 1 for name in ("height", "brightness", "contrast", "sharpness")}
    [camera] = [each for each in drift.answer("default")["cameras"] if each["camera"] == "c1"]
    assert camera["measures"][0]["reference"].index(1.0) == int(0.75 * 32)
    assert counts(drift, "third") == {}


def test_cameras_and_galleries_are_bounded(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    for number in range(100):
        drift.picture("default", f"c{number}", QUALITY)
        drift.picture(f"g{number}", "c", QUALITY)
    cameras = {each.camera for each in drift.told() if each.gallery == "default"}
    assert len(cameras) == 33
    assert counts(drift)["(other)", "height"] == 68
    assert len({each.gallery for each in drift.told()}) == 64


def test_the_cameras_of_all_galleries_are_bounded(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    for gallery in range(12):
        for camera in range(32):
            drift.picture(f"g{gallery}", f"c{camera}", QUALITY)
    found = {(each.gallery, each.camera) for each in drift.told()}
    assert sum(camera != "(other)" for _, camera in found) == 256
    assert len(found) <= 256 + 12


def test_another_version_begins_the_scores_anew(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    drift.picture("default", "c1", QUALITY)
    drift.score("default", "v@1", ranking(0.5))
    drift.score("default", "v@1", ranking(0.5))
    drift.score("default", "v@2", ranking(0.5))
    assert counts(drift)["c1", "score"] == 1
    assert counts(drift)["c1", "height"] == 1
    assert drift.answer("default")["model_version"] == "v@2"


def card(version: str, *measures: Histogram) -> Card:
    made = tiny_card(version, InputContract(height=8, width=8), OutputContract(dim=8), {})
    return made.model_copy(update={"reference": Reference(protocol="held-out people", measures=measures)})


def histogram(measure: Measure, value: float, **more: object) -> Histogram:
    """Return a reference of 300 values in two bins, all but one of them where `value` is."""
    counts = measure.counts([value] * 299 + [measure.high])
    made = {"measure": measure.name, "low": measure.low, "high": measure.high, "counts": counts}
    return Histogram.model_validate(made | more)


def measured(drift: Drift, name: str) -> dict[str, Any]:
    [camera] = drift.answer("default")["cameras"]
    [found] = [each for each in camera["measures"] if each["measure"] == name]
    return dict(found)


def test_the_cards_reference_is_compared_with_where_there_is_one(tmp_path: Path) -> None:
    serving = [card("v@1", histogram(SCORE, 0.9), histogram(BRIGHTNESS, 100))]
    drift = Drift(tmp_path, "v@1", lambda: serving[0])
    for _ in range(250):
        drift.score("default", "v@1", ranking(0.5))
        drift.picture("default", "c1", QUALITY)
    assert drift.answer("default")["card_reference"] == "held-out people"
    score, brightness, contrast = (measured(drift, name) for name in ("score", "brightness", "contrast"))
    assert (score["compared_with"], score["state"], score["psi_first"]) == ("card", "far off", None)
    assert (sum(score["reference"]), sum(score["recent"])) == (300, 250)
    assert (brightness["compared_with"], brightness["state"]) == ("card", "like the reference")
    assert (contrast["compared_with"], contrast["state"]) == ("first", "unknown")
    serving[0] = card("v@2", histogram(SCORE, 0.9))  # it serves, and nobody has asked it yet
    assert measured(drift, "score")["compared_with"] == "first"
    assert measured(drift, "brightness")["compared_with"] == "first"


def test_who_counts_waits_for_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift, compared, waited = Drift(tmp_path, "v@1"), Distribution.compared, list[bool]()
    drift.picture("default", "c1", QUALITY)

    def while_somebody_counts(self: Distribution, card: Sequence[float] | None = None) -> Comparison:
        counting = threading.Thread(target=drift.picture, args=("default", "c1", QUALITY))
        counting.start()
        counting.join(10)
        waited.append(counting.is_alive())
        return compared(self, card)

    monkeypatch.setattr(Distribution, "compared", while_somebody_counts)
    assert measured(drift, "height")["counted"] == 1
    assert [each.counted.counted for each in drift.told()] == [5] * 4
    assert waited == [False] * 8
    monkeypatch.undo()
    assert measured(drift, "height")["counted"] == 9


def test_a_reference_in_other_bins_is_passed_over(tmp_path: Path) -> None:
    other = [histogram(SCORE, 0.9, high=2.0), histogram(BRIGHTNESS, 100, counts=[200, 100])]
    drift = Drift(tmp_path, "v@1", lambda: card("v@1", *other))
    drift.score("default", "v@1", ranking(0.5))
    drift.picture("default", "c1", QUALITY)
    assert measured(drift, "score")["compared_with"] == "first"
    assert measured(drift, "brightness")["compared_with"] == "first"


def test_it_survives_a_restart(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    drift.picture("default", "c1", QUALITY)
    drift.score("default", "v@1", ranking(0.5))
    drift.save()
    again, other = Drift(tmp_path, "v@1"), Drift(tmp_path, "v@2")
    again.load()
    assert again.answer("default") == drift.answer("default")
    other.load()
    assert ("c1", "score") not in counts(other)
    assert counts(other)["c1", "height"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"galleries": {"g": {"c": {"score": {}}}}}', '{"galleries": 1}'])
def test_a_damaged_file_is_told_and_passed_over(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_text(text)
    drift = Drift(tmp_path, "v@1")
    with caplog.at_level(logging.WARNING):
        drift.load()
    assert "counted anew" in caplog.text
    assert drift.answer("default")["cameras"] == []
