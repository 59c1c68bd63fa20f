"""Open-set identification on a gallery: strangers taken for somebody, and known people found, as large as it is.

Each drawn sample is searched for with its own identity left out, as a stranger, and with it, as somebody known: DIR@FAR
as in `model.training.open_set`, on the gallery itself. Memory is that of one block of its samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.recalibration import Drawn, describe
from index.gallery import GalleryStore
from index.records import Embedding, Sample
from model.calibration import resolved_rates, threshold_at
from model.card import Identification, OpenSet

RATES = (1e-1, 1e-2)
_LEAST_ERRORS = 10  # some 3,000 samples are drawn, so that 1 % of them is shown
_BLOCK = 1000
_PROTOCOL = (
    "each searched for in the whole gallery by the best score of each identity: as a stranger without its own, and as "
    "somebody known without its own on its own camera; rank 1"
)


@dataclass(frozen=True)
class Searched:
    """The best scores of the drawn samples in the whole gallery."""

    protocol: str
    enrolled: int  # identities that a stranger is compared with
    strangers: NDArray[np.float32]  # (N,)
    known: NDArray[np.float32]  # (M,) of those whom another camera saw: -inf where another identity came first

    def let_through(self, threshold: float) -> float:
        """Return the share of the strangers who reach a threshold."""
        return float((self.strangers >= threshold).mean())

    def open_set(self) -> OpenSet | None:
        """Return what a card says of it, at the rates that so many strangers resolve; None for fewer."""
        rates = resolved_rates(len(self.strangers), RATES, _LEAST_ERRORS)
        if not rates or not len(self.known):
            return None
        return OpenSet(
            protocol=self.protocol,
            divisions=1,
            enrolled=self.enrolled,
            mated_probes=len(self.known),
            unmated_probes=len(self.strangers),
            rates=tuple(self._identification(rate) for rate in rates),
        )

    def _identification(self, rate: float) -> Identification:
        threshold = threshold_at(self.strangers, rate)
        return Identification(
            false_alarm_rate=rate,
            threshold=float(np.clip(threshold, -1, 1)),
            detection_rate=float((self.known >= threshold).mean()),
            deviation=0.0,
        )


def search(store: GalleryStore, drawn: Drawn, version: str) -> Searched:
    """Search for the drawn samples in all of their gallery, but for the samples that were left out of it."""
    people = dict(zip((each.identity for each in drawn.samples), drawn.identities.tolist(), strict=True))
    cameras = dict(zip((_seen_by(each, drawn) for each in drawn.samples), drawn.cameras.tolist(), strict=True))
    strangers = np.full(len(drawn.samples), -np.inf, dtype=np.float32)
    own = strangers.copy()
    enrolled: set[str] = set()
    for samples, embeddings in _blocks(store, drawn, version):
        enrolled.update(each.identity for each in samples)
        scores = drawn.embeddings @ embeddings.T  # (N, n)
        same = drawn.identities[:, None] == np.array([people.get(each.identity, -1) for each in samples])
        here = drawn.cameras[:, None] == np.array([cameras.get(_seen_by(each, drawn), -1) for each in samples])
        strangers = np.maximum(strangers, np.where(same, -np.inf, scores).max(axis=1))
        own = np.maximum(own, np.where(same & ~here, scores, -np.inf).max(axis=1))
    known = np.where(own >= strangers, own, -np.inf)[own > -np.inf]
    return Searched(f"{describe(drawn)}, {_PROTOCOL}", len(enrolled) - 1, strangers, known)


def _seen_by(sample: Sample, drawn: Drawn) -> str | None:
    return sample.sample_id if drawn.choice.any_camera else sample.camera


def _blocks(store: GalleryStore, drawn: Drawn, version: str) -> Iterator[tuple[list[Sample], Embedding]]:
    """Yield samples (n,) with their embeddings (n, D), those left out that were deleted meanwhile."""
    block: list[Sample] = []
    for sample in store.all_samples(drawn.choice.gallery):
        if sample.sample_id not in drawn.choice.suspects:
            block.append(sample)
        if len(block) == _BLOCK:
            yield from _embedded(store, drawn, version, block)
            block = []
    yield from _embedded(store, drawn, version, block)


def _embedded(
    store: GalleryStore, drawn: Drawn, version: str, block: list[Sample]
) -> Iterator[tuple[list[Sample], Embedding]]:
    found = store.embeddings(drawn.choice.gallery, [each.sample_id for each in block], model_version=version)
    there = [each for each in block if each.sample_id in found]
    if there:
        yield there, np.stack([found[each.sample_id] for each in there])
