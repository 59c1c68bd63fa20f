"""Likely wrong labels of a gallery: look for them, and show them."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response
from app.auditing import audit_answer
from app.callers import caller_of
from app.documentation import answers
from app.findings import SuspectsAnswer
from app.parameters import SHOWN_FINDINGS, AuditParameters, FindingsPage
from app.service import service_of
from app.verdict import draw_line

router = APIRouter(prefix="/suspects", tags=["suspects"])


@router.post(
    "",
    summary="Look for wrong labels",
    response_model=None,
    status_code=202,
    responses=answers(
        SuspectsAnswer, "invalid_parameter", "gallery_not_found", "model_mismatch", "overloaded", status=202
    ),
)
async def find_suspects(request: Request, wanted: Annotated[AuditParameters, Query()]) -> Response:
    """Compare every sample with the means of all identities, in the background; `GET /suspects` says how far it is.

    One that is under way is answered as it is. Two identities may be one person when the mean score between their
    samples reaches `threshold`, or the threshold at `false_match_rate`.
    """
    service, wanted = service_of(request), caller_of(request).within(wanted)
    line = draw_line(service.engine.model.card.calibration, wanted)
    store = service.engine.gallery
    job = await service.pipeline.keep(service.audits.start, store, wanted.gallery, line.threshold)
    answer = await service.pipeline.keep(audit_answer, store, wanted.gallery, job, SHOWN_FINDINGS)
    return json_response(answer, 202)


@router.get(
    "",
    summary="Show likely wrong labels",
    response_model=None,
    responses=answers(SuspectsAnswer, "invalid_parameter", "gallery_not_found", "model_mismatch"),
)
async def show_suspects(request: Request, page: Annotated[FindingsPage, Query()]) -> Response:
    """Return the latest audit: samples that look like another identity, and identities that may be one person.

    What was corrected, merged or deleted since is left out. Act on one with `PATCH /gallery/{sample_id}`,
    `PATCH /identities/{identity}` or `DELETE /gallery/{sample_id}`.
    """
    service, page = service_of(request), caller_of(request).within(page)
    job = service.audits.latest(page.gallery)
    answer = await service.pipeline.keep(audit_answer, service.engine.gallery, page.gallery, job, page.limit)
    return json_response(answer)
