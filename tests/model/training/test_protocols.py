import numpy as np
import pytest

from model.errors import DatasetError
from model.training.evaluation import Embedded, evaluate_retrieval
from model.training.protocols import evaluate_single_shot, pool_queries


def people(count: int, seed: int, identities: int = 12, cameras: int = 3) -> Embedded:
    rng = np.random.default_rng(seed)
    names = rng.integers(identities, size=count)
    x = np.random.default_rng(0).normal(size=(identities, 8))[names] + 0.9 * rng.normal(size=(count, 8))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, names, rng.integers(1, cameras + 1, size=count))


def test_a_pooled_query_is_the_mean_of_what_its_ranking_drops() -> None:
    query, gallery = people(40, seed=1), people(200, seed=2)
    pooled = pool_queries(query, gallery)
    pairs = sorted({(int(i), int(c)) for i, c in zip(query.identities, query.cameras, strict=True)})
    assert list(zip(pooled.identities.tolist(), pooled.cameras.tolist(), strict=True)) == pairs
    for row, (identity, camera) in zip(pooled.embeddings, pairs, strict=True):
        parts = [
            images.embeddings[i]
            for images in (query, gallery)
            for i in range(len(images))
            if (images.identities[i], images.cameras[i]) == (identity, camera)
        ]
        mean = np.mean(np.array(parts, dtype=np.float64), axis=0)
        assert row == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert pooled.embeddings.dtype == np.float32


def test_pooling_leaves_a_single_image_as_it_is() -> None:
    query, gallery = people(1, seed=1), people(9, seed=2, cameras=1)
    alone = pool_queries(query, gallery.select(gallery.cameras != query.cameras[0]))
    assert alone.embeddings == pytest.approx(query.embeddings, abs=1e-6)


def test_pooling_helps_noisy_queries() -> None:
    query, gallery = people(60, seed=1), people(400, seed=2)
    assert evaluate_retrieval(pool_queries(query, gallery), gallery).mAP > evaluate_retrieval(query, gallery).mAP + 0.02


def slow_single_shot(query: Embedded, gallery: Embedded, draws: int) -> list[float]:
    """Rank-1 to rank-5 by drawing, for each query, one image of each identity that other cameras saw."""
    rng = np.random.default_rng(99)
    first = np.zeros(5)
    asked = 0
    for _ in range(draws):
        for q in range(len(query)):
            drawn = {}
            for identity in set(gallery.identities.tolist()):
                seen = (gallery.identities == identity) & (gallery.cameras != query.cameras[q])
                if seen.any():
                    drawn[identity] = float(gallery.embeddings[rng.choice(np.flatnonzero(seen))] @ query.embeddings[q])
            own = drawn.get(int(query.identities[q]))
            if own is not None:
                asked += 1
                first[sum(score > own for score in drawn.values()) :] += 1
    return list(first / asked)


def test_single_shot_agrees_with_a_plain_draw() -> None:
    query, gallery = people(60, seed=3), people(90, seed=4)
    result = evaluate_single_shot(query, gallery, draws=60)
    assert result.cmc[:5] == pytest.approx(slow_single_shot(query, gallery, draws=60), abs=0.02)
    assert result.gallery == len(np.unique(gallery.identities))
    assert 0.2 < result.rank(1) < 0.9


def test_single_shot_counts_each_query_once_and_repeats_itself() -> None:
    query, gallery = people(30, seed=5), people(90, seed=6)
    stranger = Embedded(query.embeddings[:1], np.array([99]), query.cameras[:1])
    both = Embedded(*(np.concatenate(pair) for pair in zip(vars(query).values(), vars(stranger).values(), strict=True)))
    result = evaluate_single_shot(both, gallery, draws=7, seed=3)
    assert (result.queries, result.skipped) == (30, 1)
    assert result.cmc.tolist() == evaluate_single_shot(both, gallery, draws=7, seed=3).cmc.tolist()
    assert result.cmc.tolist() != evaluate_single_shot(both, gallery, draws=7, seed=4).cmc.tolist()


def test_single_shot_sees_nothing_of_the_querys_own_camera() -> None:
    query = Embedded(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([1, 1]))
    gallery = Embedded(np.eye(2, dtype=np.float32)[[0, 1, 1, 0]], np.array([1, 2, 1, 2]), np.array([1, 1, 2, 2]))
    assert evaluate_single_shot(query, gallery, draws=3).rank(1) == 0  # on the other camera each is the other's image


def test_single_shot_needs_two_cameras() -> None:
    images = people(30, seed=7, cameras=1)
    with pytest.raises(DatasetError, match="labelled with one camera"):
        evaluate_single_shot(images, images)
