"""Likely wrong labels of a gallery: look for them, and show them."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response
from app.auditing import audit_answer
from app.callers import caller_of
from app.documentation import JSON_ERRORS, answers, json_body, problems
from app.forms import read_json
from app.parameters import SHOWN_FINDINGS, AuditParameters, FindingsPage, InGallery, RightLabel, TwoPeople
from app.service import service_of
from app.suspect_schemas import ForgottenAnswer, SuspectsAnswer
from app.verdict import draw_line
from index.keys import Scope

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
    samples reaches `threshold`, or the threshold at `false_match_rate`. The more identities, the more pairs reach it by
    chance: `by_chance` tells how many. An identity's only sample has nothing to be compared with; `alone` counts those.
    """
    service, wanted = service_of(request), caller_of(request).within(wanted)
    line = draw_line(service.engine.model.card.calibration, wanted)
    store = service.engine.gallery
    job = await service.pipeline.keep(service.audits.start, store, wanted.gallery, line)
    shown = SHOWN_FINDINGS if caller_of(request).has(Scope.QUERY) else 0  # who may not read is told how far it is
    answer = await service.pipeline.keep(audit_answer, store, wanted.gallery, job, shown)
    return json_response(answer, 202)


@router.get(
    "",
    summary="Show likely wrong labels",
    response_model=None,
    responses=answers(SuspectsAnswer, "invalid_parameter", "gallery_not_found", "model_mismatch"),
)
async def show_suspects(request: Request, page: Annotated[FindingsPage, Query()]) -> Response:
    """Return the latest audit: samples that look like another identity, and identities that may be one person.

    What was corrected, merged, deleted or called right since is left out. Act on one with `PATCH /gallery/{sample_id}`,
    `PATCH /identities/{identity}`, `DELETE /gallery/{sample_id}`, `POST /suspects/right` or `POST /suspects/apart`.
    """
    service, page = service_of(request), caller_of(request).within(page)
    job = service.audits.latest(page.gallery)
    answer = await service.pipeline.keep(audit_answer, service.engine.gallery, page.gallery, job, page.limit)
    return json_response(answer)


@router.post(
    "/right",
    summary="Call a label right",
    response_model=None,
    status_code=204,
    responses=problems(*JSON_ERRORS, "gallery_not_found", "sample_not_found"),
    openapi_extra=json_body(RightLabel, {"sample_id": "01KBQ4V7Y2N8W5T3R6M9XJ0ZCD"}),
)
async def call_right(request: Request, where: Annotated[InGallery, Query()]) -> Response:
    """Say that a sample is of the identity that it has; no audit lists it as long as it is that identity's."""
    service, where = service_of(request), caller_of(request).within(where)
    label = await read_json(request, RightLabel)
    await service.pipeline.keep(service.engine.gallery.labels.call_right, where.gallery, label.sample_id)
    return Response(status_code=204)


@router.post(
    "/apart",
    summary="Call two identities two people",
    response_model=None,
    status_code=204,
    responses=problems(*JSON_ERRORS, "gallery_not_found", "identity_not_found"),
    openapi_extra=json_body(TwoPeople, {"identities": ["0021", "walker"]}),
)
async def call_apart(request: Request, where: Annotated[InGallery, Query()]) -> Response:
    """Say that two identities are two people; no audit takes them for one again."""
    service, where = service_of(request), caller_of(request).within(where)
    two = await read_json(request, TwoPeople)
    await service.pipeline.keep(service.engine.gallery.labels.call_apart, where.gallery, *two.identities)
    return Response(status_code=204)


@router.delete(
    "/answers",
    summary="Ask about everything again",
    response_model=None,
    responses=answers(ForgottenAnswer, "invalid_parameter", "gallery_not_found"),
)
async def forget_answers(request: Request, where: Annotated[InGallery, Query()]) -> Response:
    """Forget which labels of a gallery were called right, and which identities two people."""
    service, where = service_of(request), caller_of(request).within(where)
    forgotten = await service.pipeline.keep(service.engine.gallery.labels.forget, where.gallery)
    return json_response({"gallery": where.gallery, "forgotten": forgotten})
