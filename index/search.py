"""Ranking: from queries and candidates to identities, exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.follower import Shard
from index.records import Embedding
from index.roster import Ints
from index.selection import Selection

_FIRST_LOOK = 256  # candidates of the first search; more are fetched while they do not decide the answer
_WIDER = 4
_GATHER = 2048  # up to that many samples of the identities found, all are compared


Reader = Callable[[Ints], Embedding]


@dataclass(frozen=True, slots=True)
class Person:
    """One identity of an answer: its number, and its best rows with their scores, best first."""

    identity: int
    rows: Ints
    scores: NDArray[np.float64]


def rank(
    shard: Shard, queries: Embedding, allowed: Selection, top_k: int, best: int, exactly: Reader
) -> list[list[Person]]:
    """Rank identities by their best sample's cosine for each query, (Q, D), ties by row.

    `exactly` reads the vectors of rows, which the engine may have rounded.

    `best` rows are kept of each identity. The engine only chooses who is compared: each identity that it names is
    scored by all of its allowed rows, in float64, however many they are. So the ranking is exact where the engine is,
    and else misses no more than the engine's recall says.
    """
    if allowed.count == 0:
        return [[] for _ in queries]
    k = min(allowed.count, max(_FIRST_LOOK, 4 * top_k))
    scores, rows = shard.vectors.search(queries, k, None if allowed.count == len(shard.roster) else allowed)
    return [
        _Query(shard, query, allowed, top_k, exactly).answer(first_scores, first_rows, max(best, 1))
        for query, first_scores, first_rows in zip(queries, scores, rows, strict=True)
    ]


class _Query:
    """One query against one shard."""

    def __init__(self, shard: Shard, query: Embedding, allowed: Selection, top_k: int, exactly: Reader) -> None:
        self._exactly = exactly
        self._shard = shard
        self._roster = shard.roster
        self._identities = shard.roster.facts.identities
        self._query = query
        self._allowed = allowed
        self._top_k = top_k
        self._margin = 2 * shard.vectors.tolerance

    def answer(self, scores: NDArray[np.float32], rows: Ints, best: int) -> list[Person]:
        found = self._contenders(scores, rows)
        people = self._best_rows(found, best)
        people.sort(key=lambda person: (-person.scores[0], person.rows[0]))
        return people[: self._top_k]

    def _contenders(self, scores: NDArray[np.float32], rows: Ints) -> Ints:
        """Return every identity that may be among the first `top_k`.

        Each round searches wider among the identities not seen yet, until what was not returned cannot matter.
        """
        seen, tops = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        left, k = self._allowed.count, len(rows)
        while True:
            people, first = np.unique(self._identities[rows], return_index=True)
            seen, tops = np.append(seen, people), np.append(tops, scores[first])
            cut = np.partition(tops, -self._top_k)[-self._top_k] if len(tops) >= self._top_k else -np.inf
            if k >= left or scores[-1] < cut - self._margin:
                return seen[tops >= cut - self._margin]
            mask = self._allowed.mask.copy()
            mask[self._roster.rows_of(np.sort(seen))] = False
            unseen = Selection.of(mask)
            left, k = unseen.count, k * _WIDER
            if left == 0:
                return seen[tops >= cut - self._margin]
            k = min(k, left)
            wider = self._shard.vectors.search(self._query[None], k, unseen)
            scores, rows = wider[0][0], wider[1][0]

    def _best_rows(self, identities: Ints, best: int) -> list[Person]:
        rows = self._roster.rows_of(np.sort(identities))
        rows = rows[self._allowed.mask[rows]]
        if len(rows) <= _GATHER:
            return self._select(rows, best)
        return [person for one in identities for person in self._select(self._leading(one, best), best)]

    def _leading(self, identity: np.int64, best: int) -> Ints:
        """Return the rows of one identity that may be among its `best`."""
        theirs = self._roster.rows_of(np.array([identity]))
        theirs = theirs[self._allowed.mask[theirs]]
        if len(theirs) <= _GATHER:
            return theirs
        mask = np.zeros_like(self._allowed.mask)
        mask[theirs] = True
        left, k = len(theirs), 4 * best
        while True:
            found = self._shard.vectors.search(self._query[None], k, Selection(mask, left))
            scores, rows = (part[0] for part in found)
            if k >= left or scores[-1] < scores[min(best, k) - 1] - self._margin:
                return np.sort(rows)
            k = min(left, k * _WIDER)

    def _select(self, rows: Ints, best: int) -> list[Person]:
        """Keep the `best` rows of each identity among ascending rows, and score them exactly."""
        rough = self._shard.vectors.products(rows, self._query)
        people = self._identities[rows]
        order = np.lexsort((-rough, people))
        starts, sizes = _groups(people[order])
        last = rough[order[starts + np.minimum(best, sizes) - 1]]  # of each identity, the least that may be kept
        near = np.sort(order[rough[order] >= np.repeat(last, sizes) - self._margin])
        exact = cosines(self._exactly(rows[near]), self._query)
        order = np.lexsort((-exact, people[near]))  # stable: equal scores stay in the order of rows
        near, exact = near[order], exact[order]
        starts, sizes = _groups(people[near])
        return [
            Person(int(people[near[start]]), rows[near[start:end]], exact[start:end])
            for start, end in zip(starts.tolist(), (starts + np.minimum(best, sizes)).tolist(), strict=True)
        ]


def _groups(sorted_numbers: Ints) -> tuple[Ints, Ints]:
    """Return where each run of equal numbers starts, and its length."""
    edges = np.flatnonzero(sorted_numbers[1:] != sorted_numbers[:-1]) + 1
    bounds = np.concatenate([[0], edges, [len(sorted_numbers)]])
    return bounds[:-1], bounds[1:] - bounds[:-1]


def cosines(vectors: Embedding, query: Embedding) -> NDArray[np.float64]:
    """Score unit vectors, (N, D) against (D,), so that equal vectors score equally wherever they lie."""
    products = vectors.astype(np.float64) * query.astype(np.float64)
    scores: NDArray[np.float64] = np.clip(np.add.reduce(products, axis=1), -1.0, 1.0)
    return scores
