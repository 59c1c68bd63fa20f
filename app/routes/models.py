"""The model versions, and changes from one to another."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.activation import activate
from app.answers import json_response, migration_answer
from app.documentation import answers
from app.schemas import MigrationAnswer, MigrationsAnswer, MigrationStarted, ModelAnswer, ModelsAnswer
from app.service import Service, service_of

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
    return json_response({"active": service.engine.embedder.version, "items": items})


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
    responses=answers(MigrationStarted, "model_not_found", "migration_state", "not_ready", status=202),
)
async def activate_model(request: Request, version: str) -> Response:
    """Make a version the active one.

    While no sample is enrolled the change is made at once. Moving a filled gallery is not available yet and is
    answered with 409 `migration_state`.
    """
    migration = await activate(service_of(request), version)
    return json_response({"migration_id": migration.migration_id}, 202)


@router.get(
    "/migrations",
    summary="List changes of the active version",
    response_model=None,
    responses=answers(MigrationsAnswer),
)
async def list_migrations(request: Request) -> Response:
    """List the latest changes since the service was started, the newest first."""
    return json_response({"items": [migration_answer(each) for each in service_of(request).migrations]})


@router.get(
    "/migrations/{migration_id}",
    summary="Show a change of the active version",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found"),
)
async def show_migration(request: Request, migration_id: str) -> Response:
    """Return how far a change is."""
    return json_response(migration_answer(service_of(request).migrations.get(migration_id)))


@router.post(
    "/migrations/{migration_id}/cancel",
    summary="Stop a change",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state"),
)
async def cancel_migration(request: Request, migration_id: str) -> Response:
    """Stop a change that is not final; one that is answers 409 `migration_state`."""
    return _refuse(request, migration_id, "cancelled")


@router.post(
    "/migrations/{migration_id}/rollback",
    summary="Switch back",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state"),
)
async def roll_back_migration(request: Request, migration_id: str) -> Response:
    """Switch back to the version before; a final change answers 409 `migration_state`."""
    return _refuse(request, migration_id, "rolled_back")


@router.post(
    "/migrations/{migration_id}/finalize",
    summary="Make a change final",
    response_model=None,
    responses=answers(MigrationAnswer, "migration_not_found", "migration_state"),
)
async def finalize_migration(request: Request, migration_id: str) -> Response:
    """Give up the way back; a change that is final already answers 409 `migration_state`."""
    return _refuse(request, migration_id, "finalized")


def _refuse(request: Request, migration_id: str, state: str) -> Response:
    raise service_of(request).migrations.refusal(migration_id, state)


def _models(service: Service) -> list[dict[str, Any]]:
    return [_model(service, version) for version in service.engine.registry.versions()]


def _model(service: Service, version: str) -> dict[str, Any]:
    registry = service.engine.registry
    card = registry.card(version)
    active = card.version == service.engine.embedder.version
    promotions = [each.model_dump(mode="json") for each in registry.promotions(version)]
    return {"version": card.version, "active": active, "card": card.model_dump(mode="json"), "promotions": promotions}
