"""Ranking against a slow and obvious version in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import search
from index.follower import Shard
from index.records import Embedding
from index.roster import NO_CAMERA, NO_TIME, Facts, Mask
from index.selection import Selection
from index.vectors import FlatIndex
from tests.index.people import unit, vectors

Plain = list[tuple[int, list[tuple[int, float]]]]


def shard_of(rows: Embedding, identities: list[int]) -> Shard:
    made = Shard(FlatIndex(rows.shape[1]))
    count = len(rows)
    made.put(
        Facts(
            np.arange(1, count + 1),
            np.array(identities, dtype=np.int64),
            np.full(count, NO_CAMERA, dtype=np.int64),
            np.full(count, NO_TIME, dtype=np.int64),
        ),
        rows,
    )
    return made


def plainly(rows: Embedding, identities: list[int], query: Embedding, allowed: Mask, top_k: int, best: int) -> Plain:
    scores = [float(sum(float(a) * float(b) for a, b in zip(row, query, strict=True))) for row in rows]
    people: dict[int, list[tuple[int, float]]] = {}
    for row in sorted(range(len(rows)), key=lambda row: (-round(scores[row], 14), row)):
        if allowed[row]:
            people.setdefault(identities[row], []).append((row, scores[row]))
    return [(identity, shown[:best]) for identity, shown in list(people.items())[:top_k]]


def rank(shard: Shard, queries: Embedding, allowed: Mask, top_k: int, best: int) -> list[list[search.Person]]:
    return search.rank(shard, queries, Selection.of(allowed), top_k, best, shard.vectors.read)


def compare(rows: Embedding, identities: list[int], queries: Embedding, allowed: Mask, top_k: int, best: int) -> None:
    answer = rank(shard_of(rows, identities), queries, allowed, top_k, best)
    for query, people in zip(queries, answer, strict=True):
        expected = plainly(rows, identities, query, allowed, top_k, best)
        assert [person.identity for person in people] == [identity for identity, _ in expected]
        for person, (_, shown) in zip(people, expected, strict=True):
            assert person.rows.tolist() == [row for row, _ in shown]
            np.testing.assert_allclose(person.scores, [score for _, score in shown], atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 400),
    people=st.integers(1, 40),
    top_k=st.integers(1, 20),
    best=st.integers(1, 5),
    part=st.floats(0.01, 1.0),
    coarse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_ranking_is_the_plain_one(
    count: int, people: int, top_k: int, best: int, part: float, coarse: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = vectors(count, seed, 8)
    if coarse:  # many equal vectors, so that ties decide
        rows = unit(np.round(rows * 2) + np.array([1e-3] * 8))
    identities = random.integers(1, people + 1, count).tolist()
    allowed = random.random(count) < part
    compare(rows, identities, vectors(6, seed + 1, 8), allowed, top_k, best)


def test_identities_are_found_behind_one_with_most_samples() -> None:
    crowd = unit(np.array([1.0] + [0.0] * 7) + 0.01 * vectors(6000, 1, 8))
    others = vectors(30, 2, 8)
    rows = np.concatenate([crowd, others])
    identities = [1] * 6000 + list(range(2, 32))
    compare(rows, identities, unit([[1.0] + [0.0] * 7]), np.ones(len(rows), dtype=np.bool_), 10, 3)


def test_thousands_of_equal_vectors_rank_by_row() -> None:
    rows = np.repeat(vectors(1, 3, 8), 3000, axis=0)
    identities = list(range(3000, 0, -1))
    compare(rows, identities, rows[:1], np.ones(3000, dtype=np.bool_), 7, 2)


@pytest.mark.parametrize("queries", [1, 8])
def test_equal_vectors_score_equally_wherever_they_lie(queries: int) -> None:
    rows = vectors(997, 4, 33)
    rows[[0, 500, 996]] = vectors(1, 5, 33)
    people = rank(shard_of(rows, list(range(1, 998))), rows[:queries], np.ones(997, dtype=np.bool_), 3, 1)[0]
    assert [person.rows.tolist() for person in people] == [[0], [500], [996]]
    assert len({float(person.scores[0]) for person in people}) == 1


def test_scores_that_float32_cannot_tell_apart_rank_exactly() -> None:
    rows = unit(vectors(1, 5, 64) + 2e-7 * vectors(300, 6, 64))
    compare(rows, list(range(1, 301)), vectors(1, 9, 64), np.ones(300, dtype=np.bool_), 300, 1)
    compare(rows, [1] * 300, vectors(1, 9, 64), np.ones(300, dtype=np.bool_), 1, 100)


def test_nothing_allowed_is_no_one() -> None:
    assert rank(shard_of(vectors(3, 1, 8), [1, 2, 3]), vectors(2, 2, 8), np.zeros(3, dtype=np.bool_), 5, 1) == [
        [],
        [],
    ]
