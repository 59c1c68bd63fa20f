"""k-reciprocal re-ranking of a query's shortlist (Zhong et al., CVPR 2017, with its parameters)."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.search import SearchCall
from index.gallery import GalleryStore
from index.records import RankedIdentity, Ranking

K1: Final = 20
K2: Final = 6
LAMBDA: Final = 0.3  # the share of the original distance
IDENTITIES: Final = 50  # people on the shortlist
SAMPLES: Final = 4  # best samples of each on it


def rerank(gallery: GalleryStore, call: SearchCall, embedding: NDArray[np.float32]) -> Ranking:
    """Search, then reorder the shortlist's people; scores stay cosines, who is behind the shortlist stays there."""
    found = replace(
        call,
        top_k=max(call.top_k, IDENTITIES),
        samples_per_identity=max(call.samples_per_identity, SAMPLES),
    ).shortlist(gallery, embedding)
    wide = found.ranking
    shortlist, rest = wide.identities[:IDENTITIES], wide.identities[IDENTITIES:]
    order = _order(shortlist, found.embeddings, embedding)
    chosen = [*(shortlist[place] for place in order), *rest][: call.top_k]
    shown = (replace(each, samples=each.samples[: call.samples_per_identity]) for each in chosen)
    return replace(wide, identities=tuple(shown))


def _order(
    shortlist: tuple[RankedIdentity, ...], embeddings: NDArray[np.float32], embedding: NDArray[np.float32]
) -> list[int]:
    found = [(place, nth) for place, identity in enumerate(shortlist) for nth in range(len(identity.samples))]
    compared = np.array([row for row, (_, nth) in enumerate(found) if nth < SAMPLES], dtype=np.intp)
    owners = np.array([place for place, nth in found if nth < SAMPLES], dtype=np.intp)
    distances = k_reciprocal_distances(np.concatenate([embedding[np.newaxis], embeddings[compared]]))
    best = np.full(len(shortlist), np.inf)
    np.minimum.at(best, owners, distances)
    return [int(place) for place in np.argsort(best, kind="stable")]


def k_reciprocal_distances(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the re-ranked distance of row 0, the query, to each other row, (1 + N, D) -> (N,)."""
    rows = embeddings.astype(np.float64)
    # pair by pair: a product of matrices would wake BLAS's threads, which wait for each other where cores are busy
    cosines = np.vecdot(rows[:, np.newaxis], rows)  # (1 + N, 1 + N)
    original = np.maximum(2.0 - 2.0 * cosines, 0.0)  # squared Euclidean; a length just above 1 is rounding
    original /= np.maximum(original.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(original, axis=1, kind="stable")
    weights = np.exp(-original) * _neighbours(order)
    features = weights / weights.sum(axis=1, keepdims=True)
    expanded = features[order[:, :K2]].mean(axis=1)  # local query expansion
    shared = np.minimum(expanded[0], expanded[1:]).sum(axis=1)
    jaccard = 1.0 - shared / (2.0 - shared)
    distances: NDArray[np.float64] = (1 - LAMBDA) * jaccard + LAMBDA * original[0, 1:]
    return distances


def _neighbours(order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which rows are among each row's expanded k-reciprocal neighbours, (1 + N, 1 + N)."""
    near = _reciprocal(order, K1)
    theirs = _reciprocal(order, round(K1 / 2))
    words, their_words = _words(near), _words(theirs)
    row, other = np.nonzero(near)  # (pairs,) each
    shared = np.bitwise_count(words[row] & their_words[other]).sum(axis=1)
    joined = shared > 2 / 3 * theirs.sum(axis=1)[other]
    np.bitwise_or.at(words, row[joined], their_words[other[joined]])
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=len(order), bitorder="little")
    return bits.view(np.bool_)


def _words(sets: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return each row's bits in words of 64, (1 + N, 1 + N) -> (1 + N, W)."""
    padded = np.pad(sets, ((0, 0), (0, -sets.shape[1] % 64)))
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def _reciprocal(order: NDArray[np.intp], k: int) -> NDArray[np.bool_]:
    """Return which of each row's k nearest (and itself) have the row among theirs, (1 + N, 1 + N)."""
    among = np.zeros((len(order), len(order)), dtype=np.bool_)
    np.put_along_axis(among, order[:, : k + 1], values=True, axis=1)
    return among & among.T
