"""The model versions, and changes from one to another."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.activation import Wish, begin
from app.answers import json_response, migration_answer
from app.callers import caller_of
from app.documentation import answers
from app.migrator import roll_back
from app.schemas import MigrationAnswer, MigrationsAnswer, MigrationStarted, ModelAnswer, ModelsAnswer
from app.service import Service, service_of
from index.migration import Migration
from model.promotion import MARGIN

router = APIRouter(tags=["models"])


@router.get(
    "/models",
    summary="List model versions",
    response_model=None,
    responses=answers(ModelsAnswer, "not_ready"),
)
async def list_models(request: Request) -> Response:
    """List every registered version with its card, and which one is active."""
    service = service_of(request)
    items = await service.pipeline.keep(_models, service)
    return json_response({"active": service.engine.model.version, "items": items})


@router.get(
    "/models/{version}",
    summary="Show a model version",
    response_model=None,
    responses=answers(ModelAnswer, "model_not_found", "not_ready"),
)
async def show_model(request: Request, version: str) -> Response:
    """Return a version's card: metrics, thresholds, data, hashes, terms of use."""
    service = service_of(request)
    return json_response(await service.pipeline.keep(_model, service, version))


@router.post(
    "/models/{version}/activate",
    summary="Activate a model version",
    response_model=None,
    status_code=202,
    responses=answers(
        MigrationStarted,
        "invalid_parameter",
        "model_not_found",
        "migration_in_progress",
        "migration_state",
        "not_ready",
        status=202,
    ),
)
async def activate_model(
    request: Request,
    version: str,
    force: bool = False,
    leave_out: bool = False,
    margin: Annotated[float, Query(ge=0, le=100, description="points of mAP")] = MARGIN,
) -> Response:
    """Move every gallery to another version.

    The pictures are embedded again in the background while the version before answers; once that is done and found
    right, the new one answers, and the one before is kept until `finalize`. Where nothing is enrolled the change is
    made at once.

    A version without parity, calibration or metrics, or with an mAP that is further than `margin` below the active
    one's on data that both were measured on, is refused with the reasons; `force` overrules that, and is recorded.
    Samples whose picture was not kept cannot be embedded again: the wish is refused, or with
    `leave_out` they are left out, and erased when the migration is finalized.
    """
    service = service_of(request)
    wish = Wish(version, _asker(request), force, leave_out, margin)
    migration = await service.pipeline.keep(begin, service.engine, wish)
    service.migrator.wake()
    return json_response({"migration_id": migration.migration_id}, 202)


@router.get(
    "/migrations",
    summary="List changes of the active version",
    response_model=None,
    responses=answers(MigrationsAnswer, "not_ready"),
)
async def list_migrations(request: Request) -> Response:
    """List the latest changes, the newest first."""
    service = service_of(request)
    found = await service.pipeline.keep(service.engine.gallery.migrations.latest)
    await service.pipeline.keep(service.engine.catch_up)
    return json_response({"items": [migration_answer(each) for each in found]})


@router.get(
    "/migrations/{migration_id}",
    summary="Show a change of the active version",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "not_ready"),
)
async def show_migration(request: Request, migration_id: str) -> Response:
    """Return how far a change is, and what was compared before its switch."""
    return await _told(request, service_of(request).engine.gallery.migrations.get, migration_id)


@router.post(
    "/migrations/{migration_id}/cancel",
    summary="Stop a change",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state", "not_ready"),
)
async def cancel_migration(request: Request, migration_id: str) -> Response:
    """Stop a change before its switch, or give up one that failed; what it embedded is freed."""
    cancel = partial(service_of(request).engine.gallery.migrations.cancel, actor=_asker(request))
    return await _told(request, cancel, migration_id)


@router.post(
    "/migrations/{migration_id}/rollback",
    summary="Switch back",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state", "not_ready"),
)
async def roll_back_migration(request: Request, migration_id: str) -> Response:
    """Let the version before answer again, with all that was enrolled since; possible until `finalize`."""
    return await _told(request, partial(roll_back, service_of(request).engine, by=_asker(request)), migration_id)


@router.post(
    "/migrations/{migration_id}/finalize",
    summary="Make a change final",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state", "not_ready"),
)
async def finalize_migration(request: Request, migration_id: str) -> Response:
    """Give up the way back, and free the vectors of the version before."""
    finalize = partial(service_of(request).engine.gallery.migrations.finalize, actor=_asker(request))
    return await _told(request, finalize, migration_id)


def _asker(request: Request) -> str:
    """Return who asks for a change, as the history of promotions and the audit log tell it."""
    return caller_of(request).key_id or "HTTP, without a key"


async def _told(request: Request, change: Callable[[str], Migration], migration_id: str) -> Response:
    service = service_of(request)
    migration = await service.pipeline.keep(_caught_up, service, change, migration_id)
    service.migrator.wake()
    return json_response(migration_answer(migration))


def _caught_up(service: Service, change: Callable[[str], Migration], migration_id: str) -> Migration:
    """Make a change and serve what it left, in one call: none is refused once the change is made."""
    migration = change(migration_id)
    service.engine.catch_up()
    return migration


def _models(service: Service) -> list[dict[str, Any]]:
    return [_model(service, version) for version in service.engine.registry.versions()]


def _model(service: Service, version: str) -> dict[str, Any]:
    registry = service.engine.registry
    card = registry.card(version)
    active = card.version == service.engine.model.version
    promotions = [each.model_dump(mode="json") for each in registry.promotions(version)]
    return {"version": card.version, "active": active, "card": card.model_dump(mode="json"), "promotions": promotions}
