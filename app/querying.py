"""Answering who is on a picture: from embeddings to ranked identities with a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.answers import ranked_identity
from app.errors import ImageRefused
from app.gathering import SearchCall
from app.identifiers import new_ulid
from app.parameters import QueryParameters
from app.pipeline import Pixels, Timing
from app.rerank import rerank
from app.service import Service
from app.verdict import Line, draw_line
from index.records import Ranking, SampleFilter
from model.errors import ImageError
from model.runtime import Embedder


@dataclass(frozen=True, slots=True)
class Query:
    """One request's fixed part: how to search and how to decide, with the version that was active at its start."""

    parameters: QueryParameters
    embedder: Embedder
    line: Line
    timing: Timing
    exclude_sample: str | None = None

    @property
    def where(self) -> SampleFilter:
        """Which samples may be returned."""
        return self.parameters.where(self.exclude_sample)


def begin_query(service: Service, parameters: QueryParameters, exclude_sample: str | None = None) -> Query:
    """Fix the version and the threshold; raise `InvalidParameter` for a rate that the card does not have."""
    model = service.engine.model
    line = draw_line(model.card.calibration, parameters)
    return Query(parameters, model.embedder, line, Timing(), exclude_sample)


async def embed_pictures(
    service: Service, embedder: Embedder, pictures: Sequence[bytes], timing: Timing, fields: Sequence[str] = ()
) -> NDArray[np.float32]:
    """Embed pictures that are all needed, -> (N, D); raise `ImageRefused` for the first that cannot be used."""
    decoded = await service.pipeline.decode(pictures, embedder.contract, timing)
    pixels: list[Pixels] = []
    for index, each in enumerate(decoded):
        if isinstance(each, ImageError):
            raise ImageRefused(fields[index] if fields else "image", index if len(decoded) > 1 else None, each)
        pixels.append(each)
    return await service.pipeline.embed(embedder, pixels, timing)


async def rank(service: Service, query: Query, embeddings: NDArray[np.float32]) -> list[Ranking]:
    """Return the ranking for each embedding, (Q, D)."""
    parameters = query.parameters
    call = SearchCall(
        parameters.gallery,
        query.embedder.version,
        query.where,
        parameters.top_k,
        parameters.samples_per_identity,
    )
    if parameters.rerank:
        return await service.pipeline.search_alone(
            lambda: [rerank(service.engine.gallery, call, embedding) for embedding in embeddings], query.timing
        )
    return await service.pipeline.search(call, embeddings, query.timing)


def query_answer(query: Query, ranking: Ranking) -> dict[str, Any]:
    """Return a query's answer."""
    identities = [ranked_identity(place, found, query.line) for place, found in enumerate(ranking.identities, start=1)]
    return {
        "query_id": new_ulid(),
        "model_version": query.embedder.version,
        "gallery": query.parameters.gallery,
        "verdict": query.line.verdict(None if ranking.best is None else ranking.best.score),
        "threshold": query.line.threshold,
        "false_match_rate": query.line.false_match_rate,
        "identities": identities,
        "searched": ranking.searched,
        "timing_ms": query.timing.milliseconds(),
    }
