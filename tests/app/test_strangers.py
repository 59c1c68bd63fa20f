import time
from math import nextafter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.false_alarms import MOST_STRANGERS
from app.parameters import QueryParameters
from app.strangers import Strangers

SCORES = st.lists(st.floats(-1, 1).map(lambda score: round(score, 2)), min_size=1, max_size=60)


@settings(deadline=None)
@given(SCORES, st.floats(-1, 1))
def test_a_rate_counts_who_reaches_the_score_and_who_asks(scores: list[float], score: float) -> None:
    reached = sum(each >= score for each in scores)
    assert Strangers(tuple(sorted(scores))).rate(score) == pytest.approx((reached + 1) / (len(scores) + 1))


@settings(deadline=None)
@given(SCORES, st.integers(1, 99))
@example([place / 100 for place in range(49)], 58)  # 0.58 · 50 is a little less than 29
def test_a_threshold_is_the_lowest_that_keeps_the_rate(scores: list[float], percent: int) -> None:
    strangers = Strangers(tuple(sorted(scores)))
    threshold = strangers.threshold(percent / 100)

    def keeps(score: float) -> bool:
        reached = sum(each >= score for each in scores)
        return 100 * (reached + 1) <= percent * (len(scores) + 1)

    if threshold is None:
        assert not keeps(1.5)
        return
    assert -1 <= threshold <= 1
    assert keeps(threshold) or threshold == 1  # a stranger may have a score of 1
    assert not keeps(nextafter(threshold, -2))


def test_strangers_are_let_in_as_often_as_was_asked_for() -> None:
    """Whatever the scores' distribution, and however few were measured."""
    random = np.random.default_rng(0)
    let_in = []
    for _ in range(4000):
        *measured, stranger = random.beta(2, 5, 50).tolist()
        threshold = Strangers(tuple(sorted(measured))).threshold(0.1)
        assert threshold is not None
        let_in.append(stranger >= threshold)
    assert np.mean(let_in) == pytest.approx(0.1, abs=0.02)


def test_nobody_tells_nothing() -> None:
    assert Strangers(()).rate(0.5) is None
    assert Strangers(()).threshold(0.99) is None
    assert Strangers((0.1, 0.2, 0.3)).threshold(0.24) is None
    assert Strangers((0.1, 0.2, 0.3)).threshold(0.25) == pytest.approx(0.3)
    least = next(each.ge for each in QueryParameters.model_fields["false_alarm_rate"].metadata if hasattr(each, "ge"))
    assert Strangers((0.5,) * MOST_STRANGERS).threshold(least) == pytest.approx(0.5)
    assert Strangers((0.5,) * MOST_STRANGERS).threshold(least * 0.99) is None
    assert Strangers((0.1, 0.2, 0.3)).threshold(1 - 1e-12) == pytest.approx(0.1)


def test_it_fits_a_gallery_of_about_the_same_size_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = Strangers((), 100)
    assert [strangers.fits(each) for each in (79, 80, 120, 121)] == [False, True, True, False]
    assert Strangers((), 0).fits(0)
    assert not Strangers((), 0).fits(1)
    monkeypatch.setattr(time, "monotonic", lambda: strangers.measured + 3601)
    assert not strangers.fits(100)
