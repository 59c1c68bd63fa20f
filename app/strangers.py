"""Strangers of a gallery: which share of them is taken for somebody it knows, by the score that they reach.

The false alarm rate of DIR@FAR (Phillips, Grother, Micheals. "Evaluation Methods in Face Recognition", 2011), which is
the false positive identification rate of ISO/IEC 19795-1. It grows with the gallery, so no model's card can have it: it
is measured on the gallery itself, by `app.false_alarms`.
"""

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from math import floor, inf, nextafter

_CHANGED = 0.2  # of the samples that a measurement saw
_OLD_SECONDS = 3600.0  # what was corrected in a gallery of the same size shows after that


@dataclass(frozen=True, slots=True)
class Strangers:
    """The best score of each stranger searched for, ascending; none in a gallery with too few people to tell."""

    scores: tuple[float, ...]  # (N,)
    samples: int = 0  # that the gallery had
    measured: float = field(default_factory=time.monotonic)

    def rate(self, score: float) -> float | None:
        """Return which share of strangers reaches a score, in (0, 1]; None where it is not known.

        The one who asks is counted among them: so it is never 0, and one stranger in a hundred gets 0.01 or less
        (Vovk, Gammerman, Shafer. "Algorithmic Learning in a Random World", 2005, chapter 2).
        """
        if not self.scores:
            return None
        reached = len(self.scores) - bisect_left(self.scores, score)
        return (reached + 1) / (len(self.scores) + 1)

    def threshold(self, rate: float) -> float | None:
        """Return the lowest score that at most such a share of strangers reaches; None where so few cannot tell."""
        reach = floor(rate * (len(self.scores) + 1) + 1e-9) - 1  # so many of the measured may
        reach = min(reach, len(self.scores) - 1)
        if reach < 0:
            return None
        return min(1.0, nextafter(self.scores[-1 - reach], inf))

    def fits(self, samples: int) -> bool:
        """Tell whether the gallery is still about as large, and this is not too long ago."""
        return (
            abs(samples - self.samples) <= _CHANGED * self.samples and time.monotonic() < self.measured + _OLD_SECONDS
        )
