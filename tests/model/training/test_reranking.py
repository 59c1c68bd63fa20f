import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from model.training.evaluation import Embedded, Scores, evaluate_retrieval
from model.training.reranking import find_nearest, reference_distances, rerank


def people(count: int, seed: int, *, identities: int = 12, noise: float = 0.5, dim: int = 16) -> Embedded:
    """Identities as noisy clusters on three cameras; the same identities for every seed."""
    rng = np.random.default_rng(seed)
    names = rng.integers(identities, size=count)
    x = np.random.default_rng(0).normal(size=(identities, dim))[names] + noise * rng.normal(size=(count, dim))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, names, rng.integers(1, 4, size=count))


def tied(count: int, seed: int) -> Embedded:
    """Axes, to both sides: many ties, all exact in float32."""
    rng = np.random.default_rng(seed)
    x = np.eye(6, dtype=np.float32)[rng.integers(6, size=count)] * rng.choice([-1, 1], size=(count, 1))
    return Embedded(x.astype(np.float32), rng.integers(4, size=count), rng.integers(1, 4, size=count))


def plain_distances(query: Embedded, gallery: Embedded, k1: int, k2: int, share: float) -> list[list[float]]:
    """Zhong et al.'s method, step by step as the paper has it, with sets and loops."""
    rows = np.concatenate([query.embeddings, gallery.embeddings]).astype(np.float64)
    count, asked = len(rows), len(query)
    squared = [[max(0.0, float(2 - 2 * (a @ b))) for b in rows] for a in rows]
    distance = [[each / max(row) for each in row] for row in squared]
    order = [[other for _, other in sorted(zip(row, range(count), strict=True))] for row in distance]

    def reciprocal(row: int, k: int) -> set[int]:
        return {each for each in order[row][: k + 1] if row in order[each][: k + 1]}

    features: list[dict[int, float]] = []
    for row in range(count):
        near = reciprocal(row, k1)
        members = set(near)
        for each in near:
            theirs = reciprocal(each, round(k1 / 2))
            if len(near & theirs) > 2 / 3 * len(theirs):
                members |= theirs
        total = sum(np.exp(-distance[row][each]) for each in members)
        features.append({each: float(np.exp(-distance[row][each])) / total for each in members})
    expanded: list[dict[int, float]] = []
    for row in range(count):
        mixed: dict[int, float] = {}
        for each in order[row][:k2]:
            for member, weight in features[each].items():
                mixed[member] = mixed.get(member, 0.0) + weight / min(k2, count)
        expanded.append(mixed)

    def final(a: int, b: int) -> float:
        members = expanded[a].keys() | expanded[b].keys()
        both = sum(min(expanded[a].get(each, 0.0), expanded[b].get(each, 0.0)) for each in members)
        union = sum(max(expanded[a].get(each, 0.0), expanded[b].get(each, 0.0)) for each in members)
        return (1 - share) * (1 - both / union) + share * distance[a][b]

    return [[final(a, b) for b in range(asked, count)] for a in range(asked)]


def all_scores(scores: Scores, count: int) -> NDArray[np.float32]:
    return np.concatenate([scores(slice(start, start + 3)) for start in range(0, count, 3)])


@pytest.mark.parametrize(
    ("queries", "held", "k1", "k2", "share"),
    [
        (7, 60, 20, 6, 0.3),
        (10, 90, 20, 6, 0.3),
        (5, 40, 6, 1, 0.0),
        (5, 40, 7, 12, 0.5),
        (1, 1, 20, 6, 0.3),
        (2, 3, 4, 9, 0.3),
    ],
)
def test_both_forms_are_the_papers(queries: int, held: int, k1: int, k2: int, share: float) -> None:
    query, gallery = people(queries, seed=1), people(held, seed=2)
    plain = np.array(plain_distances(query, gallery, k1, k2, share))
    assert reference_distances(query, gallery, k1=k1, k2=k2, share=share) == pytest.approx(plain, abs=1e-9)
    for cells in (1, 1000, 2**24):
        sparse = rerank(query, gallery, k1=k1, k2=k2, share=share, cells=cells)
        assert -all_scores(sparse, queries) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_ties_go_to_the_lower_index_in_both_forms(seed: int) -> None:
    query, gallery = tied(6, seed), tied(50, seed + 100)
    plain = np.array(plain_distances(query, gallery, 8, 3, 0.3))
    assert reference_distances(query, gallery, k1=8, k2=3) == pytest.approx(plain, abs=1e-9)
    assert -all_scores(rerank(query, gallery, k1=8, k2=3), 6) == pytest.approx(plain, abs=1e-5)


def test_mean_precision_of_both_forms_is_one_and_above_the_plain_one() -> None:
    query, gallery = (people(n, seed=s, identities=60, noise=0.8, dim=24) for n, s in ((150, 1), (1200, 2)))
    distances = -reference_distances(query, gallery).astype(np.float32)
    reference = evaluate_retrieval(query, gallery, scores=lambda part: distances[part])
    reranked = evaluate_retrieval(query, gallery, scores=rerank(query, gallery), cells=50 * 1200)
    assert 100 * abs(reranked.mAP - reference.mAP) < 0.1
    assert reranked.mAP > evaluate_retrieval(query, gallery).mAP + 0.05


def peak_memory(count: int) -> int:
    query, gallery = people(20, seed=1, identities=count // 10), people(count, seed=2, identities=count // 10)
    tracemalloc.start()
    evaluate_retrieval(query, gallery, scores=rerank(query, gallery, cells=2**16), cells=2**16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_grows_with_the_gallery_and_not_with_its_square() -> None:
    small, large = peak_memory(1500), peak_memory(6000)
    assert large < 5 * small
    assert large < 0.2 * 6000**2 * 4  # of one float32 matrix


def test_nearest_are_those_of_a_stable_sort() -> None:
    rows = tied(40, 0).embeddings
    distance = 2 - 2 * rows @ rows.T
    found = find_nearest(rows, 9, cells=7 * len(rows))
    assert found.rows.tolist() == np.argsort(distance, axis=1, kind="stable")[:, :10].tolist()
    assert found.furthest.tolist() == distance.max(axis=1).tolist()


def test_identical_pictures_are_at_no_distance() -> None:
    alike = Embedded(np.tile(np.eye(4, dtype=np.float32)[0], (5, 1)), np.arange(5), np.arange(5))
    assert rerank(alike, alike)(slice(0, 5)) == pytest.approx(np.zeros((5, 5)), abs=1e-6)
