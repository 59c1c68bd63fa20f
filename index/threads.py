"""On how many threads FAISS computes."""

import faiss


def compute_alone() -> None:
    """Let FAISS compute on the calling thread alone, from now on.

    A service has many calls at once, and OpenMP's threads wait for each other awake: beside a model at work a scan
    took ten times as long, and learning codes a hundred times.
    """
    faiss.omp_set_num_threads(1)
