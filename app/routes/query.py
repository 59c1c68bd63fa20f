"""Who is this? Queries, comparisons of two pictures, and bare embeddings."""

from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import orjson
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from app.answers import JSON, StreamedJson, cosine, json_response
from app.callers import Caller, caller_of
from app.documentation import FORM_ERRORS, MODEL_ERRORS, PICTURE_ERRORS, answers, form_body
from app.errors import InvalidParameter, MalformedRequest
from app.forms import Form, Upload, content_type, form_values, read_form, read_json, refuse_address_fields, validate
from app.parameters import Decision, Parameters, QueryBody, QueryForm, QueryParameters
from app.pipeline import Pixels, Timing
from app.pooling import pool
from app.presence import require_presence
from app.problems import KNOWN_ERRORS, item_error
from app.querying import Query, begin_query, embed_pictures, final_line, rank, written
from app.schemas import BatchAnswer, EmbedAnswer, QueryAnswer, VerifyAnswer
from app.service import Service, service_of
from app.verdict import draw_line
from index.errors import DimensionMismatch, ModelMismatch
from model.errors import ImageError

MAX_TRACKLET = 32
MAX_BATCH = 64
MOST_ROWS = 20_000  # samples of a batch's answers that are held at once
router = APIRouter(tags=["query"])
_ERRORS = (*FORM_ERRORS, *PICTURE_ERRORS, *MODEL_ERRORS)


@router.post(
    "/query",
    summary="Who is this?",
    response_model=None,
    responses=answers(
        QueryAnswer, *_ERRORS, "gallery_not_found", "sample_not_found", "model_mismatch", "dimension_mismatch"
    ),
    openapi_extra=form_body({"image": MAX_TRACKLET}, QueryForm, json=QueryBody, instead="sample_id"),
)
async def query(request: Request) -> Response:
    """Rank the people of a gallery by how alike they are to one person.

    The person is given by `image` files (several are one person's tracklet, pooled into one query), by the
    `sample_id` of an enrolled picture, which is then left out of the answer, or in JSON by an `embedding` with its
    `model_version`.
    """
    service, caller = service_of(request), caller_of(request)
    if content_type(request) == "application/json":
        refuse_address_fields(request, "body")
        answer = await _query_by_json(service, caller.within(await read_json(request, QueryBody)))
    else:
        form = await read_form(request, file_fields=("image",), max_files=MAX_TRACKLET)
        answer = await _query_by_form(service, caller, form)
    return Response(answer, media_type=JSON)


@router.post(
    "/query/batch",
    summary="Who are these?",
    response_model=None,
    responses=answers(BatchAnswer, *FORM_ERRORS, *MODEL_ERRORS, "gallery_not_found"),
    openapi_extra=form_body({"image": MAX_BATCH}, QueryParameters),
)
async def query_batch(request: Request) -> Response:
    """Answer a query for each of up to 64 `image` files, in order; a picture that cannot be used fails alone."""
    service = service_of(request)
    form = await read_form(request, file_fields=("image",), max_files=MAX_BATCH)
    parameters = validate(QueryParameters, form_values(QueryParameters, form.fields))
    started = begin_query(service, caller_of(request).within(parameters))
    _require_files(form)
    pieces = _query_each(service, started, form)
    first = await anext(pieces)  # what is wrong with the request is told before the answer begins
    second = await anext(pieces, None)
    if second is None:
        return Response(first, media_type=JSON)
    if request.scope["http_version"] == "1.0":
        raise MalformedRequest("expected HTTP/1.1 for an answer of this size, which comes in parts, found HTTP/1.0")

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        yield second
        async for piece in pieces:
            yield piece

    return StreamedJson(all_pieces())


@router.post(
    "/verify",
    summary="Are these the same person?",
    response_model=None,
    responses=answers(VerifyAnswer, *_ERRORS),
    openapi_extra=form_body({"image_a": 1, "image_b": 1}, Decision),
)
async def verify(request: Request) -> Response:
    """Compare two pictures, `image_a` and `image_b`."""
    service = service_of(request)
    names = ("image_a", "image_b")
    form = await read_form(request, file_fields=names, max_files=2)
    model = service.engine.model
    line = draw_line(model.card.calibration, validate(Decision, form_values(Decision, form.fields)))
    pictures = [_one_file(form, name) for name in names]
    embedder = model.embedder
    first, second = await embed_pictures(service, embedder, pictures, Timing())
    score = cosine(float(np.dot(first, second)))
    return json_response(
        {
            "score": score,
            "match": line.matches(score),
            "threshold": line.threshold,
            "false_match_rate": line.false_match_rate,
            "model_version": embedder.version,
        }
    )


@router.post(
    "/embed",
    summary="The embeddings of pictures",
    response_model=None,
    responses=answers(EmbedAnswer, *_ERRORS),
    openapi_extra=form_body({"image": MAX_BATCH}),
)
async def embed(request: Request) -> Response:
    """Return the embedding of each of up to 64 `image` files, of unit length, in order."""
    service = service_of(request)
    form = await read_form(request, file_fields=("image",), max_files=MAX_BATCH)
    validate(Parameters, form_values(Parameters, form.fields))
    _require_files(form)
    embedder = service.engine.embedder
    vectors = await embed_pictures(service, embedder, form.files, Timing())
    return json_response({"model_version": embedder.version, "dim": embedder.dim, "embeddings": vectors.tolist()})


