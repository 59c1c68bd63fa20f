import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.drift import FILE, Drift
from app.quality import Quality
from index.records import RankedIdentity, RankedSample, Ranking, Sample

QUALITY = Quality(128.0, 100.0, 40.0, 8.0)


def ranking(score: float, camera: str | None = "c1") -> Ranking:
    sample = Sample("s", "default", "p", camera, None, {}, None, "d", True, datetime.now(UTC))
    second = RankedIdentity("q", score - 0.1, (RankedSample(sample, score - 0.1),))
    return Ranking((second, RankedIdentity("p", score, (RankedSample(sample, score),))), 2)


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
    cameras = {camera for gallery, camera, _ in drift.told() if gallery == "default"}
    assert len(cameras) == 33
    assert counts(drift)["(other)", "height"] == 68
    assert len({gallery for gallery, _, _ in drift.told()}) == 64


def test_the_cameras_of_all_galleries_are_bounded(tmp_path: Path) -> None:
    drift = Drift(tmp_path, "v@1")
    for gallery in range(12):
        for camera in range(32):
            drift.picture(f"g{gallery}", f"c{camera}", QUALITY)
    found = {(gallery, camera) for gallery, camera, _ in drift.told()}
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
