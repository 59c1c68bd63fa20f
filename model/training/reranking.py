"""k-reciprocal re-ranking.

Zhong, Zheng, Cao, Li. "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
`reference_distances` is the method on full matrices; `rerank` gives the same distances and holds, of the N queries and
gallery images, only the k nearest of each and what follows from them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from model.training.evaluation import CELLS, Embedded, Scores

K1: Final = 20
K2: Final = 6
LAMBDA: Final = 0.3  # the share of the original distance
PROTOCOL = f"k-reciprocal re-ranking (k1 {K1}, k2 {K2}, lambda {LAMBDA})"


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of each row, itself included, nearest first, and the squared distance to the furthest of all."""

    rows: NDArray[np.int32]  # (N, k1 + 1)
    furthest: NDArray[np.float32]  # (N,)


def reference_distances(
    query: Embedded, gallery: Embedded, *, k1: int = K1, k2: int = K2, share: float = LAMBDA
) -> NDArray[np.float64]:
    """Return the re-ranked distances (Q, G) from full N × N matrices in float64, for tests and small sets."""
    rows = np.concatenate([query.embeddings, gallery.embeddings]).astype(np.float64)
    distance = np.maximum(2 - 2 * rows @ rows.T, 0)  # (N, N) squared Euclidean
    distance /= np.maximum(distance.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(distance, axis=1, kind="stable")
    near, half = (_reciprocal_matrix(order, k) for k in (k1, round(k1 / 2)))
    shared = near.astype(np.int64) @ half.T.astype(np.int64)  # |R(i, k1) ∩ R(j, k1/2)|
    absorbed = near & (3 * shared > 2 * half.sum(axis=1))
    members = near | (absorbed.astype(np.int64) @ half.astype(np.int64) > 0)
    features = np.where(members, np.exp(-distance), 0)
    features /= features.sum(axis=1, keepdims=True)
    expanded = np.mean([features[neighbour] for neighbour in order[:, :k2].T], axis=0)  # local query expansion
    asked, held = expanded[: len(query)], expanded[len(query) :]
    common = np.stack([np.minimum(row, held).sum(axis=1) for row in asked])  # (Q, G)
    jaccard = 1 - common / (2 - common)
    final: NDArray[np.float64] = (1 - share) * jaccard + share * distance[: len(query), len(query) :]
    return final


def rerank(
    query: Embedded,
    gallery: Embedded,
    *,
    k1: int = K1,
    k2: int = K2,
    share: float = LAMBDA,
    cells: int = CELLS,
) -> Scores:
    """Return the re-ranked distances, negated, as scores for `evaluate_retrieval`.

    Memory is `cells` and some N × k1 entries; time is that of N × N cosines.
    """
    rows = np.concatenate([query.embeddings, gallery.embeddings])
    nearest = find_nearest(rows, max(k1, k2 - 1), cells)
    voters = nearest.rows[:, :k2]
    expanded = _neighbour_matrix(voters) @ encode(rows, nearest, k1, cells) / np.float32(voters.shape[1])
    asked, held = expanded[: len(query)], expanded[len(query) :].tocsc()
    furthest = nearest.furthest[: len(query), None]

    def scores(part: slice) -> NDArray[np.float32]:
        original = np.maximum(2 - 2 * query.embeddings[part] @ gallery.embeddings.T, 0) / furthest[part]
        common = np.stack([_shared_mass(asked, held, row) for row in range(*part.indices(len(query)))])
        reranked: NDArray[np.float32] = -share * original - (1 - share) * (1 - common / (2 - common))
        return reranked

    return scores


def find_nearest(rows: NDArray[np.float32], k: int, cells: int = CELLS) -> Nearest:
    """Return the `k` nearest of each of the unit rows `(N, D)` beside itself; ties go to the lower index."""
    found, furthest = [], []
    for part in _blocks(len(rows), cells // len(rows)):
        distance = np.maximum(2 - 2 * rows[part] @ rows.T, 0)
        furthest.append(np.maximum(distance.max(axis=1), 1e-12))
        # A distance that is not negative orders as its bits do: with the index below them no two keys are equal.
        keys = distance.view(np.int32).astype(np.int64)
        keys <<= 32
        keys |= np.arange(len(rows))
        keys.partition(min(k, len(rows) - 1), axis=1)
        found.append((np.sort(keys[:, : k + 1], axis=1) & 0xFFFFFFFF).astype(np.int32))
    return Nearest(np.concatenate(found), np.concatenate(furthest))


def encode(rows: NDArray[np.float32], nearest: Nearest, k1: int, cells: int = CELLS) -> sparse.csr_array:
    """Return the membership of each row in its expanded k-reciprocal neighbours `(N, N)`, weights adding up to 1."""
    near, half = (_reciprocal(nearest.rows[:, : k + 1]) for k in (k1, round(k1 / 2)))
    turned, sizes = half.T.tocsr(), half.sum(axis=1)
    encoded = []
    for part in _blocks(len(rows), cells // (rows.shape[1] * 4 * (k1 + 1))):
        shared = (near[part] @ turned).multiply(near[part]).tocoo()  # |R(i, k1) ∩ R(j, k1/2)| for j in R(i, k1)
        enough = 3 * shared.data > 2 * sizes[shared.col]
        pairs = (np.ones(enough.sum(), dtype=np.int32), (shared.row[enough], shared.col[enough]))
        members = (near[part] + sparse.csr_array(pairs, shape=shared.shape) @ half).tocoo()
        owner = members.row + part.start
        distance = 2 - 2 * np.einsum("nd,nd->n", rows[owner], rows[members.col])
        weights = np.exp(-np.maximum(distance, 0) / nearest.furthest[owner])
        weights /= np.bincount(members.row, weights)[members.row]
        encoded.append(sparse.csr_array((weights, (members.row, members.col)), shape=shared.shape))
    return sparse.vstack(encoded, format="csr")


def _shared_mass(asked: sparse.csr_array, held: sparse.csc_array, row: int) -> NDArray[np.float32]:
    """Return the sum of the lesser weights of one asked row and each held one `(G,)`, over the members of both."""
    total = np.zeros(held.shape[0], dtype=np.float32)
    mine = slice(asked.indptr[row], asked.indptr[row + 1])
    for member, weight in zip(asked.indices[mine], asked.data[mine], strict=True):
        theirs = slice(held.indptr[member], held.indptr[member + 1])
        total[held.indices[theirs]] += np.minimum(weight, held.data[theirs])
    return total


def _reciprocal_matrix(order: NDArray[np.intp], k: int) -> NDArray[np.bool_]:
    forward = np.zeros(order.shape, dtype=np.bool_)
    np.put_along_axis(forward, order[:, : k + 1], values=True, axis=1)
    return forward & forward.T


def _reciprocal(nearest: NDArray[np.int32]) -> sparse.csr_array:
    forward = _neighbour_matrix(nearest)
    return forward.multiply(forward.T).tocsr()


def _neighbour_matrix(nearest: NDArray[np.int32]) -> sparse.csr_array:
    """Return ones `(N, N)` where `nearest` `(N, k)` says."""
    count, k = nearest.shape
    ends = np.arange(0, count * k + 1, k)
    return sparse.csr_array((np.ones(nearest.size, dtype=np.int32), nearest.ravel(), ends), shape=(count, count))


def _blocks(rows: int, size: int) -> Iterator[slice]:
    return (slice(start, start + max(1, size)) for start in range(0, rows, max(1, size)))
