"""Retrieval metrics by the person re-identification protocol: CMC, mAP, mINP.

Zheng et al., ICCV 2015 (CMC, mAP); Ye et al., "Deep Learning for Person Re-identification", TPAMI 2021 (mINP).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError

PROTOCOL = "market1501 single query, same identity and camera dropped, rectangular AP, ties by gallery index"
CELLS = 2**24  # scores held at a time: 64 MB, however long the gallery is

Scores = Callable[[slice], NDArray[np.float32]]  # of some of the queries: (b, G), the higher the better


@dataclass(frozen=True)
class Embedded:
    """Unit embeddings `(N, D)` with their identities and cameras `(N,)`."""

    embeddings: NDArray[np.float32]
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.embeddings)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "Embedded":
        """Return the images where a mask `(N,)` is true, or those at the given places."""
        return Embedded(self.embeddings[keep], self.identities[keep], self.cameras[keep])


@dataclass(frozen=True)
class Retrieval:
    """What a ranking is worth, as fractions; the means are over the queries that have a right answer.

    `precisions` has the average precision of each ranking, NaN where there is no right answer.
    """

    cmc: NDArray[np.float64]  # (ranks,)
    mAP: float
    mINP: float
    queries: int
    skipped: int
    gallery: int
    precisions: NDArray[np.float64]  # (Q,)

    def rank(self, k: int) -> float:
        """Return the share of queries with a right answer among the first `k`."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])


def evaluate_retrieval(
    query: Embedded, gallery: Embedded, *, scores: Scores | None = None, ranks: int = 50, cells: int = CELLS
) -> Retrieval:
    """Rank the gallery for each query, by cosine unless `scores` says otherwise, and score the rankings.

    Gallery images of the query's identity on the query's camera are dropped. A query left without a right answer
    is skipped and counted. Memory is bounded by `cells`, or one row of the gallery where that is more.
    Raises `DatasetError` when every query is skipped.
    """
    return summarise(list(rank_hits(query, gallery, scores=scores, cells=cells)), gallery=len(gallery), ranks=ranks)


def rank_hits(
    query: Embedded, gallery: Embedded, *, scores: Scores | None = None, cells: int = CELLS
) -> Iterator[NDArray[np.int64]]:
    """Yield for each query the ranks of its right answers, from 1 and ascending; empty where there is none."""
    scores = scores or cosine(query, gallery)
    block = max(1, cells // max(len(gallery), 1))
    for start in range(0, len(query), block):
        part = slice(start, start + block)
        for row, identity, camera in zip(scores(part), query.identities[part], query.cameras[part], strict=True):
            same = gallery.identities == identity
            yield ranks_of(row, same & (gallery.cameras != camera), ~same)


def cosine(query: Embedded, gallery: Embedded) -> Scores:
    """Return the plain scores: cosines of unit embeddings."""
    return lambda part: query.embeddings[part] @ gallery.embeddings.T


def ranks_of(scores: NDArray[np.float32], right: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ranks from 1, ascending, of the right answers among the right and the wrong ones, each `(G,)`.

    Ties go to the lower index. Only the wrong answers that reach the last right one are sorted, and only by value.
    """
    columns = np.flatnonzero(right)
    if not len(columns):
        return columns
    columns = columns[np.argsort(-scores[columns], kind="stable")]
    hits = scores[columns]  # (h,) descending
    rivals = np.sort(scores[wrong & (scores >= hits[-1])])
    ahead = len(rivals) - np.searchsorted(rivals, hits, side="right")
    equal = len(rivals) - ahead - np.searchsorted(rivals, hits, side="left")
    for place in np.flatnonzero(equal):
        before = slice(columns[place])
        ahead[place] += np.count_nonzero(wrong[before] & (scores[before] == hits[place]))
    return ahead + np.arange(1, len(hits) + 1)


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rows `(N, D)` at unit length."""
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def summarise(rankings: Sequence[NDArray[np.int64]], *, gallery: int, ranks: int = 50) -> Retrieval:
    """Return the means over the queries' rankings, as `rank_hits` yields them.

    Raises `DatasetError` when no ranking has a right answer.
    """
    answered = [hits for hits in rankings if len(hits)]
    if not answered:
        raise DatasetError(
            f"none of the {len(rankings)} queries has its identity on another camera of the gallery; "
            "are all images labelled with one camera?"
        )
    first = np.array([hits[0] for hits in answered])  # (Q,)
    precisions = np.array([(np.arange(1, len(hits) + 1) / hits).mean() if len(hits) else np.nan for hits in rankings])
    return Retrieval(
        cmc=(first[:, None] <= np.arange(1, min(ranks, gallery) + 1)).mean(axis=0),
        mAP=float(np.nanmean(precisions)),
        mINP=float(np.mean([len(hits) / hits[-1] for hits in answered])),
        queries=len(answered),
        skipped=len(rankings) - len(answered),
        gallery=gallery,
        precisions=precisions,
    )
