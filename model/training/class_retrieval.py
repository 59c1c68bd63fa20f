"""Retrieval sets, such as CUB-200-2011 and Cars196: each image asks for the others of its class.

Song, Xiang, Jegelka, Savarese. "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016:
Recall@K, and NMI and F1 of as many k-means clusters as there are classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from model.errors import DatasetError
from model.training.evaluation import CELLS, ranks_of

PROTOCOL = "all against all, the image itself left out; NMI and F1 of k-means with one cluster per class"
KS = (1, 2, 4, 8)


@dataclass(frozen=True)
class ClassRetrieval:
    """What embeddings of classes are worth, as fractions; recall is over the images that are not alone in theirs."""

    recall: dict[int, float]  # by K
    nmi: float
    f1: float
    queries: int
    skipped: int
    classes: int


def evaluate_classes(
    embeddings: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    ks: tuple[int, ...] = KS,
    seed: int = 0,
    cells: int = CELLS,
) -> ClassRetrieval:
    """Measure unit embeddings `(N, D)` of classes `(N,)`; ties by index, an image alone in its class is skipped.

    Raises `DatasetError` when no class has two images.
    """
    first = np.array(list(_first_hits(embeddings, classes, cells)))  # (N,) from 1; 0: alone
    asked = first[first > 0]
    if not len(asked):
        raise DatasetError(f"none of the {len(classes)} images has another of its class: there is nothing to retrieve")
    nmi, f1 = cluster_agreement(classes, cluster(embeddings, len(np.unique(classes)), seed))
    return ClassRetrieval(
        recall={k: float((asked <= k).mean()) for k in ks},
        nmi=nmi,
        f1=f1,
        queries=len(asked),
        skipped=len(first) - len(asked),
        classes=len(np.unique(classes)),
    )


def cluster(embeddings: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.int32]:
    """Return each embedding's cluster `(N,)` by k-means++ and Lloyd's iterations, the best of three starts."""
    found: NDArray[np.int32] = KMeans(clusters, n_init=3, random_state=seed).fit_predict(embeddings)
    return found


def cluster_agreement(classes: NDArray[np.int64], clusters: NDArray[np.int32]) -> tuple[float, float]:
    """Return NMI, normalised by the mean of both entropies, and F1 over pairs of images."""
    (_, wrongly_joined), (wrongly_parted, joined) = pair_confusion_matrix(classes, clusters)
    f1 = 2 * joined / max(2 * joined + wrongly_joined + wrongly_parted, 1)
    return float(normalized_mutual_info_score(classes, clusters)), float(f1)


def _first_hits(embeddings: NDArray[np.float32], classes: NDArray[np.int64], cells: int) -> Iterator[int]:
    block = max(1, cells // len(classes))
    for start in range(0, len(classes), block):
        for row, scores in enumerate(embeddings[start : start + block] @ embeddings.T, start=start):
            right = classes == classes[row]
            wrong = ~right
            right[row] = False
            yield next(iter(ranks_of(scores, right, wrong).tolist()), 0)
