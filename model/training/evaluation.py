"""Retrieval metrics by the person re-identification protocol: CMC, mAP, mINP.

Zheng et al., ICCV 2015 (CMC, mAP); Ye et al., "Deep Learning for Person Re-identification", TPAMI 2021 (mINP).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError

PROTOCOL = "market1501 single query, same identity and camera dropped, rectangular AP, ties by gallery index"


@dataclass(frozen=True)
class Embedded:
    """Unit embeddings `(N, D)` with their identities and cameras `(N,)`."""

    embeddings: NDArray[np.float32]
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True)
class Retrieval:
    """What a ranking is worth, as fractions; the means are over the queries that have a right answer."""

    cmc: NDArray[np.float64]  # (ranks,)
    mAP: float
    mINP: float
    queries: int
    skipped: int
    gallery: int

    def rank(self, k: int) -> float:
        """Return the share of queries with a right answer among the first `k`."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])


def evaluate_retrieval(query: Embedded, gallery: Embedded, *, ranks: int = 50, block: int = 256) -> Retrieval:
    """Rank the gallery for each query by cosine and score the rankings.

    Gallery images of the query's identity on the query's camera are dropped. A query left without a right answer
    is skipped and counted. Memory is bounded by `block` × gallery. Raises `DatasetError` when every query is skipped.
    """
    first, average, inverse, skipped = [], [], [], 0
    for start in range(0, len(query), block):
        part = slice(start, start + block)
        hits, kept = _ranked_hits(query, gallery, part)
        answerable = hits.any(axis=1)
        skipped += int((~answerable).sum())
        scores = _score_rows(hits[answerable], kept[answerable])
        first.append(scores[0])
        average.append(scores[1])
        inverse.append(scores[2])
    first_hits = np.concatenate(first)  # (Q,) rank of the first hit, from 0
    if not len(first_hits):
        raise DatasetError(
            f"none of the {len(query)} queries has its identity on another camera of the gallery; "
            "are all images labelled with one camera?"
        )
    cmc = (first_hits[:, None] <= np.arange(min(ranks, max(len(gallery), 1)))).mean(axis=0)
    return Retrieval(
        cmc=cmc,
        mAP=float(np.concatenate(average).mean()),
        mINP=float(np.concatenate(inverse).mean()),
        queries=len(first_hits),
        skipped=skipped,
        gallery=len(gallery),
    )


def _ranked_hits(query: Embedded, gallery: Embedded, part: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return, in ranked order `(b, G)`: which gallery images are right, and which are not dropped."""
    similarity = query.embeddings[part] @ gallery.embeddings.T
    order = np.argsort(-similarity, axis=1, kind="stable")
    same = gallery.identities[order] == query.identities[part, None]
    kept = ~(same & (gallery.cameras[order] == query.cameras[part, None]))
    return same & kept, kept


def _score_rows(
    hits: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return per query `(b,)`: the first hit's rank from 0, the average precision, the inverse negative penalty."""
    rows, columns = np.nonzero(hits)
    position = np.cumsum(kept, axis=1)[rows, columns]  # rank among the kept, from 1
    found = np.cumsum(hits, axis=1)[rows, columns]
    total = hits.sum(axis=1)
    ends = np.cumsum(total)
    average = np.bincount(rows, weights=found / position, minlength=len(hits)) / total
    first = position[ends - total] - 1
    inverse = total / position[ends - 1]
    return first, average, inverse
