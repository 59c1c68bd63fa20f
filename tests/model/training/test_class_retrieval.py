import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DatasetError
from model.training.class_retrieval import cluster_agreement, evaluate_classes
from model.training.evaluation import Embedded


def embedded(x: NDArray[np.float32], classes: NDArray[np.int64], first: int = 0) -> Embedded:
    """Give each image a camera of its own, numbered from `first`."""
    return Embedded(x, classes, np.arange(first, first + len(x)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cells", [1, 200, 2**24])
def test_recall_equals_a_plain_sort(seed: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(50, 3)).astype(np.float32)  # few values: many ties
    classes = rng.integers(8, size=50)
    classes[17] = 99  # alone
    images = embedded(x, classes)
    result = evaluate_classes(images, images, cells=cells)
    found: Counter[int] = Counter()
    for q in range(50):
        ranked = sorted((g for g in range(50) if g != q), key=lambda g: (-(x[g] @ x[q]), g))
        for k in (1, 2, 4, 8):
            found[k] += any(classes[g] == classes[q] for g in ranked[:k])
    assert result.recall == pytest.approx({k: found[k] / 49 for k in (1, 2, 4, 8)})
    assert (result.queries, result.skipped, result.classes) == (49, 1, len(set(classes.tolist())))


def test_queries_that_are_not_in_the_gallery_find_what_is() -> None:
    rng = np.random.default_rng(0)
    x, classes = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(6, size=60)
    query, gallery = embedded(x[:7], classes[:7]), embedded(x[7:], classes[7:], first=7)
    result = evaluate_classes(query, gallery)
    nearest = [max(range(7, 60), key=lambda g: x[g] @ x[q]) for q in range(7)]
    assert result.recall[1] == pytest.approx(np.mean([classes[g] == classes[q] for q, g in enumerate(nearest)]))
    assert (result.queries, result.classes) == (7, 6)


def entropy(labels: list[object]) -> float:
    return -sum(n / len(labels) * math.log(n / len(labels)) for n in Counter(labels).values())


@pytest.mark.parametrize("seed", range(5))
def test_agreement_equals_plain_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(5, size=60)
    clusters = np.where(rng.random(60) < 0.6, classes, rng.integers(4, size=60)).astype(np.int32)
    nmi, f1 = cluster_agreement(classes, clusters)
    both: list[object] = list(zip(classes.tolist(), clusters.tolist(), strict=True))
    by_class, by_cluster = entropy(classes.tolist()), entropy(clusters.tolist())
    assert nmi == pytest.approx(2 * (by_class + by_cluster - entropy(both)) / (by_class + by_cluster))
    pairs = [(classes[a] == classes[b], clusters[a] == clusters[b]) for a, b in combinations(range(60), 2)]
    together = sum(bool(same and joined) for same, joined in pairs)
    precision = together / sum(bool(joined) for _, joined in pairs)
    recall = together / sum(bool(same) for same, _ in pairs)
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_separate_classes_are_found_whole_and_mixed_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 12)
    centres = rng.normal(size=(10, 32))[classes]
    for noise, least, most in ((0.05, 0.999, 1), (20, 0, 0.5)):
        x = centres + noise * rng.normal(size=centres.shape)
        images = embedded((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), classes)
        result = evaluate_classes(images, images)
        for figure in (result.recall[1], result.nmi, result.f1):
            assert least <= figure <= most


def test_clusters_repeat_themselves() -> None:
    rng = np.random.default_rng(0)
    images = embedded(rng.normal(size=(90, 8)).astype(np.float32), rng.integers(9, size=90))
    assert evaluate_classes(images, images) == evaluate_classes(images, images)


def test_classes_of_one_image_are_refused() -> None:
    images = embedded(np.eye(3, dtype=np.float32), np.arange(3))
    with pytest.raises(DatasetError, match="none of the 3 queries"):
        evaluate_classes(images, images)
