"""The samples of a gallery: enrol, list, show, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response, sample_answer
from app.callers import caller_of
from app.documentation import (
    FORM_ERRORS,
    JSON_ERRORS,
    MODEL_ERRORS,
    Responses,
    answers,
    file_answer,
    form_body,
    json_body,
    problems,
)
from app.enrolment import MAX_IMAGES, EnrolForm, admitted, enrol, read_enrolment, require_place
from app.forms import read_form, read_json
from app.parameters import InGallery, SampleChanges, SamplePage
from app.schemas import EnrolAnswer, SampleAnswer, SamplesAnswer
from app.service import service_of
from model.container import sniff
from model.errors import UnsupportedMedia

router = APIRouter(prefix="/gallery", tags=["gallery"])
_ENROLLED: Responses = {
    201: {"model": EnrolAnswer, "description": "Every picture is enrolled"},
    207: {"model": EnrolAnswer, "description": "Some are, some were rejected"},
    422: {"model": EnrolAnswer, "description": "All were rejected"},
}
_METADATA = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "for several images: a JSON array with one object for each of "
    "{identity, camera?, captured_at?, attributes?, external_id?}; for one image they may be fields of the form",
    "example": '[{"identity": "0005", "camera": "c3", "captured_at": "2026-05-01T10:00:00Z"}]',
}
_NOT_FOUND = ("gallery_not_found", "sample_not_found")


@router.post(
    "",
    summary="Enrol pictures",
    response_model=None,
    status_code=201,
    responses=problems(*FORM_ERRORS, *MODEL_ERRORS, "invalid_metadata", "gallery_not_found") | _ENROLLED,
    openapi_extra=form_body({"image": MAX_IMAGES}, EnrolForm, metadata=_METADATA),
)
async def enrol_pictures(request: Request) -> Response:
    """Enrol 1 to 256 `image` files, each with an outcome of its own; one bad item never fails its neighbours.

    The same bytes of the same identity and camera are a duplicate and change nothing, so a whole request may be
    sent again safely. What was answered is on disk, and the very next query finds it.
    """
    service = service_of(request)
    require_place(service)  # before the body comes for nothing; while it does, however slowly, others have the place
    form = await read_form(request, file_fields=("image",), max_files=MAX_IMAGES)
    with admitted(service):
        done = await enrol(service, read_enrolment(form, caller_of(request)))
    taken = done["created"] + done["duplicates"]
    return json_response(done, 201 if not done["rejected"] else 207 if taken else 422)


@router.get(
    "",
    summary="List samples",
    response_model=None,
    responses=answers(SamplesAnswer, "invalid_parameter", "gallery_not_found"),
)
async def list_samples(request: Request, page: Annotated[SamplePage, Query()]) -> Response:
    """List samples page by page; the pages are stable while others write."""
    service, page = service_of(request), caller_of(request).within(page)
    found = await service.pipeline.keep(
        lambda: service.engine.gallery.page(page.gallery, page.where(), limit=page.limit, cursor=page.cursor)
    )
    items = [sample_answer(sample) for sample in found.items]
    return json_response({"items": items, "next_cursor": found.next_cursor})


@router.get(
    "/{sample_id}",
    summary="Show a sample",
    response_model=None,
    responses=answers(SampleAnswer, "invalid_parameter", *_NOT_FOUND),
)
async def show_sample(request: Request, sample_id: str, where: Annotated[InGallery, Query()]) -> Response:
    """Return what is known of one enrolled picture."""
    service, where = service_of(request), caller_of(request).within(where)
    sample = await service.pipeline.keep(service.engine.gallery.get, where.gallery, sample_id)
    return json_response(sample_answer(sample))


@router.get(
    "/{sample_id}/image",
    summary="The picture of a sample",
    response_model=None,
    responses=file_answer("The picture, byte for byte as it was sent", "image/*")
    | problems("invalid_parameter", *_NOT_FOUND, "image_not_stored"),
)
async def show_picture(request: Request, sample_id: str, where: Annotated[InGallery, Query()]) -> Response:
    """Return the picture as it was enrolled; its content type follows from its content."""
    service, where = service_of(request), caller_of(request).within(where)
    picture = await service.pipeline.keep(service.engine.gallery.picture, where.gallery, sample_id)
    return Response(picture, media_type=_media_type(picture))


@router.patch(
    "/{sample_id}",
    summary="Change a sample",
    response_model=None,
    responses=answers(SampleAnswer, *JSON_ERRORS, *_NOT_FOUND),
    openapi_extra=json_body(SampleChanges, {"camera": "c4", "captured_at": None}),
)
async def change_sample(request: Request, sample_id: str, where: Annotated[InGallery, Query()]) -> Response:
    """Replace the fields that are given; null clears one (not `identity`)."""
    service, where = service_of(request), caller_of(request).within(where)
    changes = await read_json(request, SampleChanges)
    given = {name: getattr(changes, name) for name in changes.model_fields_set}
    sample = await service.pipeline.keep(service.engine.gallery.update, where.gallery, sample_id, given)
    return json_response(sample_answer(sample))


@router.delete(
    "/{sample_id}",
    summary="Delete a sample",
    response_model=None,
    status_code=204,
    responses=problems("invalid_parameter", *_NOT_FOUND),
)
async def delete_sample(request: Request, sample_id: str, where: Annotated[InGallery, Query()]) -> Response:
    """Delete one sample; no query that starts after the answer finds it."""
    service, where = service_of(request), caller_of(request).within(where)
    await service.pipeline.keep(service.engine.gallery.delete, where.gallery, sample_id, caller_of(request).key_id)
    return Response(status_code=204)


def _media_type(picture: bytes) -> str:
    try:
        return f"image/{sniff(picture).lower()}"
    except UnsupportedMedia:  # no route takes it, but whoever enrols without one may
        return "application/octet-stream"
