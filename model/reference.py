"""What a version's queries score and what its pictures are like, on people that training never saw."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.card import Histogram, Reference
from model.measures import MEASURES
from model.quality import Quality

PROTOCOL = "the best score of each image whose identity another camera saw, its own camera's images of it left out"
_BLOCK = 1024


def best_scores(
    embeddings: NDArray[np.float32], identities: NDArray[np.int64], cameras: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return what each image (N, D) scores as a query among the others, (M,).

    Its own camera's images of its identity are left out, and so is an image whose identity no other camera saw.
    """
    found = []
    for start in range(0, len(embeddings), _BLOCK):
        rows = slice(start, start + _BLOCK)
        same = identities[rows, None] == identities  # (n, N)
        here = cameras[rows, None] == cameras
        scores = embeddings[rows] @ embeddings.T
        scores[same & here] = -np.inf
        found.append(scores.max(axis=1)[(same & ~here).any(axis=1)])
    return np.concatenate(found)


def refer(protocol: str, scores: NDArray[np.float32], pictures: Sequence[Quality]) -> Reference | None:
    """Return the histograms of scores (M,) and pictures for a card; None where there is nothing to tell.

    A measure whose values are all in one bin is left out: a data set that was cut to one size says nothing of cameras.
    """
    values = {"score": scores.tolist(), **_by_name(pictures)}
    found = tuple(
        Histogram(measure=measure.name, low=measure.low, high=measure.high, counts=counts)
        for measure in MEASURES
        if np.count_nonzero(counts := measure.counts(values[measure.name])) > 1
    )
    return Reference(protocol=protocol, measures=found) if found else None


def _by_name(pictures: Sequence[Quality]) -> dict[str, list[float]]:
    names = ("height", "brightness", "contrast", "sharpness")
    return {name: [getattr(each, name) for each in pictures] for name in names}
