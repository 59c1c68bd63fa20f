"""Where a score becomes a match: the active version's calibration, the gallery's strangers, or an own threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from app.errors import InvalidParameter
from app.parameters import Decision, QueryParameters
from app.strangers import Strangers
from model.card import Calibration, Threshold


@dataclass(frozen=True, slots=True)
class Line:
    """The score from which on it is a match; without one nothing is decided."""

    threshold: float | None
    false_match_rate: float | None
    strangers: Strangers | None = None  # of the gallery that is searched, where they are known

    def matches(self, score: float) -> bool | None:
        """Tell whether a score is a match, or None where that is not known."""
        return None if self.threshold is None else score >= self.threshold

    def false_alarm_rate(self, score: float) -> float | None:
        """Return which share of strangers reaches a score, or None where that is not known."""
        return None if self.strangers is None else self.strangers.rate(score)

    def verdict(self, best: float | None) -> str:
        """Return the word for a query whose best score this is; None: nothing was found."""
        if best is None:
            return "unknown"
        if self.threshold is None:
            return "uncalibrated"
        return "match" if best >= self.threshold else "unknown"


def draw_line(calibration: Calibration | None, decision: Decision) -> Line:
    """Return the caller's threshold, or the calibrated one at the caller's false match rate.

    A caller who names neither gets what the card has at the usual rate, and no verdict from a card that has nothing
    there. Raises `InvalidParameter` for a rate that was asked for and that the card does not have.
    """
    if decision.threshold is not None:
        return Line(decision.threshold, None)
    if calibration is None:
        return Line(None, None)
    try:
        threshold = interpolate(calibration.thresholds, decision.false_match_rate)
    except InvalidParameter:
        if "false_match_rate" in decision.model_fields_set:
            raise
        return Line(None, None)
    return Line(threshold, decision.false_match_rate)


def among_strangers(line: Line, asked: QueryParameters, strangers: Strangers | None) -> Line:
    """Return the line with what is known of a gallery's strangers, or the one at the caller's false alarm rate."""
    rate = asked.deciding_alarm_rate
    if rate is None:
        return replace(line, strangers=strangers)
    return Line(None if strangers is None else strangers.threshold(rate), None, strangers)


def interpolate(thresholds: Sequence[Threshold], rate: float) -> float:
    """Return the threshold at a rate that the card has, or between two of them, linear in log(rate)."""
    known = sorted(thresholds, key=lambda each: each.false_match_rate)
    least, most = known[0].false_match_rate, known[-1].false_match_rate
    if not least <= rate <= most:
        raise InvalidParameter(
            "false_match_rate",
            f"expected a rate from {least:g} to {most:g}, which the active model is calibrated for, found {rate:g}",
        )
    for low, high in pairwise(known):
        if low.false_match_rate <= rate <= high.false_match_rate:
            span = math.log(high.false_match_rate / low.false_match_rate)
            part = math.log(rate / low.false_match_rate) / span if span else 0.0
            return low.threshold + part * (high.threshold - low.threshold)
    return known[0].threshold
