"""Answering who is on a picture: from embeddings to ranked identities with a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.answers import ranked_identity
from app.errors import ImageRefused
from app.forms import Upload
from app.identifiers import new_ulid
from app.parameters import QueryParameters
from app.pipeline import Timing
from app.rerank import rerank
from app.search import SearchCall
from app.service import Service
from app.verdict import Line, among_strangers, draw_line
from index.records import Ranking
from model.errors import ImageError
from model.runtime import Embedder

_AT_ONCE = 2000  # people and samples; they take 10 ms to write


@dataclass(frozen=True, slots=True)
class Query:
    """One request's fixed part: how to search and how to decide, with the version that was active at its start."""

    parameters: QueryParameters
    embedder: Embedder
    line: Line
    timing: Timing
    exclude_sample: str | None = None

    @property
    def call(self) -> SearchCall:
        """How to search."""
        asked = self.parameters
        where = asked.where(self.exclude_sample)
        return SearchCall(asked.gallery, self.embedder.version, where, asked.top_k, asked.samples_per_identity)


def begin_query(service: Service, parameters: QueryParameters, exclude_sample: str | None = None) -> Query:
    """Fix the version and the threshold; raise `InvalidParameter` for a rate that the card does not have."""
    model = service.engine.model
    line = draw_line(model.card.calibration, parameters)
    return Query(parameters, model.embedder, line, Timing(), exclude_sample)


async def embed_pictures(
    service: Service, embedder: Embedder, uploads: Sequence[Upload], timing: Timing
) -> NDArray[np.float32]:
    """Embed pictures that are all needed, -> (N, D); raise `ImageRefused` for the first that cannot be used."""
    _require_good(uploads, [each.error for each in uploads])
    decoded = await service.pipeline.decode([each.data for each in uploads], embedder.contract, timing)
    _require_good(uploads, decoded)
    pixels = [each for each in decoded if not isinstance(each, ImageError)]
    return await service.pipeline.embed(embedder, pixels, timing)


def _require_good(uploads: Sequence[Upload], found: Sequence[object]) -> None:
    of_one_field = len({each.name for each in uploads}) < len(uploads)
    for index, (upload, each) in enumerate(zip(uploads, found, strict=True)):
        if isinstance(each, Exception):
            raise ImageRefused(upload.name, index if of_one_field else None, each)


async def rank(service: Service, query: Query, embeddings: NDArray[np.float32]) -> list[Ranking]:
    """Return the ranking for each embedding, (Q, D)."""
    call = query.call
    if query.parameters.rerank:
        return await service.pipeline.search_alone(
            lambda: [rerank(service.engine.gallery, call, embedding) for embedding in embeddings], query.timing
        )
    return await service.pipeline.search(call, embeddings, query.timing)


async def written(service: Service, query: Query, line: Line, rankings: Sequence[Ranking]) -> list[bytes]:
    """Return queries' answers as JSON; large ones are written on a thread, for nobody else is served meanwhile."""

    def write() -> list[bytes]:
        return [orjson.dumps(query_answer(query, each, line)) for each in rankings]

    for each in rankings:
        service.drift.score(query.parameters.gallery, query.embedder.version, each)
    people = [identity for each in rankings for identity in each.identities]
    rows = len(people) + sum(len(identity.samples) for identity in people)
    return write() if rows <= _AT_ONCE else await service.pipeline.read(write)


async def final_line(service: Service, query: Query, enrolled: int) -> Line:
    """Draw the line among the gallery's strangers, if known; where it hangs on them they are waited for.

    Once for a request: another measurement may be there the next time.
    """
    gallery, version = query.parameters.gallery, query.embedder.version
    if query.parameters.deciding_alarm_rate is None:
        strangers = service.false_alarms.latest(gallery, version, enrolled)
    else:
        strangers = await service.false_alarms.measured(gallery, version, enrolled)
    return among_strangers(query.line, query.parameters, strangers)


def query_answer(query: Query, ranking: Ranking, line: Line) -> dict[str, Any]:
    """Return a query's answer."""
    identities = [ranked_identity(place, found, line) for place, found in enumerate(ranking.identities, start=1)]
    return {
        "query_id": new_ulid(),
        "model_version": query.embedder.version,
        "gallery": query.parameters.gallery,
        "verdict": line.verdict(None if ranking.best is None else ranking.best.score),
        "threshold": line.threshold,
        "false_match_rate": line.false_match_rate,
        "false_alarm_rate": None if line.threshold is None else line.false_alarm_rate(line.threshold),
        "identities": identities,
        "searched": ranking.searched,
        "timing_ms": query.timing.milliseconds(),
    }
