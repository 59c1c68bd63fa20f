import numpy as np
import pytest
from numpy.typing import NDArray

from model.calibration import equal_error_rate, threshold_at
from model.errors import DatasetError
from model.training import calibration as module
from model.training.calibration import calibrate, draw, pairs_of
from model.training.evaluation import Embedded


def people(identities: int, noise: float, seed: int = 0) -> Embedded:
    """Identities as noisy clusters, six images each on three cameras."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(identities, 16)), 6, axis=0)
    x = centres + noise * rng.normal(size=centres.shape)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, np.repeat(np.arange(identities), 6), np.tile([1, 2, 3], 2 * identities))


def slow_pairs(images: Embedded) -> tuple[list[float], list[float]]:
    positive: list[float] = []
    negative: list[float] = []
    for a in range(len(images)):
        for b in range(a):
            same = images.identities[a] == images.identities[b]
            if not same or images.cameras[a] != images.cameras[b]:
                (positive if same else negative).append(float(images.embeddings[a] @ images.embeddings[b]))
    return positive, negative


def test_threshold_gives_the_rate_it_is_named_for() -> None:
    images = people(40, noise=0.6)
    positive, negative = slow_pairs(images)
    found = calibrate(images)
    assert (found.positive_pairs, found.negative_pairs) == (len(positive), len(negative))
    for row in found.thresholds:
        above = sum(score >= row.threshold + 1e-6 for score in negative) / len(negative)  # less rounding
        assert above <= row.false_match_rate
        assert above >= row.false_match_rate - 2 / len(negative)
        assert row.true_match_rate == pytest.approx(np.mean(np.array(positive) >= row.threshold), abs=1e-3)
        assert row.low <= row.threshold <= row.high
    thresholds = [row.threshold for row in found.thresholds]
    assert thresholds == sorted(thresholds)


def test_interval_narrows_with_more_identities() -> None:
    few, many = (calibrate(people(n, noise=0.6), rates=(1e-2,)).thresholds[0] for n in (15, 80))
    assert many.high - many.low < few.high - few.low


def test_equal_error_rate_by_hand() -> None:
    def scores(*values: float) -> NDArray[np.float32]:
        return np.array(values, dtype=np.float32)

    assert equal_error_rate(scores(0.8, 0.9), scores(0.1, 0.2)) == 0
    assert equal_error_rate(scores(0.1, 0.6, 0.8, 0.9), scores(0.0, 0.2, 0.3, 0.7)) == pytest.approx(0.25)


def test_threshold_is_just_above_the_refused() -> None:
    negative = np.linspace(0, 1, 101, dtype=np.float32)
    threshold = threshold_at(negative, 0.1)
    assert (negative >= threshold).sum() == 10


def test_of_one_identity_only_pairs_across_cameras_count_and_of_two_all() -> None:
    images = people(3, noise=0.1)
    pairs, (positive, negative) = pairs_of(images), slow_pairs(images)
    assert sorted(pairs.scores[pairs.same].tolist()) == pytest.approx(sorted(positive))
    assert sorted(pairs.scores[~pairs.same].tolist()) == pytest.approx(sorted(negative))


def test_rates_that_pairs_cannot_resolve_are_left_out() -> None:
    found = calibrate(people(12, noise=0.5))  # 2,376 negative pairs
    assert [row.false_match_rate for row in found.thresholds] == [1e-2, 1e-3]
    with pytest.raises(DatasetError, match="hold out more identities"):
        calibrate(people(2, noise=0.5), rates=(1e-4,))


def test_one_camera_cannot_be_calibrated() -> None:
    images = people(4, noise=0.5)
    alone = Embedded(images.embeddings, images.identities, np.ones_like(images.cameras))
    with pytest.raises(DatasetError, match="across cameras"):
        calibrate(alone)


def test_of_very_many_images_some_are_drawn_and_the_protocol_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(40, noise=0.6)
    assert draw(images) is images
    whole = calibrate(images)
    monkeypatch.setattr(module, "MOST_IMAGES", 180)
    drawn = draw(images)
    assert len(drawn) == 180
    assert np.array_equal(drawn.embeddings, draw(images).embeddings)
    found = calibrate(images)
    assert found.positive_pairs + found.negative_pairs == len(pairs_of(drawn).scores) < 180 * 179 / 2
    assert found.protocol == f"{whole.protocol}; 180 of 240 images drawn"
    assert found.thresholds[0].threshold == pytest.approx(whole.thresholds[0].threshold, abs=0.05)
