"""Open-set identification: how many known people a gallery finds, and how many strangers it takes for one of them.

Detection and identification rate at a false alarm rate, DIR@FAR: Grother and Ngan, NIST IR 8009; a probe is found when
its identity comes first with a score at or above the threshold that the false alarm rate gives.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.calibration import threshold_at
from model.card import Identification, OpenSet
from model.training.evaluation import CELLS, Embedded

RATES = (1e-1, 1e-2, 1e-3)
DIVISIONS = 20
PROTOCOL = (
    "half of the held-out identities enrolled with all their images, each image a probe scored by the best of each "
    "identity, its own identity's on its own camera dropped; rank 1"
)


@dataclass(frozen=True)
class Division:
    """The best scores when some identities are enrolled: what strangers reach, and what known people do."""

    unmated: NDArray[np.float32]  # (u,) the best score of each probe of a stranger
    mated: NDArray[np.float32]  # (m,) the score of each probe whose own identity came first; -inf where it did not

    def at(self, rate: float) -> tuple[float, float]:
        """Return the threshold that gives the false alarm rate, and the detection rate at it."""
        threshold = threshold_at(self.unmated, rate)
        return threshold, float((self.mated >= threshold).mean())


def measure_open_set(
    images: Embedded, *, rates: tuple[float, ...] = RATES, divisions: int = DIVISIONS, seed: int = 0
) -> OpenSet | None:
    """Measure DIR@FAR over random halves of the identities, of images that training never saw.

    A rate that the number of unmated probes cannot resolve is left out; None when that leaves none, or when no
    enrolled identity is seen by two cameras.
    """
    best, own = best_scores(images)
    rng = np.random.default_rng(seed)
    enrolled = best.shape[1] // 2
    made = [divide(best, own, rng.permutation(best.shape[1])[:enrolled]) for _ in range(divisions if enrolled else 0)]
    resolved = [rate for rate in rates if made and all(rate * len(each.unmated) >= 1 for each in made)]
    if not resolved or not all(len(each.mated) for each in made):
        return None
    return OpenSet(
        protocol=PROTOCOL,
        divisions=divisions,
        enrolled=enrolled,
        mated_probes=float(np.mean([len(each.mated) for each in made])),
        unmated_probes=float(np.mean([len(each.unmated) for each in made])),
        rates=tuple(_identification(made, rate) for rate in resolved),
    )


def best_scores(images: Embedded, *, cells: int = CELLS) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return each image's best score with each identity `(N, I)`, and which of these is its own `(N,)`.

    Images of its own identity on its own camera are dropped; -inf where that leaves none.
    """
    _, own = np.unique(images.identities, return_inverse=True)
    order = np.argsort(own, kind="stable")
    sorted_images = images.select(order)
    starts = np.searchsorted(own[order], np.arange(own.max() + 1))
    block = max(1, cells // len(images))
    best = []
    for start in range(0, len(images), block):
        part = images.select(np.arange(start, min(start + block, len(images))))
        scores = part.embeddings @ sorted_images.embeddings.T
        same = part.identities[:, None] == sorted_images.identities
        scores[same & (part.cameras[:, None] == sorted_images.cameras)] = -np.inf
        best.append(np.maximum.reduceat(scores, starts, axis=1))
    return np.concatenate(best), own


def divide(best: NDArray[np.float32], own: NDArray[np.intp], enrolled: NDArray[np.intp]) -> Division:
    """Enrol some of the identities and return what probes of these and of the others score.

    A probe of an enrolled identity that no other camera saw is left out.
    """
    known = np.isin(own, enrolled)
    top = best[:, enrolled].max(axis=1)
    mine = best[np.arange(len(own)), own]
    mated = known & (mine > -np.inf)
    return Division(top[~known], np.where(mine >= top, mine, -np.inf)[mated])


def _identification(made: list[Division], rate: float) -> Identification:
    thresholds, detected = np.transpose([each.at(rate) for each in made])
    return Identification(
        false_alarm_rate=rate,
        threshold=float(np.clip(thresholds.mean(), -1, 1)),
        detection_rate=float(detected.mean()),
        deviation=float(detected.std()),
    )
