"""Wrong labels on purpose, to see what a loss makes of them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.training.datasets.images import LabelledImages
from model.training.recipe import NoiseRecipe


def corrupt(images: LabelledImages, recipe: NoiseRecipe) -> LabelledImages:
    """Return the images with a share of wrong identities; the same seed gives the same ones.

    `symmetric`: the wrong identity is any other one. `camera`: one that the same camera sees, as people confuse them.
    `stranger`: whole identities are taken out, and each of their images is given to one that stays.
    """
    rng = np.random.default_rng(recipe.seed)
    match recipe.kind:
        case "symmetric":
            labels = _relabel(images, _drawn(images, recipe.share, rng), rng)
        case "camera":
            labels = _relabel_within_cameras(images, _drawn(images, recipe.share, rng), rng)
        case "stranger":
            labels = _relabel_strangers(images, recipe.share, rng)
    return replace(images, identities=labels)


def _drawn(images: LabelledImages, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(len(images))[: round(share * len(images))]


def _relabel(images: LabelledImages, chosen: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the chosen images any other identity."""
    names, numbers = np.unique(images.identities, return_inverse=True)
    labels = images.identities.copy()
    shift = rng.integers(1, len(names), size=len(chosen))  # never 0, so never its own
    labels[chosen] = names[(numbers[chosen] + shift) % len(names)]
    return labels


def _relabel_within_cameras(
    images: LabelledImages, chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give the chosen images another identity of their camera; one that has no other keeps its own."""
    labels = images.identities.copy()
    for camera in np.unique(images.cameras):
        seen = np.unique(images.identities[images.cameras == camera])
        for index in chosen[images.cameras[chosen] == camera].tolist():
            others = seen[seen != images.identities[index]]
            if len(others):
                labels[index] = rng.choice(others)
    return labels


def _relabel_strangers(images: LabelledImages, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Take identities out until their images make up the share, and spread those over the identities that stay."""
    names, counts = np.unique(images.identities, return_counts=True)
    order = rng.permutation(len(names))
    taken = int(np.searchsorted(np.cumsum(counts[order]), share * len(images), side="right"))
    strangers, staying = names[order[:taken]], names[order[taken:]]
    labels = images.identities.copy()
    strange = np.isin(labels, strangers)
    labels[strange] = rng.choice(staying, size=int(strange.sum()))
    return labels
