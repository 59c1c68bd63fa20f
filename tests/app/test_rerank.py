from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.rerank import IDENTITIES, K1, K2, LAMBDA, SAMPLES, k_reciprocal_distances, rerank
from app.search import SearchCall
from index.records import SampleFilter
from tests.index.people import VERSION, crowd, enrol, open_store, vectors


def plain_distances(embeddings: NDArray[np.float32]) -> list[float]:
    """Zhong et al.'s method, step by step as the paper has it, with sets and loops."""
    rows = embeddings.astype(np.float64)
    count = len(rows)
    squared = [[float(((a - b) ** 2).sum()) for b in rows] for a in rows]
    distance = [[each / max(row) for each in row] for row in squared]
    order = [[other for _, other in sorted(zip(row, range(count), strict=True))] for row in distance]

    def reciprocal(row: int, k: int) -> set[int]:
        return {each for each in order[row][: k + 1] if row in order[each][: k + 1]}

    features = []
    for row in range(count):
        near = reciprocal(row, K1)
        members = set(near)
        for each in near:
            theirs = reciprocal(each, round(K1 / 2))
            if len(near & theirs) > 2 / 3 * len(theirs):
                members |= theirs
        total = sum(np.exp(-distance[row][each]) for each in members)
        features.append({each: float(np.exp(-distance[row][each])) / total for each in members})
    expanded = []
    for row in range(count):
        mixed: dict[int, float] = {}
        for each in order[row][:K2]:
            for member, weight in features[each].items():
                mixed[member] = mixed.get(member, 0.0) + weight / min(K2, count)
        expanded.append(mixed)
    found = []
    for row in range(1, count):
        both = sum(min(weight, expanded[row].get(member, 0.0)) for member, weight in expanded[0].items())
        union = sum(max(expanded[0].get(each, 0.0), expanded[row].get(each, 0.0)) for each in range(count))
        found.append((1 - LAMBDA) * (1 - both / union) + LAMBDA * distance[0][row])
    return found


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (2, 0), (5, 1), (30, 2), (80, 3), (80, 4)])
def test_distances_are_the_papers(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 16))
    rows = centres[rng.integers(0, 6, count + 1)] + 0.4 * rng.normal(size=(count + 1, 16))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert k_reciprocal_distances(unit) == pytest.approx(plain_distances(unit), abs=1e-6)


def test_a_neighbourhood_beats_a_lone_look_alike() -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=32)
    crowd = query + 0.45 * rng.normal(size=(25, 32))
    stranger = query + 0.44 * rng.normal(size=32)
    strangers = stranger + 0.05 * rng.normal(size=(25, 32))
    rows = np.concatenate([query[None], crowd, stranger[None], strangers])
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    distances = k_reciprocal_distances(unit)
    assert np.median(distances[:25]) < distances[25]


@pytest.mark.parametrize(("top_k", "shown"), [(1, 0), (5, 2), (70, 6)])
def test_people_on_the_shortlist_rank_by_their_nearest_sample(tmp_path: Path, top_k: int, shown: int) -> None:
    with open_store(tmp_path) as store:
        enrol(store, crowd(600, identities=80, cameras=3))
        call = SearchCall("default", VERSION, SampleFilter(), top_k, shown)
        [plain] = replace(call, top_k=80, samples_per_identity=10).run(store, vectors(1, 7))
        shortlist = plain.identities[:IDENTITIES]
        ids = [[item.sample.sample_id for item in person.samples[:SAMPLES]] for person in shortlist]
        known = store.embeddings("default", list(chain.from_iterable(ids)), model_version=VERSION)
        rows = [vectors(1, 7)[0], *(known[sample_id] for own in ids for sample_id in own)]
        distances = iter(k_reciprocal_distances(np.stack(rows)).tolist())
        nearest = [min(next(distances) for _ in own) for own in ids]
        expected = [shortlist[place] for place in sorted(range(len(shortlist)), key=nearest.__getitem__)]
        expected += plain.identities[IDENTITIES:]
        found = rerank(store, call, vectors(1, 7)[0])
    assert [each.identity for each in found.identities] == [each.identity for each in expected[:top_k]]
    assert [each.samples for each in found.identities] == [each.samples[:shown] for each in expected[:top_k]]
    assert found.searched == 600
    assert found.best is not None
    assert found.best.score == plain.identities[0].score  # decides the verdict, also where it is not among those shown
    assert top_k > 1 or found.identities[0] != plain.identities[0]


def test_nobody_is_reranked_in_an_empty_gallery(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        call = SearchCall("default", VERSION, SampleFilter(), 5, 2)
        assert rerank(store, call, vectors(1, 7)[0]).identities == ()
