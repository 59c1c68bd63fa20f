import numpy as np
import pytest

from app.distribution import REFERENCE, Distribution, stability
from model.measures import BINS, MEASURES

SCORE = MEASURES[0]


def counted(*parts: tuple[float, int], seed: int = 0) -> Distribution:
    """Count normal values around each mean, so many of each."""
    rng = np.random.default_rng(seed)
    found = Distribution(SCORE)
    for mean, count in parts:
        for value in rng.normal(mean, 0.1, count):
            found.add(float(value))
    return found


def test_what_stays_the_same_is_like_the_reference() -> None:
    words = [counted((0.6, 2000), seed=seed).compared().word for seed in range(50)]
    assert words.count("like the reference") >= 48


def test_what_moves_is_told() -> None:
    assert counted((0.6, 500), (0.57, 2000)).compared().word in ("like the reference", "moved")
    assert counted((0.6, 500), (0.4, 1000)).compared().word == "far off"
    assert counted((0.6, 1500), (0.4, 3000)).compared().word == "far off"  # what was before is forgotten
    assert counted((0.6, 500), (0.4, 1500), (0.6, 8000)).compared().word == "like the reference"


def test_little_is_not_judged() -> None:
    assert (counted((0.6, 699)).psi, counted((0.6, 699)).compared().word) == (None, "unknown")
    assert counted((0.6, 700)).psi is not None


def test_stability_by_hand() -> None:
    reference = np.zeros(BINS)
    recent = np.zeros(BINS)
    reference[:10], recent[:10] = 10, [20, 0, *[10] * 8]
    expected = 0.1 * np.log(0.2 / 0.1) + (0.005 - 0.1) * np.log(0.005 / 0.1)
    assert stability(reference, recent) == pytest.approx(expected)
    assert stability(reference, reference) == 0
    recent[:] = 0
    recent[20] = 100  # where the reference has nothing
    assert np.isfinite(stability(reference, recent))


@pytest.mark.parametrize("place", [3, 20])
def test_what_leaves_the_one_bin_that_held_nearly_all_is_told(place: int) -> None:
    reference, recent = np.zeros(BINS), np.zeros(BINS)
    reference[10], reference[11] = 299, 1
    recent[place] = 250
    assert stability(reference, recent) > 5


def test_a_card_is_compared_with_from_the_first_values_on() -> None:
    card = SCORE.counts(np.random.default_rng(9).normal(0.6, 0.1, 800).tolist())
    few, first = counted((0.6, 199)).compared(card), counted((0.6, 250)).compared(card)
    assert (few.with_what, few.psi, few.word) == ("card", None, "unknown")
    assert (first.word, sum(first.recent)) == ("like the reference", 250)
    assert counted((0.4, 3000)).psi == pytest.approx(0, abs=0.1)  # as it always was, and not as the card's
    assert counted((0.4, 3000)).compared(card).word == "far off"
    assert counted((0.4, 600), (0.6, 3000)).compared(card).word == "like the reference"  # the first are long ago
    assert sum(counted((0.4, 700)).compared(card).recent) == 200


def test_a_card_with_few_values_is_not_compared_with() -> None:
    found = counted((0.6, 3000))
    card = SCORE.counts([0.6] * 199)
    assert found.compared(card) == found.compared(None)
    assert found.compared(card).with_what == "first"


def test_quantiles_and_memory_are_bounded() -> None:
    found = counted((0.5, 20_000))
    assert sum(found.recent) <= 1000
    assert found.quantile(0.5) == pytest.approx(0.5, abs=0.03)
    assert found.quantile(0.1) == pytest.approx(0.37, abs=0.04)
    assert Distribution(SCORE).quantile(0.5) is None
    for value in (-5.0, 5.0):
        found.add(value)


def test_it_goes_on_from_a_file() -> None:
    whole, first = counted((0.6, 800), (0.4, 900)), counted((0.6, 800))
    again = Distribution(SCORE)
    again.restore(first.state())
    rng = np.random.default_rng(0)
    rng.normal(0.6, 0.1, 800)
    for value in rng.normal(0.4, 0.1, 900):
        again.add(float(value))
    assert again.state() == whole.state()
    assert again.psi == whole.psi
    assert sum(again.reference) == REFERENCE
    with pytest.raises(ValueError, match="expected 32 counts"):
        again.restore({"reference": [1], "recent": [1], "counted": 2})
