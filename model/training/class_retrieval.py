"""Retrieval sets, such as CUB-200-2011 and Cars196: each query asks for the gallery's images of its class.

Song, Xiang, Jegelka, Savarese. "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016:
Recall@K, and NMI and F1 of as many k-means clusters as there are classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from model.errors import DatasetError
from model.training.evaluation import CELLS, Embedded, rank_hits

PROTOCOL = "query against gallery, the image itself left out; NMI and F1 of k-means of the gallery, a cluster per class"
KS = (1, 2, 4, 8)


@dataclass(frozen=True)
class ClassRetrieval:
    """What embeddings of classes are worth, as fractions; recall is over the queries that have an image to find."""

    recall: dict[int, float]  # by K
    nmi: float
    f1: float
    queries: int
    skipped: int
    classes: int


def evaluate_classes(
    query: Embedded,
    gallery: Embedded,
    *,
    ks: tuple[int, ...] = KS,
    seed: int = 0,
    cells: int = CELLS,
) -> ClassRetrieval:
    """Measure embeddings whose identities are classes; ties by index, a query without another of its class is skipped.

    Each image has a camera of its own, which leaves it out where it is both query and gallery. Raises `DatasetError`
    when no query has another image of its class.
    """
    first = np.array([next(iter(hits.tolist()), 0) for hits in rank_hits(query, gallery, cells=cells)])  # (Q,) 0: none
    asked = first[first > 0]
    if not len(asked):
        raise DatasetError(f"none of the {len(query)} queries has another image of its class: nothing can be found")
    classes = len(np.unique(gallery.identities))
    nmi, f1 = cluster_agreement(gallery.identities, cluster(gallery.embeddings, classes, seed))
    return ClassRetrieval(
        recall={k: float((asked <= k).mean()) for k in ks},
        nmi=nmi,
        f1=f1,
        queries=len(asked),
        skipped=len(first) - len(asked),
        classes=classes,
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
