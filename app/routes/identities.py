"""The people of a gallery: list, show, rename, erase."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.answers import erased_answer, identity_answer, json_response
from app.callers import caller_of
from app.documentation import JSON_ERRORS, answers, json_body
from app.forms import read_json
from app.parameters import InGallery, NewName, PageParameters
from app.schemas import ErasedAnswer, IdentitiesAnswer, IdentityAnswer
from app.service import service_of

router = APIRouter(prefix="/identities", tags=["identities"])
_ERRORS = ("invalid_parameter", "gallery_not_found", "identity_not_found")


@router.get(
    "",
    summary="List people",
    response_model=None,
    responses=answers(IdentitiesAnswer, "invalid_parameter", "gallery_not_found"),
)
async def list_identities(request: Request, page: Annotated[PageParameters, Query()]) -> Response:
    """List the people of a gallery page by page, with sample counts, cameras, and when first and last seen."""
    service, page = service_of(request), caller_of(request).within(page)
    found = await service.pipeline.keep(
        lambda: service.engine.gallery.identities(page.gallery, limit=page.limit, cursor=page.cursor)
    )
    items = [identity_answer(summary) for summary in found.items]
    return json_response({"items": items, "next_cursor": found.next_cursor})


@router.get(
    "/{identity:path}",
    summary="Show a person",
    response_model=None,
    responses=answers(IdentityAnswer, *_ERRORS),
)
async def show_identity(request: Request, identity: str, where: Annotated[InGallery, Query()]) -> Response:
    """Return one person; a name with `/` or other special characters is percent-encoded."""
    service, where = service_of(request), caller_of(request).within(where)
    summary = await service.pipeline.keep(service.engine.gallery.identity, where.gallery, identity)
    return json_response(identity_answer(summary))


@router.patch(
    "/{identity:path}",
    summary="Rename or merge a person",
    response_model=None,
    responses=answers(IdentityAnswer, *_ERRORS, *JSON_ERRORS),
    openapi_extra=json_body(NewName, {"identity": "0007"}),
)
async def rename_identity(request: Request, identity: str, where: Annotated[InGallery, Query()]) -> Response:
    """Give a person another name; onto a name that exists, the two become one."""
    service, where = service_of(request), caller_of(request).within(where)
    new = await read_json(request, NewName)
    summary = await service.pipeline.keep(service.engine.gallery.rename, where.gallery, identity, new.identity)
    return json_response(identity_answer(summary))


@router.delete(
    "/{identity:path}",
    summary="Erase a person",
    response_model=None,
    responses=answers(ErasedAnswer, *_ERRORS),
)
async def erase_identity(request: Request, identity: str, where: Annotated[InGallery, Query()]) -> Response:
    """Erase all of a person: rows, pictures and vectors. `verified` is read back, not assumed."""
    service, where = service_of(request), caller_of(request).within(where)
    erased = await service.pipeline.keep(
        service.engine.gallery.erase, where.gallery, identity, caller_of(request).key_id
    )
    return json_response(erased_answer(erased))
