"""Thresholds of a model on images of identities that training never saw; `model.calibration` measures them."""

import numpy as np

from model.calibration import RATES, Pairs, calibrate_pairs, pairs_across, resolved_rates
from model.card import Calibration
from model.errors import DatasetError
from model.training.evaluation import Embedded

PROTOCOL = "all pairs of held-out images across cameras; interval: 95 % bootstrap over identities"


def calibrate(images: Embedded, *, rates: tuple[float, ...] = RATES, seed: int = 0) -> Calibration:
    """Measure the thresholds for the false match rates on images of identities that training never saw.

    A rate that the number of negative pairs cannot resolve is left out. Raises `DatasetError` when no pair of one
    identity, or none of two, crosses cameras, or when no rate is left.
    """
    pairs = cross_camera_pairs(images)
    positive = int(pairs.same.sum())
    negative = len(pairs.scores) - positive
    if not positive or not negative:
        raise DatasetError(
            f"calibration needs pairs across cameras of one identity and of two; found {positive} and "
            f"{negative} in {len(images)} images"
        )
    resolved = resolved_rates(negative, rates)
    if not resolved:
        raise DatasetError(f"{negative} negative pairs resolve none of the rates {rates}: hold out more identities")
    identities = len(np.unique(images.identities))
    return calibrate_pairs(pairs, resolved, protocol=PROTOCOL, identities=identities, seed=seed)


def cross_camera_pairs(images: Embedded) -> Pairs:
    """Return every pair of images on two different cameras, once."""
    return pairs_across(images.embeddings, images.identities, images.cameras)
