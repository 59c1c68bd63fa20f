"""The drift of a gallery's cameras."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response
from app.callers import caller_of
from app.documentation import answers
from app.drift_schemas import DriftAnswer
from app.parameters import InGallery
from app.service import Service, service_of

router = APIRouter(tags=["operations"])


@router.get(
    "/drift",
    summary="Are the cameras what they are to be like?",
    response_model=None,
    responses=answers(DriftAnswer, "invalid_parameter", "gallery_not_found"),
)
async def show_drift(request: Request, where: Annotated[InGallery, Query()]) -> Response:
    """Compare what queries scored and what pictures were like of late, by camera.

    They are compared with the reference of the serving version's card, and where that has none of a measure with the
    camera's own first 500 values; `compared_with` says which.
    """
    service, where = service_of(request), caller_of(request).within(where)
    return json_response(await service.pipeline.keep(_answer, service, where.gallery))


def _answer(service: Service, gallery: str) -> dict[str, object]:
    service.engine.gallery.identities(gallery, limit=1)
    return service.drift.answer(gallery)
