"""What is counted of queries and pictures, and the bins that it is counted in; cards and drift have the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

BINS = 32
Name: TypeAlias = Literal["score", "height", "brightness", "contrast", "sharpness"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted, and from where to where its bins go; they are of equal width."""

    name: Name
    low: float
    high: float

    def place(self, value: float) -> int:
        """Return the bin of a value; what is beyond the ends is in the outer ones."""
        return min(BINS - 1, max(0, int((value - self.low) / (self.high - self.low) * BINS)))

    def counts(self, values: Iterable[float]) -> tuple[int, ...]:
        """Return how many of the values each bin has."""
        found = [0] * BINS
        for value in values:
            found[self.place(value)] += 1
        return tuple(found)


MEASURES = (
    Measure("score", 0.0, 1.0),
    Measure("height", 0.0, 1024.0),
    Measure("brightness", 0.0, 256.0),
    Measure("contrast", 0.0, 128.0),
    Measure("sharpness", 0.0, 16.0),
)
