"""Thresholds: which score means the same person, at a stated rate of false matches.

The negatives are pairs of different identities, and the false match rate is their share at or above the threshold
(ISO/IEC 19795-1: false match rate, true match rate).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.card import Calibration, Threshold

RATES = (1e-2, 1e-3, 1e-4)
USUAL_RATE = 1e-3  # of a query that names none
_RESAMPLED = 200


@dataclass(frozen=True)
class Pairs:
    """Scores of image pairs, with the two identities of each by their position among all."""

    scores: NDArray[np.float32]  # (pairs,)
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @property
    def same(self) -> NDArray[np.bool_]:
        """Which pairs show one identity."""
        return np.equal(self.first, self.second)


def pair_images(embeddings: NDArray[np.float32], identities: NDArray[np.int64], cameras: NDArray[np.int64]) -> Pairs:
    """Return every pair of images (N, D), once, but for those of one identity on one camera.

    Those are too easy. Two people on one camera are not: a query meets them, and they share their background.
    """
    _, identity = np.unique(identities, return_inverse=True)
    scores = embeddings @ embeddings.T
    first, second = np.triu_indices(len(embeddings), 1)
    kept = (cameras[first] != cameras[second]) | (identity[first] != identity[second])
    first, second = first[kept], second[kept]
    return Pairs(scores[first, second], identity[first], identity[second])


def resolved_rates(negative_pairs: int, rates: tuple[float, ...], errors: float = 1) -> tuple[float, ...]:
    """Return the rates at which so many negative pairs are expected to make at least so many errors."""
    return tuple(rate for rate in rates if rate * negative_pairs >= errors)


def decides_usually(calibration: Calibration) -> bool:
    """Tell whether a query that names no rate gets a verdict."""
    rates = [each.false_match_rate for each in calibration.thresholds]
    return min(rates) <= USUAL_RATE <= max(rates)


def calibrate_pairs(
    pairs: Pairs, rates: tuple[float, ...], *, protocol: str, identities: int, seed: int = 0
) -> Calibration:
    """Measure the thresholds for rates that the negative pairs resolve; there are pairs of either kind."""
    positive, negative = pairs.scores[pairs.same], pairs.scores[~pairs.same]
    intervals = _bootstrap(pairs, rates, np.random.default_rng(seed))
    return Calibration(
        protocol=protocol,
        identities=identities,
        positive_pairs=len(positive),
        negative_pairs=len(negative),
        equal_error_rate=equal_error_rate(positive, negative),
        thresholds=tuple(
            _threshold(positive, negative, rate, low, high)
            for rate, (low, high) in zip(rates, intervals.T, strict=True)
        ),
    )


def resample(identities: int, draws: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield how often each identity comes up `(identities,)` when as many are drawn anew."""
    for _ in range(draws):
        yield np.bincount(rng.integers(identities, size=identities), minlength=identities)


def threshold_at(negative: NDArray[np.float32], rate: float) -> float:
    """Return the least score that at most `rate` of the negatives `(n,)` reach."""
    allowed = int(rate * len(negative))
    last_refused = np.partition(negative, len(negative) - allowed - 1)[len(negative) - allowed - 1]
    return float(np.nextafter(last_refused, np.float32(np.inf)))


def equal_error_rate(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Return the error where false match and false non-match rates meet."""
    candidates = np.sort(np.concatenate([positive, negative]))
    missed = np.searchsorted(np.sort(positive), candidates, side="left") / len(positive)
    matched = 1 - np.searchsorted(np.sort(negative), candidates, side="left") / len(negative)
    nearest = int(np.argmin(np.abs(missed - matched)))
    return float((missed[nearest] + matched[nearest]) / 2)


def _threshold(
    positive: NDArray[np.float32], negative: NDArray[np.float32], rate: float, low: float, high: float
) -> Threshold:
    value = threshold_at(negative, rate)
    return Threshold(
        false_match_rate=rate,
        threshold=min(1.0, value),
        low=max(-1.0, float(low)),
        high=min(1.0, float(high)),
        true_match_rate=float((positive >= value).mean()),
    )


def _bootstrap(pairs: Pairs, rates: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the 2.5 and 97.5 percentiles `(2, rates)` of the thresholds when identities are drawn anew."""
    negative = ~pairs.same
    scores, first, second = pairs.scores[negative], pairs.first[negative], pairs.second[negative]
    order = np.argsort(-scores)
    scores, first, second = scores[order], first[order], second[order]
    identities = int(max(first.max(), second.max())) + 1
    drawn = np.empty((_RESAMPLED, len(rates)))
    for row, times in zip(drawn, resample(identities, _RESAMPLED, rng), strict=True):
        weight = np.cumsum(times[first] * times[second])
        row[:] = scores[[min(int(np.searchsorted(weight, rate * weight[-1])), len(scores) - 1) for rate in rates]]
    return np.percentile(drawn, [2.5, 97.5], axis=0)
