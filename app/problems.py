"""Errors as `application/problem+json`: the one place that knows both the errors and the status codes."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

import index.errors as gallery
import model.errors as model
from app import errors
from app.advice import advised

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told: an HTTP status, a stable code and the text."""

    status: int
    code: str
    detail: str
    field: str | None = None
    retry_after: int | None = None

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the RFC 9457 members."""
        members: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        return members if self.field is None else {**members, "field": self.field}

    def response(self, request_id: str) -> Response:
        """Return the whole answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="reid"'
        content = orjson.dumps(self.body(request_id))
        return Response(content, self.status, headers=headers, media_type=MEDIA_TYPE)


# The first class that fits decides, so a base class comes after those derived from it.
_CODES: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.Unauthorized, 401, "unauthorized"),
    (errors.Forbidden, 403, "forbidden"),
    (errors.InvalidParameter, 400, "invalid_parameter"),
    (errors.InvalidMetadata, 400, "invalid_metadata"),
    (errors.MalformedRequest, 400, "malformed_request"),
    (errors.FileTooLarge, 413, "file_too_large"),
    (errors.RequestTooLarge, 413, "request_too_large"),
    (errors.TooManyImages, 413, "too_many_images"),
    (errors.Overloaded, 429, "overloaded"),
    (errors.NotReady, 503, "not_ready"),
    (errors.EmbeddingFailed, 503, "not_ready"),
    (errors.WorkerDied, 503, "not_ready"),
    (errors.VersionPinned, 409, "migration_state"),
    (gallery.GalleryNotFound, 404, "gallery_not_found"),
    (gallery.SampleNotFound, 404, "sample_not_found"),
    (gallery.IdentityNotFound, 404, "identity_not_found"),
    (gallery.PictureNotStored, 404, "image_not_stored"),
    (gallery.ExternalIdConflict, 409, "external_id_conflict"),
    (gallery.ModelMismatch, 409, "model_mismatch"),
    (gallery.DimensionMismatch, 422, "dimension_mismatch"),
    (gallery.MigrationNotFound, 404, "migration_not_found"),
    (gallery.MigrationUnderWay, 409, "migration_in_progress"),
    (gallery.MigrationState, 409, "migration_state"),
    (gallery.MigrationRefused, 409, "migration_state"),
    (gallery.InvalidValue, 400, "invalid_parameter"),
    (gallery.SampleDamaged, 500, "internal_error"),
    (gallery.DeletionUnfinished, 500, "internal_error"),  # no 503: sent again, it finds nothing to delete
    (gallery.StoreUnavailable, 503, "not_ready"),
    (model.UnsupportedMedia, 415, "unsupported_media"),
    (model.ImageTruncated, 422, "image_truncated"),
    (model.ImageTooSmall, 422, "image_too_small"),
    (model.TooManyPixels, 413, "too_many_pixels"),
    (model.ImageError, 422, "image_undecodable"),
    (model.VersionNotFound, 404, "model_not_found"),
    (model.PromotionRefused, 409, "migration_state"),
    (model.ContractError, 503, "not_ready"),
    (model.VersionDamaged, 503, "not_ready"),
    (model.RegistryError, 503, "not_ready"),
)
KNOWN_ERRORS: tuple[type[Exception], ...] = (errors.ImageRefused, *(kind for kind, _, _ in _CODES))
# These tell of the machine (a path, an SQL text may be in them): the text goes to the log alone.
_INWARD = (gallery.StoreUnavailable,)
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed"}
STATUS_OF = {code: status for _, status, code in _CODES}


def describe(error: Exception) -> Problem | None:
    """Return the problem that an error is told as, or None when it is not one that clients may cause."""
    if isinstance(error, errors.ImageRefused):
        inner = describe(error.error)
        return inner and Problem(inner.status, inner.code, str(error), error.field)
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return Problem(
                status, code, _detail(error), getattr(error, "field", None), getattr(error, "retry_after", None)
            )
    return None


def http_problem(status: int, method: str, detail: str) -> Problem:
    """Return the problem for what the router refuses: no such path, no such method."""
    told = {
        404: "expected a path that /docs lists, found another",
        405: f"expected a method that this path takes (see the Allow header), found {method}",
    }
    return Problem(status, _STATUS_CODES.get(status, "malformed_request"), told.get(status, detail))


def internal() -> Problem:
    """Return the problem for an error of our own; its text is in the log under the request's id."""
    return Problem(500, "internal_error", "an error of the service; the log has it under this request_id")


def item_error(error: Exception) -> dict[str, Any]:
    """Return what is told of one item that failed among others."""
    problem = describe(error) or internal()
    told: dict[str, Any] = {"code": problem.code, "detail": problem.detail}
    return told if problem.field is None else {**told, "field": problem.field}


def _detail(error: Exception) -> str:
    if isinstance(error, gallery.DeletionUnfinished):
        return f"{error.holds}; the log says why, and the service goes on removing it"
    if isinstance(error, _INWARD):
        return "a store or file that the service needs cannot be used; the log says which"
    return advised(error)
