"""Thresholds of a model on images of identities that training never saw; `model.calibration` measures them."""

import numpy as np

from model.calibration import RATES, Pairs, calibrate_pairs, pair_images, resolved_rates
from model.card import Calibration
from model.errors import DatasetError
from model.training.evaluation import Embedded

MOST_IMAGES = 5000  # their 12.5 million pairs are all held, which takes 1 GB
PROTOCOL = "all pairs of held-out images, of one identity across cameras; interval: 95 % bootstrap over identities"


def calibrate(images: Embedded, *, rates: tuple[float, ...] = RATES, seed: int = 0) -> Calibration:
    """Measure the thresholds for the false match rates on images of identities that training never saw.

    A rate that the number of negative pairs cannot resolve is left out; of more than `MOST_IMAGES` some are drawn.
    Raises `DatasetError` when no pair of one identity crosses cameras, there is none of two, or when no rate is left.
    """
    drawn = draw(images)
    pairs = pairs_of(drawn)
    positive = int(pairs.same.sum())
    negative = len(pairs.scores) - positive
    if not positive or not negative:
        raise DatasetError(
            f"calibration needs pairs of one identity across cameras, and of two identities; found {positive} and "
            f"{negative} in {len(drawn)} images"
        )
    resolved = resolved_rates(negative, rates)
    if not resolved:
        raise DatasetError(f"{negative} negative pairs resolve none of the rates {rates}: hold out more identities")
    identities = len(np.unique(drawn.identities))
    protocol = PROTOCOL if len(drawn) == len(images) else f"{PROTOCOL}; {len(drawn)} of {len(images)} images drawn"
    return calibrate_pairs(pairs, resolved, protocol=protocol, identities=identities, seed=seed)


def draw(images: Embedded) -> Embedded:
    """Return the images, or of very many as many as can be paired, drawn at random and each time the same."""
    if len(images) <= MOST_IMAGES:
        return images
    return images.select(np.sort(np.random.default_rng(0).permutation(len(images))[:MOST_IMAGES]))


def pairs_of(images: Embedded) -> Pairs:
    """Return every pair of images, once, but for those of one identity on one camera."""
    return pair_images(images.embeddings, images.identities, images.cameras)
