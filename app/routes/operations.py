"""Health and metrics."""

import asyncio
import logging
import math
import shutil

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response
from app.documentation import answers, file_answer
from app.errors import NotReady, Overloaded
from app.health import check_ready
from app.metrics import CONTENT_TYPE
from app.problems import describe
from app.schemas import HealthAnswer
from app.service import Service, service_of
from index.errors import GalleryError

log = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds; Prometheus waits for ten
router = APIRouter(tags=["operations"])


@router.get("/health/live", summary="Is the process alive?", response_model=None, responses=answers(HealthAnswer))
async def live() -> Response:
    """Answer; more is not looked at."""
    return json_response({"status": "ok"})


@router.get(
    "/health/ready",
    summary="Does everything work?",
    response_model=None,
    responses=answers(HealthAnswer, "not_ready"),
)
async def ready(request: Request) -> Response:
    """Decode, embed and search a built-in picture; 503 `not_ready` names the part that failed, or that it stops."""
    if getattr(request.app.state, "draining", False):
        # answered and not raised: it is no failure, so the log has none
        problem = describe(NotReady("the service is stopping: it answers what still comes, and asks for no more"))
        assert problem is not None
        return problem.response(request.state.request_id)
    await check_ready(service_of(request))
    return json_response({"status": "ok"})


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_model=None,
    responses=file_answer("Prometheus' text format", "text/plain"),
)
async def metrics(request: Request) -> Response:
    """Return requests, stages, batches, queue, gallery, drift, disk and active version in Prometheus' text format.

    What the catalogue does not tell is NaN.
    """
    service = service_of(request)
    try:
        async with asyncio.timeout(PATIENCE):
            lag, samples = await service.pipeline.keep(_measured, service)
    except (GalleryError, Overloaded, TimeoutError) as exc:  # when the catalogue is away, the rest is wanted most
        log.warning("the catalogue could not be asked for the metrics: %s", str(exc) or type(exc).__name__)
        lag = samples = math.nan
    embedder = service.engine.embedder
    text = service.metrics.render(
        queue=service.pipeline.depth,
        samples=samples,
        lag=lag,
        version=embedder.version,
        providers=",".join(embedder.providers),
    )
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


def _measured(service: Service) -> tuple[float, float]:
    """Look at the disk; return the index's lag, before counting brings it up to date, and the samples."""
    disk = shutil.disk_usage(service.engine.settings.data_dir)
    service.metrics.drift(service.drift.told())
    service.metrics.disk(free=disk.free, size=disk.total)
    moving = service.engine.gallery.migrations.under_way()
    if moving is None:
        service.metrics.migrating(done=0, left_out=0, left=0)
    else:
        service.metrics.migrating(done=moving.done, left_out=moving.left_out, left=moving.total - moving.done)
    lag = service.engine.gallery.indexes.lag()
    return lag, service.engine.gallery.indexes.sample_count()
