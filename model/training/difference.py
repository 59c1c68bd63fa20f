"""How much better one run is than another on the same held-out people, and how far chance among people goes.

One person's queries are alike, so people are drawn anew, each with all their queries, and the same ones for both runs;
the gallery stays as it is. What another seed would have made of a run is not in the interval.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.calibration import resample
from model.training.evaluation import PROTOCOL, Retrieval

DRAWS = 2000
LEAST_PEOPLE = 10  # of fewer the interval is too narrow to be one of 95 %


@dataclass(frozen=True)
class People:
    """What each person is worth in a run: their answered queries, and the sum of the average precisions of these.

    What two runs say can be paired when `protocol` and `images`, a hash, are the same.
    """

    protocol: str
    images: str
    queries: tuple[int, ...]
    precision: tuple[float, ...]

    @classmethod
    def of(cls, result: Retrieval, identities: NDArray[np.int64], images: str) -> Self:
        """Sum up a ranking by its queries' identities `(Q,)`, in the order of these."""
        answered = np.isfinite(result.precisions)
        _, person = np.unique(identities[answered], return_inverse=True)
        sums = np.bincount(person, weights=result.precisions[answered])
        return cls(PROTOCOL, images, tuple(np.bincount(person).tolist()), tuple(sums.tolist()))


@dataclass(frozen=True)
class Difference:
    """By how much a run's mAP is higher than another's, and the 95 % interval of that, as fractions."""

    mAP: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mAP:+.1f} ({100 * self.low:+.1f}, {100 * self.high:+.1f})"


def difference(run: People | None, reference: People | None, *, seed: int = 0) -> Difference | str:
    """Return a run's mAP less that of the reference, by a paired bootstrap over people; or why there is none."""
    if run is None or reference is None:
        return "not recorded"
    if run.protocol != reference.protocol:
        return "another protocol"
    if (run.images, run.queries) != (reference.images, reference.queries):
        return "other held-out images"
    if len(run.queries) < LEAST_PEOPLE:
        return f"too few people: {len(run.queries)} of {LEAST_PEOPLE}"
    queries = np.array(run.queries)
    gained = np.array(run.precision) - np.array(reference.precision)
    rng = np.random.default_rng(seed)
    drawn = [times @ gained / (times @ queries) for times in resample(len(queries), DRAWS, rng)]
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return Difference(float(gained.sum() / queries.sum()), low, high)
