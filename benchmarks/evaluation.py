"""Seconds and peak memory of the evaluation, over made-up embeddings of Market-1501's size.

python -m benchmarks.evaluation: the single query and the sparse re-ranking of 3,368 × 15,913 × 512.
With --million: 1,000 queries against 1,000,000 gallery images of 128 dimensions; ten thousand take ten times as long.
Each runs in a process of its own, whose memory includes the embeddings and the libraries. OMP_NUM_THREADS bounds cores.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe
from model.training.evaluation import Embedded, Retrieval, evaluate_retrieval, unit_rows
from model.training.reranking import rerank


@dataclass(frozen=True)
class Size:
    queries: int
    gallery: int
    dim: int
    identities: int = 750
    cameras: int = 6
    per_identity: int = 20  # the rest of the gallery are distractors


@dataclass(frozen=True)
class Measured:
    what: str
    size: Size
    seconds: float
    peak_mb: int
    mAP: float


CHUNK = 2**14
MARKET = Size(3368, 15913, 512)
MILLION = Size(1000, 1_000_000, 128)


def made_up(size: Size) -> tuple[Embedded, Embedded]:
    """Return queries and a gallery of identities as noisy clusters, and distractors of identity 0."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(size.identities + 1, size.dim)).astype(np.float32)

    def sample(identities: NDArray[np.int64]) -> Embedded:
        rows = np.empty((len(identities), size.dim), dtype=np.float32)
        for start in range(0, len(rows), CHUNK):  # the peak is to be that of the evaluation
            names = identities[start : start + CHUNK]
            noise = rng.standard_normal(size=(len(names), size.dim), dtype=np.float32)
            rows[start : start + CHUNK] = unit_rows(centres[names] * (names > 0)[:, None] + 2 * noise)
        return Embedded(rows, identities, rng.integers(1, size.cameras + 1, size=len(identities)))

    known = np.repeat(np.arange(1, size.identities + 1), size.per_identity)
    gallery = np.zeros(size.gallery, dtype=np.int64)
    gallery[: len(known)] = known[: size.gallery]
    return sample(rng.integers(1, size.identities + 1, size=size.queries)), sample(gallery)


def single_query(query: Embedded, gallery: Embedded) -> Retrieval:
    return evaluate_retrieval(query, gallery)


def reranked(query: Embedded, gallery: Embedded) -> Retrieval:
    return evaluate_retrieval(query, gallery, scores=rerank(query, gallery))


MEASURES: dict[str, Callable[[Embedded, Embedded], Retrieval]] = {"single query": single_query, "re-ranked": reranked}


def measure(what: str, size: Size) -> Measured:
    """Time one evaluation; the peak is that of the whole process."""
    query, gallery = made_up(size)
    started = time.perf_counter()
    result = MEASURES[what](query, gallery)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Measured(what, size, round(seconds, 2), peak, round(100 * result.mAP, 2))


def alone(what: str, size: Size) -> Measured:
    """Measure in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (what, size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="also against a million gallery images")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = [alone(what, MARKET) for what in MEASURES]
    if arguments.million:
        found.append(alone("single query", MILLION))
    if arguments.json:
        print(json.dumps({"machine": describe(), "measured": [asdict(each) for each in found]}))
        return
    print(describe())
    for each in found:
        size = f"{each.size.queries:,} × {each.size.gallery:,} × {each.size.dim}"
        print(f"{each.what:14}{size:26}{each.seconds:8.2f} s  {each.peak_mb:6,} MB at most  mAP {each.mAP}")


if __name__ == "__main__":
    main()
