import pytest

from app.errors import InvalidParameter
from app.parameters import Decision, QueryParameters
from app.strangers import Strangers
from app.verdict import Line, among_strangers, draw_line
from tests.tiny_model import CALIBRATION


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [(0.01, 0.90), (0.001, 0.95), (0.0001, 0.99), (10**-2.5, 0.925), (10**-3.25, 0.96)],
)
def test_threshold_is_linear_in_the_logarithm_of_the_rate(rate: float, threshold: float) -> None:
    line = draw_line(CALIBRATION, Decision(false_match_rate=rate))
    assert line.threshold == pytest.approx(threshold, abs=1e-12)
    assert line.false_match_rate == rate


@pytest.mark.parametrize("rate", [0.0101, 0.00009, 0.5])
def test_rate_outside_the_card_is_refused(rate: float) -> None:
    with pytest.raises(InvalidParameter, match=r"from 0\.0001 to 0\.01") as caught:
        draw_line(CALIBRATION, Decision(false_match_rate=rate))
    assert caught.value.field == "false_match_rate"


def test_a_card_without_the_usual_rate_gives_no_verdict_to_who_asks_for_none() -> None:
    coarse = CALIBRATION.model_copy(update={"thresholds": CALIBRATION.thresholds[:1]})
    assert coarse.thresholds[0].false_match_rate == 0.01
    assert draw_line(coarse, Decision()) == Line(None, None)
    assert draw_line(coarse, Decision(false_match_rate=0.01)).threshold == 0.90
    with pytest.raises(InvalidParameter, match=r"found 0\.001"):
        draw_line(coarse, Decision(false_match_rate=0.001))


def test_own_threshold_overrides_the_rate() -> None:
    assert draw_line(CALIBRATION, Decision(threshold=0.3, false_match_rate=0.5)) == Line(0.3, None)


def test_without_calibration_only_an_own_threshold_decides() -> None:
    assert draw_line(None, Decision()) == Line(None, None)
    assert draw_line(None, Decision(threshold=0.3)) == Line(0.3, None)


@pytest.mark.parametrize(
    ("threshold", "best", "verdict"),
    [
        (0.5, 0.5, "match"),
        (0.5, 0.49, "unknown"),
        (0.5, None, "unknown"),
        (None, 0.9, "uncalibrated"),
        (None, None, "unknown"),
    ],
)
def test_verdict(threshold: float | None, best: float | None, verdict: str) -> None:
    assert Line(threshold, None).verdict(best) == verdict


def test_match_is_unknown_without_a_threshold() -> None:
    assert Line(None, None).matches(1.0) is None
    assert Line(0.5, None).matches(0.5) is True
    assert Line(0.5, None).matches(0.4) is False


STRANGERS = Strangers(tuple(place / 100 for place in range(99)))


def test_strangers_draw_the_line_where_they_are_asked_to() -> None:
    card = draw_line(CALIBRATION, QueryParameters(false_match_rate=0.01))
    line = among_strangers(card, QueryParameters(false_alarm_rate=0.1, false_match_rate=0.01), STRANGERS)
    assert line.threshold is not None
    assert line.threshold == pytest.approx(0.89)
    assert not line.matches(0.89)
    assert line.matches(0.9)
    assert line.false_match_rate is None
    assert line.false_alarm_rate(line.threshold) == pytest.approx(0.1)
    assert line.false_alarm_rate(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("strangers", [STRANGERS, None])
def test_strangers_leave_a_line_that_was_not_asked_of_them(strangers: Strangers | None) -> None:
    for asked in (QueryParameters(false_match_rate=0.01), QueryParameters(threshold=0.7, false_alarm_rate=0.1)):
        assert asked.deciding_alarm_rate is None  # so nobody waits for them
        card = draw_line(CALIBRATION, asked)
        line = among_strangers(card, asked, strangers)
        assert (line.threshold, line.false_match_rate) == (card.threshold, card.false_match_rate)
        assert line.false_alarm_rate(0.6) == (None if strangers is None else pytest.approx(0.4))


@pytest.mark.parametrize("strangers", [Strangers(()), Strangers((0.1, 0.2)), None])
def test_without_strangers_to_tell_there_is_no_line(strangers: Strangers | None) -> None:
    asked = QueryParameters(false_alarm_rate=0.1)
    assert among_strangers(draw_line(CALIBRATION, asked), asked, strangers).threshold is None
