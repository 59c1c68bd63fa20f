"""The one place that wires the service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.access import RULES, GuardedAPI, authorize
from app.admission import Admission
from app.auditing import LabelAudits
from app.documentation import KEY_ERRORS, problems
from app.drift import Drift
from app.engine import Engine, open_engine
from app.errors import AddressRefused, SettingsInvalid
from app.expiry import Expiry
from app.false_alarms import FalseAlarms
from app.forms import invalid_parameter
from app.garbage import Garbage
from app.keyring import Keyring
from app.logs import logging_to_stderr
from app.metrics import Metrics
from app.middleware import MetricsPort, RequestContext
from app.migrator import Migrator
from app.pipeline import Pipeline
from app.problems import KNOWN_ERRORS, Problem, describe, http_problem, internal
from app.routes import console, drift, galleries, gallery, identities, models, operations, query, suspects
from app.routes import settings as shown
from app.service import Service
from app.settings import Settings, is_loopback, load_settings, unknown_variables
from app.tracing import Traces, open_traces
from index.errors import GalleryError
from index.keys import Keys
from model.errors import ModelError

log = logging.getLogger(__name__)
DESCRIPTION = """A picture of a person in, the ranked identities of a gallery out. A picture is one person, cut out from
head to feet: nobody is looked for in a scene.

Scores are cosine similarities of unit embeddings, in [-1, 1]; higher is more alike. Times are RFC 3339 with an offset.
Every answer carries `X-Request-ID`. Errors are `application/problem+json` with a stable `code`.

A key goes into `Authorization: Bearer <key>` or `X-API-Key: <key>`. It has scopes out of `query`, `enroll` and `admin`,
which includes both, and may be bound to one gallery, which its requests then go to when they name none. Before the
first key was made the service answers on a loopback address only, and needs none.
"""


def create_app(settings: Settings | None = None, open_parts: Callable[[Settings], Engine] = open_engine) -> FastAPI:
    """Build the application; its parts are opened when it starts. Raises `SettingsInvalid`."""
    settings = settings or load_settings()
    metrics, traces = Metrics(), open_traces(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with logging_to_stderr(settings):
            async with _running(settings, open_parts, metrics, traces) as service:
                app.state.service = service
                yield

    app = GuardedAPI(
        title="hap2s-reid",
        summary="Person re-identification",
        description=DESCRIPTION,
        version=version("hap2s-reid"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own would send paths, in which names are, and looks for a collector with every request
        telemetry={"tracing": False, "metrics": False, "logs": False},
        dependencies=[Depends(authorize)],  # of every route, so that none is open because somebody forgot
    )
    for part in (query, gallery, identities, suspects, galleries, models, drift, shown):
        app.include_router(part.router, responses=problems(*KEY_ERRORS))
    for part in (operations, console):
        app.include_router(part.router)
    app.add_middleware(Admission, metrics=metrics)
    if settings.metrics_port is not None:
        app.add_middleware(MetricsPort, port=settings.metrics_port)
    app.add_middleware(RequestContext, metrics=metrics, traces=traces, patience=settings.request_timeout_s)
    _handle_errors(app, metrics)
    return app


def require_guarded(settings: Settings, keys: Keys) -> None:
    """Raise `AddressRefused` for an address that other machines reach, as long as no key was made."""
    if not is_loopback(settings.host) and not keys.made():
        raise AddressRefused(
            f"REID_HOST={settings.host}: expected a loopback address such as 127.0.0.1, because no key was made yet "
            "and anyone who reaches another address could read and erase the gallery; make one with reid keys create"
        )


@asynccontextmanager
async def _running(
    settings: Settings, open_parts: Callable[[Settings], Engine], metrics: Metrics, traces: Traces
) -> AsyncIterator[Service]:
    log.info("settings: %s", " ".join(f"{name}={value}" for name, value in settings.shown().items()))
    for line in unknown_variables():
        log.warning("%s", line)
    engine = await _opened(settings, open_parts)
    keyring = Keyring(engine.gallery.keys, local=is_loopback(settings.host))
    pipeline = Pipeline(engine, metrics, traces)
    audits, false_alarms = LabelAudits(), FalseAlarms(engine.gallery)
    drifting = Drift(settings.data_dir, engine.embedder.version, lambda: engine.model.card)
    pipeline.start()
    try:
        log.info("ready with %s on %s", engine.model.version, ", ".join(engine.embedder.providers))
        if newer := engine.registry.newer(engine.model.version):
            log.info("%s is there too: reid models activate %s moves the galleries to it", newer, newer)
        async with (
            Garbage(lambda: pipeline.depth).running(),
            drifting.running(),
            Expiry(engine, pipeline, metrics).running(),
            Migrator(engine, metrics).running() as migrator,
        ):
            false_alarms.start(engine.model.version)
            yield Service(engine, pipeline, metrics, keyring, migrator, drifting, audits, false_alarms)
    finally:
        await asyncio.to_thread(audits.close)
        await asyncio.to_thread(false_alarms.close)
        await asyncio.to_thread(pipeline.close)
        await asyncio.to_thread(keyring.close)
        await asyncio.to_thread(engine.close)
        await asyncio.to_thread(traces.close)
        log.info("stopped")


async def _opened(settings: Settings, open_parts: Callable[[Settings], Engine]) -> Engine:
    try:
        return await asyncio.to_thread(_open_guarded, settings, open_parts)
    except (ModelError, GalleryError, AddressRefused, SettingsInvalid) as exc:
        log.error("cannot start: %s", exc)
        raise
    except Exception:
        log.exception("cannot start")
        raise


def _open_guarded(settings: Settings, open_parts: Callable[[Settings], Engine]) -> Engine:
    engine = open_parts(settings)
    try:
        require_guarded(settings, engine.gallery.keys)
    except BaseException:
        engine.close()
        raise
    return engine


def _handle_errors(app: FastAPI, metrics: Metrics) -> None:
    async def known(request: Request, exc: Exception) -> Response:
        return _told(request, exc, describe(exc) or internal(), metrics)

    async def refused(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        response = _told(request, exc, http_problem(exc.status_code, request.method, str(exc.detail)), metrics)
        response.headers.update(exc.headers or {})
        if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "route" in request.scope:
            response.headers["Allow"] = _methods(request.scope["route"].path_format)
        return response

    async def invalid(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        first = exc.errors()[0]
        error = invalid_parameter({**first, "loc": first["loc"][1:]})
        return _told(request, error, describe(error) or internal(), metrics)

    for kind in KNOWN_ERRORS:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def _methods(path: str) -> str:
    """Return what a path takes; the router's own `Allow` has the first route's method alone."""
    return ", ".join(sorted(method for method, other in RULES if other == path))


def _told(request: Request, exc: Exception, problem: Problem, metrics: Metrics) -> Response:
    if problem.status >= 500:
        log.error("%s", problem.code, exc_info=exc)
    else:
        metrics.rejected(problem.code)
    return problem.response(request.state.request_id)
