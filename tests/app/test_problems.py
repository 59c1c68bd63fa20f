import inspect
from http import HTTPStatus
from types import ModuleType

import orjson
import pytest

import index.errors
import model.errors
from app import errors
from app.problems import STATUS_OF, describe, http_problem, internal, item_error

# What the HTTP contract promises, and what the product may add to it.
CONTRACT = {
    400: {"invalid_parameter", "invalid_metadata", "malformed_request"},
    401: {"unauthorized"},
    403: {"forbidden"},
    404: {
        "gallery_not_found",
        "sample_not_found",
        "identity_not_found",
        "model_not_found",
        "migration_not_found",
        "image_not_stored",
    },
    409: {"external_id_conflict", "migration_in_progress", "migration_state", "model_mismatch"},
    413: {"file_too_large", "request_too_large", "too_many_images", "too_many_pixels"},
    415: {"unsupported_media"},
    422: {"image_undecodable", "image_truncated", "image_too_small", "dimension_mismatch"},
    429: {"overloaded"},
    500: {"internal_error"},
    503: {"not_ready"},
}


def kinds(module: ModuleType) -> list[type[Exception]]:
    members = [each for _, each in inspect.getmembers(module, inspect.isclass)]
    return [each for each in members if issubclass(each, Exception)]


def test_codes_and_statuses_are_the_contracts() -> None:
    assert {code: status for status, codes in CONTRACT.items() for code in codes} == STATUS_OF


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (model.errors.UnsupportedMedia, "unsupported_media"),
        (model.errors.ImageUndecodable, "image_undecodable"),
        (model.errors.ImageTruncated, "image_truncated"),
        (model.errors.ImageTooSmall, "image_too_small"),
        (model.errors.TooManyPixels, "too_many_pixels"),
    ],
)
def test_every_image_error_keeps_its_code(kind: type[Exception], code: str) -> None:
    problem = describe(kind("expected this, found that"))
    assert problem is not None
    assert (problem.code, problem.detail) == (code, "expected this, found that")


def test_gallery_errors_are_told_unless_they_are_our_own() -> None:
    untold = (index.errors.BackupRefused, index.errors.KeyNotFound)  # these have no route
    own = (index.errors.GalleryError, index.errors.StoreDamaged, *untold)
    of_two_texts = (index.errors.InvalidValue, index.errors.DeletionUnfinished)
    for kind in kinds(index.errors):
        error = kind("camera", "found that") if kind in of_two_texts else kind("found that")
        problem = describe(error)
        assert (problem is None) == (kind in own), kind


def test_field_is_told() -> None:
    problem = describe(index.errors.InvalidValue("camera", "expected less"))
    assert problem is not None
    assert problem.field == "camera"
    assert problem.body("id")["field"] == "camera"
    assert "field" not in internal().body("id")


def test_text_of_a_broken_store_stays_inside() -> None:
    problem = describe(index.errors.StoreUnavailable("SELECT * FROM /data/reid.db"))
    assert problem is not None
    assert "SELECT" not in problem.detail
    assert problem.code == "not_ready"


def test_a_deletion_that_holds_is_no_request_to_send_again() -> None:
    problem = describe(index.errors.DeletionUnfinished("sample", "/data/pictures is full"))
    assert problem is not None
    assert (problem.status, problem.code) == (500, "internal_error")
    assert problem.detail.startswith("the sample is deleted and nobody finds it any more")
    assert "/data" not in problem.detail


def test_refused_picture_has_the_code_of_its_reason() -> None:
    problem = describe(errors.ImageRefused("image", 3, model.errors.ImageTruncated("expected more")))
    assert problem is not None
    assert (problem.status, problem.code, problem.field) == (422, "image_truncated", "image")
    assert problem.detail == "image 3: expected more"


def test_overload_says_when_to_come_back() -> None:
    problem = describe(errors.Overloaded("expected less", retry_after=7))
    assert problem is not None
    assert problem.response("id").headers["Retry-After"] == "7"


def test_unknown_errors_are_not_told() -> None:
    assert describe(ValueError("/etc/passwd")) is None
    assert item_error(ValueError("/etc/passwd")) == {"code": "internal_error", "detail": internal().detail}


def test_response_is_problem_json() -> None:
    response = http_problem(405, "PUT", "Method Not Allowed").response("the-id")
    assert response.media_type == "application/problem+json"
    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert orjson.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "expected a method that this path takes (see the Allow header), found PUT",
        "code": "method_not_allowed",
        "request_id": "the-id",
    }
