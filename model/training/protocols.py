"""How the queries and the gallery are made up where it is not one picture against all: multi query, single shot."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.training.evaluation import Embedded, Retrieval, rank_hits, summarise, unit_rows

MULTI_QUERY = (
    "market1501 multi query: mean of the queries of one identity and camera and of its gallery images on that camera, "
    "which its ranking drops; rectangular AP, ties by gallery index"
)
SINGLE_SHOT = "cuhk03 single gallery shot: one image per identity drawn from the other cameras, mean of {draws} draws"
DRAWS = 20


def pool_queries(query: Embedded, gallery: Embedded) -> Embedded:
    """Return one query per identity and camera: the normalised mean of all its images in both.

    Its gallery images are those that its own ranking drops, so nothing that is to be found is given away. Market-1501
    itself pools hand-drawn boxes of the same tracklets (`gt_bbox`).
    """
    labels = np.concatenate([_labels(query), _labels(gallery)])
    pairs, group = np.unique(labels, axis=0, return_inverse=True)
    asked, place = np.unique(group[: len(query)], return_inverse=True)  # (T,), (Q,)
    theirs = np.flatnonzero(np.isin(group[len(query) :], asked))
    place = np.concatenate([place, np.searchsorted(asked, group[len(query) + theirs])])
    sums = np.zeros((len(asked), query.embeddings.shape[1]))
    np.add.at(sums, place, np.concatenate([query.embeddings, gallery.embeddings[theirs]]))
    return Embedded(unit_rows(sums), *pairs[asked].T)


def evaluate_single_shot(query: Embedded, gallery: Embedded, *, draws: int = DRAWS, seed: int = 0) -> Retrieval:
    """Rank galleries of one image per identity, drawn anew `draws` times, and average (Li et al., CVPR 2014).

    The gallery of a query is drawn from the cameras that are not its own. With one right answer per ranking mAP and
    mINP are both the mean of 1 / rank. Raises `DatasetError` when no identity is seen by two cameras.
    """
    rng = np.random.default_rng(seed)
    rankings = [hits for _ in range(draws) for hits in _shoot(query, gallery, rng)]
    result = summarise(rankings, gallery=len(np.unique(gallery.identities)))
    return replace(result, queries=result.queries // draws, skipped=result.skipped // draws)


def _shoot(query: Embedded, gallery: Embedded, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    shuffled = rng.permutation(len(gallery))
    for camera in np.unique(query.cameras):
        others = shuffled[gallery.cameras[shuffled] != camera]
        _, first = np.unique(gallery.identities[others], return_index=True)
        yield from rank_hits(query.select(query.cameras == camera), gallery.select(others[first]))


def _labels(images: Embedded) -> NDArray[np.int64]:
    return np.stack([images.identities, images.cameras], axis=1)
