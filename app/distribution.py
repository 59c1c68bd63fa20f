"""One measure of one camera: how it was at first, how it is of late, and how far the two are apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.measures import BINS, Measure

REFERENCE = 500  # the first values
RECENT = 500  # values of late that count in full; older ones are halved again and again
_PARTS = 10
# PSI under 0.1 is taken for no change, over 0.25 for a large one (Siddiqi, "Credit Risk Scorecards", 2006).
MOVED, FAR = 0.1, 0.25
_LEAST = 200  # values of late, and of a card, before anything is said
Word: TypeAlias = Literal["unknown", "like the reference", "moved", "far off"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is of late beside what it is to be like: the card's reference, or what the camera was like at first."""

    with_what: Literal["card", "first"]
    reference: Sequence[float]
    recent: Sequence[float]
    psi: float | None

    @property
    def word(self) -> Word:
        """The index in words."""
        if self.psi is None:
            return "unknown"
        return "like the reference" if self.psi < MOVED else "moved" if self.psi < FAR else "far off"


class Distribution:
    """Counts in bins of equal width; what is beyond the ends is in the outer ones."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.reference = [0.0] * BINS
        self.recent = [0.0] * BINS
        self.counted = 0
        self._referred = 0
        self._total = 0.0

    def copy(self) -> "Distribution":
        """Return another one that holds the same."""
        other = Distribution(self.measure)
        other.reference, other.recent, other.counted = self.reference[:], self.recent[:], self.counted
        other._referred, other._total = self._referred, self._total
        return other

    def add(self, value: float) -> None:
        """Count a value: to the reference until that is full, and to what is of late from then on."""
        place = self.measure.place(value)
        self.counted += 1
        if self._referred < REFERENCE:
            self._referred += 1
            self.reference[place] += 1
            return
        self.recent[place] += 1
        self._total += 1
        if self._total >= 2 * RECENT:
            self.recent = [count / 2 for count in self.recent]
            self._total /= 2

    @property
    def psi(self) -> float | None:
        """The population stability index of late against what was at first; None before either has enough."""
        if self._referred < REFERENCE or self._total < _LEAST:
            return None
        return stability(np.array(self.reference), np.array(self.recent))

    def compared(self, card: Sequence[float] | None = None) -> Comparison:
        """Compare with a card's counts; without them, or with too few, with what was at first.

        Beside a card the first values count as well as long as there are few of late.
        """
        if card is None or sum(card) < _LEAST:
            return Comparison("first", self.reference, self.recent, self.psi)
        early = self._total < _LEAST
        late = [first + recent for first, recent in zip(self.reference, self.recent, strict=True)]
        found = np.array(late if early else self.recent)
        psi = None if found.sum() < _LEAST else stability(np.array(card, dtype=np.float64), found)
        return Comparison("card", card, found.tolist(), psi)

    def quantile(self, share: float) -> float | None:
        """Return about where so many of the latest values lie under, of the reference while there are none."""
        counts = np.array(self.recent if self._total else self.reference)
        if not counts.sum():
            return None
        below = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
        edges = np.linspace(self.measure.low, self.measure.high, BINS + 1)
        return float(np.interp(share, below, edges))

    def state(self) -> dict[str, Any]:
        """Return what a file keeps of it."""
        return {"reference": self.reference, "recent": self.recent, "counted": self.counted}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a file kept; raise `ValueError`, `KeyError` or `TypeError` for what is none of its states."""
        reference, recent = ([float(count) for count in state[name]] for name in ("reference", "recent"))
        if len(reference) != BINS or len(recent) != BINS or min(*reference, *recent) < 0:
            raise ValueError(f"expected {BINS} counts")
        self.reference, self.recent, self.counted = reference, recent, int(state["counted"])
        self._referred, self._total = round(sum(reference)), sum(recent)


def stability(reference: NDArray[np.float64], recent: NDArray[np.float64]) -> float:
    """Return the population stability index of two histograms (bins,), over parts of a tenth of the reference each.

    A bin is in the part that its middle value is in, so that one which holds most of the reference has those below and
    above it in parts of their own. A part that one of the two has nothing of counts as half a value, so that the index
    stays finite.
    """
    middle = (np.cumsum(reference) - reference / 2) / reference.sum()
    part = np.minimum((middle * _PARTS + 1e-9).astype(np.int64), _PARTS - 1)
    expected, found = (np.bincount(part, counts, minlength=_PARTS) for counts in (reference, recent))
    there = (expected > 0) | (found > 0)
    shares = [np.maximum(counts[there], 0.5) / counts.sum() for counts in (expected, found)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
