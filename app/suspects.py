"""The label audit of a gallery: samples that look like somebody else, and names that look like one person.

It goes over the stored embeddings twice, a block at a time; what it holds is the prototypes and a few numbers a sample.
What somebody called right is not found again.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import Stopped
from index.errors import ModelMismatch
from index.gallery import GalleryStore
from index.records import Embedding
from model.labels import Judge, Prototypes, worst

MOST = 1000  # findings of either kind
_BLOCK = 1000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SuspectSample:
    """A sample, whose it is said to be, whose it looks to be, and the scores of the two prototypes."""

    sample_id: str
    identity: str
    suggested: str
    own_score: float
    suggested_score: float
    margin: float


@dataclass(frozen=True, slots=True)
class MergeCandidate:
    """Two identities and the mean score between their samples."""

    first: str
    second: str
    score: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit found, the worst first."""

    gallery: str
    model_version: str
    samples: int
    identities: int
    alone: int  # samples that are their identity's only one, which nothing can be said of
    threshold: float | None  # of the merges; None: nobody says from where on two are one
    by_chance: float | None  # pairs of two people that are to be expected among the merges; None: not known
    suspects: tuple[SuspectSample, ...]
    merges: tuple[MergeCandidate, ...]


def nobody(done: int, total: int) -> None:
    """Tell no one how far it is."""


class GalleryAudit:
    """One audit of one gallery."""

    def __init__(self, store: GalleryStore, gallery: str, stopped: threading.Event | None = None) -> None:
        self._store = store
        self._gallery = gallery
        self._version = store.model_version
        self._answered = store.labels.of(gallery)
        self._stopped = stopped or threading.Event()
        self._ids: list[str] = []
        self._names: list[str] = []
        self._own = np.empty(0, dtype=np.int32)

    def run(self, threshold: float | None, progress: Progress = nobody, rate: float | None = None) -> Findings:
        """Look for suspects, and for pairs of identities whose mean score reaches the threshold where there is one.

        `rate` is the false match rate at the threshold, by which is told how many pairs reach it by chance.
        Raises `GalleryNotFound`; `ModelMismatch` when the version changes meanwhile; `Stopped`.
        """
        self._list()
        if not self._ids:
            return self._findings(threshold, rate, (), ())
        total = 2 * len(self._ids)
        prototypes = Prototypes(len(self._names), self._store.dim)
        for rows, embeddings in self._blocks():
            prototypes.add(embeddings, self._own[rows])
            progress(int(rows[-1]) + 1, total)
        judge = prototypes.finish()
        suspects = self._suspects(judge, lambda done: progress(len(self._ids) + done, total))
        merges = () if threshold is None else self._merges(judge, threshold)
        progress(total, total)
        return self._findings(threshold, rate, suspects, merges)

    def _findings(
        self,
        threshold: float | None,
        rate: float | None,
        suspects: tuple[SuspectSample, ...],
        merges: tuple[MergeCandidate, ...],
    ) -> Findings:
        people = len(self._names)
        return Findings(
            gallery=self._gallery,
            model_version=self._version,
            samples=len(self._ids),
            identities=people,
            alone=int((np.bincount(self._own) == 1).sum()),
            threshold=threshold,
            by_chance=None if threshold is None or rate is None else rate * people * (people - 1) / 2,
            suspects=suspects,
            merges=merges,
        )

    def _list(self) -> None:
        numbers: dict[str, int] = {}
        own = []
        for sample in self._store.all_samples(self._gallery):
            self._ids.append(sample.sample_id)
            own.append(numbers.setdefault(sample.identity, len(numbers)))
            self._check()
        self._names, self._own = list(numbers), np.array(own, dtype=np.int32)

    def _blocks(self) -> Iterator[tuple[NDArray[np.intp], Embedding]]:
        """Yield rows (n,) with their embeddings (n, D), those left out that were deleted meanwhile."""
        for start in range(0, len(self._ids), _BLOCK):
            ids = self._ids[start : start + _BLOCK]
            found = self._store.embeddings(self._gallery, ids, model_version=self._version)
            self._check()
            there = [place for place, sample_id in enumerate(ids) if sample_id in found]
            if there:
                yield np.array(there) + start, np.stack([found[ids[place]] for place in there])

    def _suspects(self, judge: Judge, progress: Callable[[int], None]) -> tuple[SuspectSample, ...]:
        own_scores, scores = np.zeros(len(self._ids)), np.full(len(self._ids), -np.inf)
        suggested = np.zeros(len(self._ids), dtype=np.intp)
        for rows, embeddings in self._blocks():
            judged = judge.judge(embeddings, self._own[rows])
            own_scores[rows], scores[rows], suggested[rows] = (
                judged.own_scores, judged.suggested_scores, judged.suggested,
            )  # fmt: skip
            progress(int(rows[-1]) + 1)
        margins = scores - own_scores
        margins[[sample_id in self._answered.right for sample_id in self._ids]] = -np.inf
        return tuple(
            SuspectSample(
                sample_id=self._ids[row],
                identity=self._names[self._own[row]],
                suggested=self._names[suggested[row]],
                own_score=float(own_scores[row]),
                suggested_score=float(scores[row]),
                margin=float(margins[row]),
            )
            for row in worst(margins, MOST)
        )

    def _merges(self, judge: Judge, threshold: float) -> tuple[MergeCandidate, ...]:
        found = judge.twins(threshold, limit=MOST)
        pairs = (MergeCandidate(self._names[each.first], self._names[each.second], each.score) for each in found)
        return tuple(pair for pair in pairs if frozenset((pair.first, pair.second)) not in self._answered.apart)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Stopped("the audit was stopped")
        if self._store.model_version != self._version:
            raise ModelMismatch(
                f"expected embeddings of {self._version} throughout the audit, found that {self._store.model_version} "
                "serves now: start it again"
            )
