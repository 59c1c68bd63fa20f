"""How near a version's files must be to the network that they were made from."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.card import Parity, Precision


@dataclass(frozen=True)
class Tolerance:
    """How far a file may be from the network: least and mean cosine, and percentage points lost on held-out images."""

    least_cosine: float
    mean_cosine: float
    rank1: float
    mAP: float


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(0.9999, 0.99999, 0.1, 0.1),
    "int8": Tolerance(0.90, 0.97, 1.0, 0.5),
}


def shortfalls(parity: Parity) -> Iterator[str]:
    """Yield a line for each figure that is out of its precision's tolerance; one query may lose its first place."""
    tolerance = TOLERANCES[parity.precision]
    one_query = 100 / max(1, parity.images) + 1e-9
    for what, found, least in (
        ("least cosine", parity.least_cosine, tolerance.least_cosine),
        ("mean cosine", parity.mean_cosine, tolerance.mean_cosine),
        ("rank-1 difference", parity.rank1_difference, -max(tolerance.rank1, one_query)),
        ("mAP difference", parity.mAP_difference, -tolerance.mAP),
    ):
        if not found >= least:
            yield (
                f"{parity.precision}: expected a {what} to the network of at least {least:.7g}, found {found:.5f} "
                f"over {parity.images} held-out images"
            )
