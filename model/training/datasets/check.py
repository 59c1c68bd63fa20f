"""What can be wrong with a data set's labels, and what to do about it."""

import logging
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from model.calibration import RATES, resolved_rates
from model.errors import DatasetError
from model.training.datasets.dataset import Count, Dataset
from model.training.datasets.images import LabelledImages, join_images

_LEAST_IDENTITIES = 2
logger = logging.getLogger(__name__)


def check_labels(dataset: Dataset) -> None:
    """Raise `DatasetError` for labels that make training or a test meaningless; tell what differs from the release."""
    if len(dataset.train):
        check_training(dataset.train, cameras=dataset.protocol != "retrieval")
    if len(dataset.query) or len(dataset.gallery):
        check_test(dataset)
    check_overlap(dataset)
    tell_counts(dataset)


def check_training(images: LabelledImages, *, cameras: bool = True) -> None:
    """Raise `DatasetError` when identities or cameras make training or its validation meaningless."""
    identities = np.unique(images.identities)
    if len(identities) < _LEAST_IDENTITIES:
        raise DatasetError(
            f"expected at least two identities in {images.name}, found {len(identities)}; add images of others"
        )
    check_cameras(images)
    crossing = count_cameras(images) > 1
    if not crossing.any():
        raise DatasetError(
            f"no identity of {images.name} is seen by two cameras: there is nothing to match across; "
            "add images by other cameras, or correct the camera ids"
            if cameras
            else f"no identity of {images.name} has two images: there is nothing to match; add images"
        )
    if cameras and not crossing.all():
        logger.warning(
            "%s: %d of %d identities are seen by one camera only, and teach nothing across cameras",
            images.name,
            (~crossing).sum(),
            len(crossing),
        )


def check_cameras(images: LabelledImages) -> None:
    """Raise `DatasetError` when all images have one camera, the classic mistake."""
    if len(np.unique(images.cameras)) == 1:
        raise DatasetError(
            f"every image of {images.name} has camera {images.cameras[0]}: the protocol drops matches on the "
            "query's own camera, so nothing could be right; give each camera an id of its own, or no picture a camera"
        )


def check_held_out(images: LabelledImages) -> None:
    """Raise `DatasetError` when no validation could measure anything; tell when no version could be made of a run."""
    _, counts = np.unique(images.identities, return_counts=True)
    if not (count_cameras(images) > 1).any():
        raise DatasetError(
            f"none of the {len(counts)} held-out identities of {images.name} is seen by two cameras, so that nothing "
            "could be measured: hold out more by --set held_out_identities=N, or others by --set seed=N"
        )
    pairs = (len(images) ** 2 - int((counts**2).sum())) // 2
    if not resolved_rates(pairs, RATES):
        logger.warning(
            "%s: %d pairs of two held-out people are too few for a threshold, so the run cannot be exported; hold out "
            "more by --set held_out_identities=N",
            images.name,
            pairs,
        )


def count_cameras(images: LabelledImages) -> NDArray[np.int64]:
    """Return how many cameras see each identity `(identities,)`, in the order of the identities."""
    pairs = np.unique(np.stack([images.identities, images.cameras], axis=1), axis=0)
    return np.unique(pairs[:, 0], return_counts=True)[1].astype(np.int64)


def check_test(dataset: Dataset) -> None:
    """Raise `DatasetError` when no query could find anything right."""
    query, gallery = dataset.query, dataset.gallery
    if not len(query) or not len(gallery):
        raise DatasetError(
            f"expected query and gallery images in {dataset.name}, found {len(query)} and {len(gallery)}; "
            "a test needs both"
        )
    check_cameras(join_images(f"the test of {dataset.name}", (query, gallery)))
    seen: dict[int, set[int]] = defaultdict(set)
    for identity, camera in zip(gallery.identities.tolist(), gallery.cameras.tolist(), strict=True):
        seen[identity].add(camera)
    asked = zip(query.identities.tolist(), query.cameras.tolist(), strict=True)
    if not any(seen[identity] - {camera} for identity, camera in asked):
        raise DatasetError(
            f"none of the {len(query)} queries of {dataset.name} has its identity on another camera of the gallery: "
            "nothing could be right; correct the identities or the camera ids"
        )


def check_overlap(dataset: Dataset) -> None:
    """Raise `DatasetError` when people of the test are trained on."""
    both = np.isin(dataset.query.identities, dataset.train.identities)
    if both.any():
        first = dataset.query.paths[int(np.argmax(both))]
        raise DatasetError(
            f"{len(np.unique(dataset.query.identities[both]))} identities of {dataset.name} are trained on and tested "
            f"with, among them that of {first}: the test would measure memory; keep each identity in one of the two"
        )


def tell_counts(dataset: Dataset) -> None:
    """Log a warning where the counts are not those of the published data set."""
    if dataset.release is None:
        return
    differing = []
    for split, expected in dataset.release.counts.items():
        images = dataset.splits[split]
        found = Count(None if expected.images is None else len(images), len(np.unique(images.identities)))
        if found != expected:
            differing.append(_difference(split, expected, found))
    if differing:
        logger.warning(
            "these are not the published pictures of %s (%s): compare no figures with others'",
            dataset.name,
            ", ".join(differing),
        )


def _difference(split: str, expected: Count, found: Count) -> str:
    if found.images != expected.images:
        return f"{found.images} {split} images instead of {expected.images}"
    return f"{found.identities} {split} identities instead of {expected.identities}"
