"""Likely wrong labels: samples that look more like another identity than like their own, and identities that are alike.

An identity's prototype is the mean embedding of its samples, the judged one left out; prototypes stay right as long as
most labels are (Northcutt, Jiang, Chuang. "Confident Learning", JAIR 2021, has the idea of judging labels by held-out
likeness). Memory is that of the prototypes, (I, D), whatever the number of samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CELLS = 2**22  # scores held at a time


@dataclass(frozen=True)
class Suspect:
    """A sample, the identity that it looks more like, and by how much, in cosine."""

    index: int
    identity: int
    suggested: int
    own_score: float
    suggested_score: float
    margin: float


@dataclass(frozen=True)
class Judged:
    """How each of some samples (n,) fits: the scores of its own and of the best other prototype, and which that is."""

    own_scores: NDArray[np.float64]
    suggested_scores: NDArray[np.float64]
    suggested: NDArray[np.intp]

    @property
    def margins(self) -> NDArray[np.float64]:
        """By how much the other prototype is nearer; -inf for a sample that is its identity's only one."""
        margins: NDArray[np.float64] = self.suggested_scores - self.own_scores
        return margins


@dataclass(frozen=True)
class Twins:
    """Two identities and the mean cosine of a sample of one and a sample of the other."""

    first: int
    second: int
    score: float


class Prototypes:
    """Sums of unit embeddings by identity, which are numbered from 0."""

    def __init__(self, identities: int, dim: int) -> None:
        self._sums = np.zeros((identities, dim))
        self._counts = np.zeros(identities, dtype=np.int64)

    def add(self, embeddings: NDArray[np.float32], own: NDArray[np.integer]) -> None:
        """Count samples (n, D) to their identities (n,)."""
        np.add.at(self._sums, own, embeddings)
        np.add.at(self._counts, own, 1)

    def finish(self) -> "Judge":
        """Return what judges samples, once all were added."""
        return Judge(self._sums, self._counts)


class Judge:
    """Compares samples with the prototypes of all identities."""

    def __init__(self, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        self._sums = sums
        self._counts = counts
        self._units = _unit(sums).astype(np.float32)  # to choose by; what is told is computed in float64

    def judge(self, embeddings: NDArray[np.float32], own: NDArray[np.integer]) -> Judged:
        """Judge samples (n, D) that were added with these identities (n,)."""
        block = max(1, _CELLS // len(self._sums))
        parts = [slice(start, start + block) for start in range(0, len(own), block)]
        judged = [self._judge(embeddings[part], own[part]) for part in parts]
        return Judged(
            np.concatenate([each.own_scores for each in judged] or [np.empty(0)]),
            np.concatenate([each.suggested_scores for each in judged] or [np.empty(0)]),
            np.concatenate([each.suggested for each in judged] or [np.empty(0, dtype=np.intp)]),
        )

    def _judge(self, embeddings: NDArray[np.float32], own: NDArray[np.integer]) -> Judged:
        scores = embeddings @ self._units.T  # (b, I)
        scores[np.arange(len(own)), own] = -np.inf
        scores[:, self._counts == 0] = -np.inf
        best = scores.argmax(axis=1)
        x = embeddings.astype(np.float64)
        own_scores = (x * _unit(self._sums[own] - x)).sum(axis=1)
        own_scores[self._counts[own] < 2] = np.inf
        suggested_scores = (x * _unit(self._sums[best])).sum(axis=1)
        return Judged(own_scores, suggested_scores, best)

    def twins(self, threshold: float, *, limit: int) -> list[Twins]:
        """Return the pairs of identities whose samples reach the threshold in the mean, the most alike first."""
        means = (self._sums / np.maximum(self._counts, 1)[:, None]).astype(np.float32)
        block = max(1, _CELLS // max(len(means), 1))
        found = np.empty((0, 3))
        for start in range(0, len(means), block):
            scores = means[start : start + block] @ means[start:].T
            rows, columns = np.nonzero(np.triu(scores >= threshold, 1))
            pairs = np.stack([rows + start, columns + start, scores[rows, columns]], axis=1)
            found = np.concatenate([found, pairs])
            found = found[np.argsort(-found[:, 2], kind="stable")[:limit]]
        return [Twins(int(first), int(second), float(score)) for first, second, score in found.tolist()]


def find_suspects(embeddings: NDArray[np.float32], identities: NDArray[np.integer], *, limit: int) -> list[Suspect]:
    """Return at most `limit` samples (N, D) that are nearer another identity's prototype than their own, worst first.

    A sample that is its identity's only one cannot be judged and is never listed.
    """
    names, own = np.unique(identities, return_inverse=True)
    prototypes = Prototypes(len(names), embeddings.shape[1])
    prototypes.add(embeddings, own)
    judged = prototypes.finish().judge(embeddings, own)
    return [
        Suspect(
            index,
            int(identities[index]),
            int(names[judged.suggested[index]]),
            float(judged.own_scores[index]),
            float(judged.suggested_scores[index]),
            float(judged.margins[index]),
        )
        for index in worst(judged.margins, limit)
    ]


def worst(margins: NDArray[np.float64], limit: int) -> list[int]:
    """Return where the largest margins above 0 are, the largest first."""
    order = np.argsort(-margins, kind="stable")[:limit]
    found: list[int] = order[margins[order] > 0].tolist()
    return found


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return unit
