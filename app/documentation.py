"""What OpenAPI says beyond what the signatures do: bodies, examples and every error of a route."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from app import drift_schemas, schemas, suspect_schemas
from app.problems import MEDIA_TYPE, STATUS_OF
from app.schemas import ProblemAnswer

Responses: TypeAlias = dict[int | str, dict[str, Any]]
Extra: TypeAlias = dict[str, Any]
_PICTURE: dict[str, Any] = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or BMP, up to 10 MB"}

PICTURE_ERRORS = (
    "file_too_large",
    "too_many_pixels",
    "unsupported_media",
    "image_undecodable",
    "image_truncated",
    "image_too_small",
)
FORM_ERRORS = ("invalid_parameter", "malformed_request", "request_too_large", "too_many_images")
JSON_ERRORS = ("invalid_parameter", "malformed_request", "request_too_large")
MODEL_ERRORS = ("overloaded", "not_ready")
KEY_ERRORS = ("unauthorized", "forbidden", "overloaded", "not_ready")
EXAMPLES: dict[str, Any] = {
    kind.__name__: kind.model_config["json_schema_extra"]["examples"]  # type: ignore[index]
    for module in (schemas, drift_schemas, suspect_schemas)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and "json_schema_extra" in kind.model_config
}


def answers(kind: type[BaseModel], *codes: str, status: int = 200) -> Responses:
    """Describe a route's good answer, and the errors that it may answer with instead."""
    return {status: {"model": kind}, **problems(*codes)}


def problems(*codes: str) -> Responses:
    """Describe the errors that a route may answer with, by status."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, "internal_error")):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    described: Responses = {status: _problem(status, named) for status, named in sorted(by_status.items())}
    return {**described, "default": {"description": "Any other error", "content": {MEDIA_TYPE: {}}}}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": " or ".join(f"`{code}`" for code in codes),
        "model": ProblemAnswer,
        "content": {MEDIA_TYPE: {"examples": {code: {"value": _sample_problem(status, code)} for code in codes}}},
    }
    if status == STATUS_OF["overloaded"]:
        described["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return described


def _sample_problem(status: int, code: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": status,
        "detail": "what was expected, and what was found",
        "code": code,
        "request_id": "8f4f0a6a5d0c4a0c9e7e3c1b2a190807",
    }


def form_body(
    files: Mapping[str, int],
    fields: type[BaseModel] | None = None,
    json: type[BaseModel] | None = None,
    *,
    instead: str | None = None,
    **more: Mapping[str, Any],
) -> Extra:
    """Describe a multipart body (and its JSON counterpart); `files` gives the most files for each name.

    All files are required, or else the field `instead`.
    """
    properties = {name: _files(most) for name, most in files.items()}
    if fields is not None:
        properties |= {name: _plain(schema) for name, schema in _schema(fields)["properties"].items()}
    needed = {"required": list(files)}
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": properties | more,
                "additionalProperties": False,
                **(needed if instead is None else {"oneOf": [needed, {"required": [instead]}]}),
            }
        }
    }
    if json is not None:
        content["application/json"] = {"schema": _schema(json)}
    return {"requestBody": {"required": True, "content": content}}


def json_body(kind: type[BaseModel], example: Mapping[str, object]) -> Extra:
    """Describe a JSON body."""
    media = {"schema": _schema(kind), "example": dict(example)}
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def file_answer(description: str, media_type: str) -> Responses:
    """Describe an answer that is not JSON."""
    return {
        200: {"description": description, "content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}
    }


def _files(most: int) -> dict[str, Any]:
    if most == 1:
        return _PICTURE
    return {"type": "array", "items": _PICTURE, "minItems": 1, "maxItems": most}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a form field's schema without null, which a form leaves out instead."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**kept, **kinds[0]}


def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    schema.pop("title", None)
    return schema
