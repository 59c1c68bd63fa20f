"""The galleries of the service: list, make or set, delete."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.answers import erased_answer, gallery_answer, json_response
from app.callers import caller_of
from app.documentation import JSON_ERRORS, answers, json_body
from app.forms import read_json
from app.parameters import GallerySettings
from app.schemas import ErasedAnswer, GalleriesAnswer, GalleryAnswer
from app.service import Service, service_of
from index.records import Erased

router = APIRouter(prefix="/galleries", tags=["galleries"])


@router.get("", summary="List galleries", response_model=None, responses=answers(GalleriesAnswer))
async def list_galleries(request: Request) -> Response:
    """List every gallery that the key reaches, with its settings and counts; `default` is always there."""
    service, caller = service_of(request), caller_of(request)
    found = await service.pipeline.keep(service.engine.gallery.galleries)
    return json_response({"items": [gallery_answer(info) for info in found if caller.reaches(info.name)]})


@router.put(
    "/{name:path}",
    summary="Make or set a gallery",
    response_model=None,
    responses=answers(GalleryAnswer, *JSON_ERRORS),
    openapi_extra=json_body(GallerySettings, {"retention_days": 30, "store_images": True}),
)
async def put_gallery(request: Request, name: str) -> Response:
    """Make a gallery, or replace the settings of one that exists."""
    service = service_of(request)
    caller_of(request).require_gallery(name)
    settings = await read_json(request, GallerySettings)
    info = await service.pipeline.keep(
        lambda: service.engine.gallery.put_gallery(
            name, retention_days=settings.retention_days, store_images=settings.store_images
        )
    )
    return json_response(gallery_answer(info))


@router.delete(
    "/{name:path}",
    summary="Delete a gallery",
    response_model=None,
    responses=answers(ErasedAnswer, "invalid_parameter", "gallery_not_found"),
)
async def delete_gallery(request: Request, name: str) -> Response:
    """Erase a gallery with everything in it."""
    service = service_of(request)
    caller_of(request).require_gallery(name)
    return json_response(erased_answer(await service.pipeline.keep(_delete, service, name, caller_of(request).key_id)))


def _delete(service: Service, name: str, actor: str | None) -> Erased:
    """Delete a gallery and what this process knows of it, in one call: none is refused once the gallery is gone."""
    erased = service.engine.gallery.delete_gallery(name, actor)
    service.drift.forget(name)
    service.false_alarms.forget(name)
    service.audits.forget(name)
    return erased
