"""Whether the service really works: a built-in picture goes the whole way."""

import asyncio
import time
from functools import lru_cache

import numpy as np
from starlette.requests import ClientDisconnect

from app.errors import NotReady, Overloaded
from app.parameters import QueryParameters
from app.pipeline import Timing
from app.querying import begin_query, rank
from app.service import Service
from model.errors import ImageError
from model.synthetic import encode_jpeg, render

LIMIT = 5.0  # seconds for all parts
_AGAIN = 0.05  # seconds until a full queue is looked at again


@lru_cache(maxsize=1)
def probe_picture() -> bytes:
    """Return the built-in picture: a rendered pedestrian."""
    return encode_jpeg(render(0, 0, 0))


async def check_ready(service: Service) -> None:
    """Decode, embed and search the built-in picture; raise `NotReady` with the part that failed.

    Where a part has no room for it, it is enough that it works on what waits: busy is not broken.
    """
    part, asked = "decode", time.perf_counter()
    query = begin_query(service, QueryParameters(top_k=1, samples_per_identity=1, threshold=0.0))
    embedder, timing = query.embedder, Timing()
    try:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    part = "decode"
                    [pixels] = await service.pipeline.decode([probe_picture()], embedder.contract, timing)
                    if isinstance(pixels, ImageError):
                        raise pixels
                    part = "embed"
                    vectors = await service.pipeline.embed(embedder, [pixels], timing)
                    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
                        raise NotReady("the embedding has not the length 1")
                    part = "search"
                    await rank(service, query, vectors)
                    return
                except Overloaded:
                    if service.pipeline.worked(part) > asked:
                        return
                    await asyncio.sleep(_AGAIN)
    except ClientDisconnect:  # who asked did not wait; that says nothing of the parts
        raise
    except Exception as exc:  # whatever a part does, the answer names the part
        raise NotReady(f"{part}: {type(exc).__name__}") from exc
