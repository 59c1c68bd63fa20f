"""Searches that differ only in whom they seek, done in one call."""

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.workers import Workers
from index.gallery import GalleryStore
from index.records import Ranking, SampleFilter, Shortlist


@dataclass(frozen=True, slots=True)
class SearchCall:
    """All of a search but the embeddings."""

    gallery: str
    model_version: str
    where: SampleFilter
    top_k: int
    samples_per_identity: int

    @property
    def key(self) -> str:
        """What two calls have in common when one answer serves both."""
        return repr(self)

    def run(self, store: GalleryStore, embeddings: NDArray[np.float32]) -> list[Ranking]:
        """Search for each embedding, (Q, D)."""
        return store.search(
            self.gallery,
            embeddings,
            model_version=self.model_version,
            where=self.where,
            top_k=self.top_k,
            samples_per_identity=self.samples_per_identity,
        )

    def shortlist(self, store: GalleryStore, embedding: NDArray[np.float32]) -> Shortlist:
        """Search for one embedding, (D,), and keep what it was compared with."""
        return store.shortlist(
            self.gallery,
            embedding,
            model_version=self.model_version,
            where=self.where,
            top_k=self.top_k,
            samples_per_identity=self.samples_per_identity,
        )


class SharedSearch:
    """Collects what is asked in one turn of the event loop: a batch's answers arrive in one turn."""

    def __init__(self, workers: Workers, store: GalleryStore) -> None:
        self._workers = workers
        self._store = store
        self._groups: dict[str, _Group] = {}

    async def search(self, call: SearchCall, embeddings: NDArray[np.float32]) -> list[Ranking]:
        """Search for each embedding, (Q, D), alone or in company; raise what the search raises."""
        key = call.key
        if key not in self._groups:
            rows: list[NDArray[np.float32]] = []
            # a task begins in the next turn of the loop, when all who ask in this one have added their rows
            self._groups[key] = _Group(rows, asyncio.create_task(self._run(call, rows)))
        group = self._groups[key]
        first = sum(map(len, group.rows))
        group.rows.append(embeddings)
        rankings = await asyncio.shield(group.task)  # who leaves does not take the others' answer along
        return rankings[first : first + len(embeddings)]

    async def _run(self, call: SearchCall, rows: list[NDArray[np.float32]]) -> list[Ranking]:
        del self._groups[call.key]
        together = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return await self._workers.run(call.run, self._store, together)


@dataclass(frozen=True, slots=True)
class _Group:
    rows: list[NDArray[np.float32]]
    task: asyncio.Task[list[Ranking]]
