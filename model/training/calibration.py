"""Thresholds of a model on images of identities that training never saw; `model.calibration` measures them."""

import numpy as np

from model.calibration import RATES, Pairs, calibrate_pairs, pair_images, resolved_rates
from model.card import Calibration
from model.errors import DatasetError
from model.training.evaluation import Embedded

PROTOCOL = "all pairs of held-out images, of one identity across cameras; interval: 95 % bootstrap over identities"


def calibrate(images: Embedded, *, rates: tuple[float, ...] = RATES, seed: int = 0) -> Calibration:
    """Measure the thresholds for the false match rates on images of identities that training never saw.

    A rate that the number of negative pairs cannot resolve is left out. Raises `DatasetError` when no pair of one
    identity crosses cameras, there is none of two, or when no rate is left.
    """
    pairs = pairs_of(images)
    positive = int(pairs.same.sum())
    negative = len(pairs.scores) - positive
    if not positive or not negative:
        raise DatasetError(
            f"calibration needs pairs of one identity across cameras, and of two identities; found {positive} and "
            f"{negative} in {len(images)} images"
        )
    resolved = resolved_rates(negative, rates)
    if not resolved:
        raise DatasetError(f"{negative} negative pairs resolve none of the rates {rates}: hold out more identities")
    identities = len(np.unique(images.identities))
    return calibrate_pairs(pairs, resolved, protocol=PROTOCOL, identities=identities, seed=seed)


def pairs_of(images: Embedded) -> Pairs:
    """Return every pair of images, once, but for those of one identity on one camera."""
    return pair_images(images.embeddings, images.identities, images.cameras)
