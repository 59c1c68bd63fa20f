"""Several pictures of one person as one query."""

import numpy as np
from numpy.typing import NDArray

ENOUGH = 5  # with fewer pictures there is no telling who the outlier is
LEAST_GAP = 0.1  # in cosine; pictures nearer than this to the rest are one person's, however alike the rest are


def pool(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the unit mean of unit embeddings, (N, D) -> (D,), outliers left out when there are five or more."""
    first: NDArray[np.float32] = embeddings[0]
    if len(embeddings) == 1:
        return first
    mean = embeddings[inliers(embeddings)].astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    # embeddings that cancel out have no direction to search in: the first one speaks for all
    pooled: NDArray[np.float32] = (mean / length).astype(np.float32) if length > 1e-6 else first
    return pooled


def inliers(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which embeddings belong together, (N, D) -> (N,).

    An embedding's agreement is its median cosine to the others. It is an outlier when its agreement lies under
    the median agreement by more than three scaled median absolute deviations and by more than `LEAST_GAP`.
    """
    count = len(embeddings)
    if count < ENOUGH:
        return np.ones(count, dtype=np.bool_)
    cosines = embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)  # (N, N)
    others = cosines[~np.eye(count, dtype=np.bool_)].reshape(count, count - 1)
    agreement = np.median(others, axis=1)  # (N,)
    centre = np.median(agreement)
    deviation = 1.4826 * np.median(np.abs(agreement - centre))
    kept: NDArray[np.bool_] = agreement >= centre - max(3 * deviation, LEAST_GAP)
    return kept
