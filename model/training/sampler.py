"""P × K batches: P identities with K images each.

Hermans, Beyer, Leibe. "In Defense of the Triplet Loss for Person Re-Identification", 2017.
"""

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError


class IdentitySampler:
    """Lay an epoch's images out as batches of P identities × K images.

    An epoch depends on nothing but the seed and its number, so a run can be taken up at any step.
    """

    def __init__(self, identities: NDArray[np.int64], *, p: int, k: int, seed: int) -> None:
        self.images_of = {name: np.flatnonzero(identities == name) for name in np.unique(identities)}
        if len(self.images_of) < p:
            raise DatasetError(
                f"expected at least {p} identities to train on for a batch, found {len(self.images_of)} beside those "
                "held out: give smaller batches by --set batch.identities=N, or hold out fewer by --set "
                "held_out_identities=N"
            )
        self.p, self.k, self.seed = p, k, seed
        self.batches_per_epoch = max(1, len(identities) // (p * k))

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Return image indices `(batches, P·K)`; an identity's images are used up before they come again."""
        rng = np.random.default_rng([self.seed, number])
        groups: dict[int, list[NDArray[np.int64]]] = {}
        batches = []
        for _ in range(self.batches_per_epoch):
            names = self._draw_identities(groups, rng)
            batches.append(np.concatenate([groups[name].pop() for name in names]))
        return np.stack(batches)

    def _draw_identities(
        self, groups: dict[int, list[NDArray[np.int64]]], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        ready = [name for name, left in groups.items() if left]
        if len(ready) < self.p:  # everything was used: deal again
            for name, images in self.images_of.items():
                groups[int(name)] = self._deal(images, rng)
            ready = list(groups)
        weights = np.array([len(groups[name]) for name in ready], dtype=np.float64)
        return rng.choice(np.array(ready), size=self.p, replace=False, p=weights / weights.sum())

    def _deal(self, images: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Cut an identity's shuffled images into groups of K; the last is filled up with images drawn again."""
        shuffled = rng.permutation(images)
        missing = -len(shuffled) % self.k
        filled = np.concatenate([shuffled, rng.choice(images, size=missing)])
        return list(filled.reshape(-1, self.k))
