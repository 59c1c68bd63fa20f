import numpy as np
import pytest

from model.training.evaluation import Embedded
from model.training.open_set import best_scores, divide, measure_open_set


def people(identities: int, noise: float, *, images: int = 6, seed: int = 0) -> Embedded:
    """Identities as noisy clusters on three cameras, in no order."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.repeat(np.arange(identities), images))
    x = rng.normal(size=(identities, 16))[names] + noise * rng.normal(size=(len(names), 16))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, names * 7 + 3, rng.integers(1, 4, size=len(names)))


def slow_rates(images: Embedded, enrolled: set[int], rate: float) -> tuple[float, float]:
    """False alarm and detection rate by plain loops, at the least threshold that keeps the first within `rate`."""
    strangers: list[float] = []
    known: list[tuple[float, bool]] = []
    for p in range(len(images)):
        best: dict[int, float] = {}
        identity = int(images.identities[p])
        for g in range(len(images)):
            other = int(images.identities[g])
            if other in enrolled and not (other == identity and images.cameras[g] == images.cameras[p]):
                best[other] = max(best.get(other, -2.0), float(images.embeddings[g] @ images.embeddings[p]))
        first = max(best, key=lambda name: best[name])
        if identity not in enrolled:
            strangers.append(best[first])
        elif identity in best:
            known.append((best[first], first == identity))
    allowed = int(rate * len(strangers))
    threshold = sorted(strangers, reverse=True)[allowed]  # must be exceeded
    return threshold, sum(right and score > threshold for score, right in known) / len(known)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0.3, 0.1, 0.02])
def test_a_division_equals_plain_loops(seed: int, rate: float) -> None:
    images = people(14, noise=0.8, seed=seed)
    chosen = np.random.default_rng(seed).permutation(14)[:7]
    best, own = best_scores(images, cells=500)
    division = divide(best, own, chosen)
    threshold, detected = division.at(rate)
    expected, share = slow_rates(images, {int(each) * 7 + 3 for each in chosen}, rate)
    assert threshold == pytest.approx(expected, abs=1e-6)
    assert detected == pytest.approx(share)
    assert (division.unmated >= threshold).mean() <= rate
    assert 0 < detected < 1


def test_a_probe_that_only_its_own_camera_saw_is_not_mated() -> None:
    images = Embedded(
        np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2]], np.array([1, 1, 2, 3, 3]), np.array([1, 1, 1, 1, 2])
    )
    division = divide(*best_scores(images), np.array([0, 2]))  # identities 1, on one camera, and 3, on two
    assert division.unmated.tolist() == [0]
    assert division.mated.tolist() == [1, 1]


def test_a_wrong_identity_at_a_high_score_is_not_found() -> None:
    images = Embedded(np.eye(3, dtype=np.float32)[[0, 1, 0, 2]], np.array([1, 1, 2, 3]), np.array([1, 2, 1, 1]))
    division = divide(*best_scores(images), np.array([0, 1]))
    assert division.mated.tolist() == [-np.inf, 0]  # the first looks like identity 2; the second scores 0 with all


def test_noise_costs_detections_and_the_measure_repeats_itself() -> None:
    clear, noisy = (measure_open_set(people(40, noise=noise)) for noise in (0.2, 1.0))
    assert clear is not None
    assert noisy is not None
    assert [row.false_alarm_rate for row in clear.rates] == [0.1, 0.01]  # 120 strangers' probes cannot resolve 1e-3
    assert (clear.enrolled, clear.divisions, clear.unmated_probes) == (20, 20, 120)
    assert clear.rates[0].detection_rate > 0.99
    assert noisy.rates[0].detection_rate < 0.7
    assert noisy.rates[1].detection_rate < noisy.rates[0].detection_rate
    assert noisy.rates[1].threshold > noisy.rates[0].threshold
    assert noisy.rates[0].deviation > 0
    assert noisy == measure_open_set(people(40, noise=1.0))
    assert noisy != measure_open_set(people(40, noise=1.0), seed=1)


def test_the_rate_is_the_mean_over_the_divisions() -> None:
    images = people(12, noise=0.8)
    best, own = best_scores(images)
    rng = np.random.default_rng(5)
    found = [divide(best, own, rng.permutation(12)[:6]).at(0.1) for _ in range(3)]
    measured = measure_open_set(images, divisions=3, seed=5)
    assert measured is not None
    assert measured.rates[0].threshold == pytest.approx(np.mean([threshold for threshold, _ in found]))
    assert measured.rates[0].detection_rate == pytest.approx(np.mean([rate for _, rate in found]))
    assert measured.rates[0].deviation == pytest.approx(np.std([rate for _, rate in found]))


def test_what_cannot_be_measured_is_left_out() -> None:
    images = people(6, noise=0.2)
    assert measure_open_set(images.select(images.identities == 3)) is None  # one identity
    assert measure_open_set(images, rates=(1e-3,)) is None
    assert measure_open_set(Embedded(images.embeddings, images.identities, np.ones_like(images.cameras))) is None