async def _query_by_form(service: Service, caller: Caller, form: Form) -> bytes:
    parameters = caller.within(validate(QueryForm, form_values(QueryForm, form.fields)))
    if parameters.sample_id is not None:
        if form.files:
            raise InvalidParameter("sample_id", "expected either image files or a sample_id, found both")
        return await _query_by_sample(service, parameters, parameters.sample_id)
    _require_files(form, "or a sample_id")
    started = begin_query(service, parameters)
    vectors = await embed_pictures(service, started.embedder, form.files, started.timing)
    return await _answer(service, started, pool(vectors))


async def _query_by_json(service: Service, body: QueryBody) -> bytes:
    active = service.engine.embedder.version
    if body.model_version not in (None, active):
        raise ModelMismatch(f"expected an embedding of the active version {active}, found one of {body.model_version}")
    if (body.embedding is None) == (body.sample_id is None):
        found = "neither" if body.embedding is None else "both"
        raise InvalidParameter("embedding", f"expected either an embedding or a sample_id, found {found}")
    if body.sample_id is not None:
        return await _query_by_sample(service, body, body.sample_id)
    if body.model_version is None:
        raise InvalidParameter("model_version", "expected the version that made the embedding, found none")
    started = begin_query(service, body)
    return await _answer(service, started, _unit(body.embedding or [], started.embedder.dim))


async def _query_by_sample(service: Service, parameters: QueryForm, sample_id: str) -> bytes:
    started = begin_query(service, parameters, exclude_sample=sample_id)
    embed = partial(service.engine.gallery.embedding, model_version=started.embedder.version)
    embedding = await service.pipeline.keep(embed, parameters.gallery, sample_id)
    return await _answer(service, started, embedding)


async def _answer(service: Service, started: Query, embedding: NDArray[np.float32]) -> bytes:
    [ranking] = await rank(service, started, embedding[None])
    line = await final_line(service, started, ranking.enrolled)
    [answer] = await written(service, started, line, [ranking])
    return answer


async def _query_each(service: Service, started: Query, form: Form) -> AsyncIterator[bytes]:
    """Yield the answer to a batch, a few queries at a time: all of a large one would be too much to hold.

    What fails after the first of them fails alone, for the answer has begun.
    """
    told = {place: _refused(service, each.error) for place, each in enumerate(form.files) if each.error is not None}
    places = [place for place in range(len(form.files)) if place not in told]
    decoded = await service.pipeline.decode(
        [form.files[place].data for place in places], started.embedder.contract, started.timing
    )
    good: dict[int, Pixels] = {}
    for place, each in zip(places, decoded, strict=True):
        if isinstance(each, ImageError):
            told[place] = _refused(service, each)
        else:
            good[place] = each
    if not good:
        # a search would ask for the gallery
        await service.pipeline.read(partial(service.engine.gallery.known, started.parameters.gallery, ()))
        yield _listed(told, 0, len(form.files), len(form.files))
        return
    vectors = await service.pipeline.embed(started.embedder, list(good.values()), started.timing)
    few = max(1, MOST_ROWS // (started.parameters.top_k * max(1, started.parameters.samples_per_identity)))
    sent, line = 0, None
    for start in range(0, len(good), few):
        require_presence()
        now = list(good)[start : start + few]
        try:
            rankings = await rank(service, started, vectors[start : start + few])
            line = line or await final_line(service, started, rankings[0].enrolled)
            told |= zip(now, await written(service, started, line, rankings), strict=True)
        except KNOWN_ERRORS as exc:
            if not sent:
                raise
            told |= dict.fromkeys(now, _refused(service, exc))
        end = now[-1] + 1 if start + few < len(good) else len(form.files)
        yield _listed(told, sent, end, len(form.files))
        sent = end


def _listed(told: dict[int, bytes], start: int, end: int, all_of_them: int) -> bytes:
    """Take the answers from `start` up to `end` out, and return them as that part of the JSON."""
    part = b"".join((b"," if place else b'{"results":[') + told.pop(place) for place in range(start, end))
    return part + b"]}" if end == all_of_them else part


def _refused(service: Service, error: Exception) -> bytes:
    told = item_error(error)
    service.metrics.rejected(told["code"])
    return orjson.dumps({"error": told})


def _unit(values: list[float], dim: int) -> NDArray[np.float32]:
    if len(values) != dim:
        raise DimensionMismatch(f"expected an embedding of {dim} numbers, found {len(values)}")
    vector = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(vector).max())
    if not largest:
        raise InvalidParameter("embedding", "expected an embedding with a direction, found zeros")
    vector /= largest  # else the squares of its length could leave float64's range
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _require_files(form: Form, alternative: str = "") -> None:
    if not form.files:
        raise InvalidParameter("image", " ".join(("expected at least one image file", alternative)).strip())


def _one_file(form: Form, name: str) -> Upload:
    files = [each for each in form.files if each.name == name]
    if len(files) != 1:
        raise InvalidParameter(name, f"expected one file, found {len(files)}")
    return files[0]
