from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.forms import form_values, validate
from app.parameters import QueryBody, QueryForm, SampleChanges, check_attributes, parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T10:00:00Z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01t10:00:00z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01 10:00:00.25+02:00", datetime(2026, 5, 1, 8, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_times_are_turned_to_utc(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-05-01T10:00:00",
        "2026-05-01",
        "1700000000",
        1700000000,
        "2026-02-30T10:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "",
        "2026-05-01T10:00:00Z\n",
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_time(value)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_attributes_up_to_the_limits_are_taken() -> None:
    assert check_attributes(nested(31)) == nested(31)
    assert check_attributes({"a": "x" * 16_000})


@pytest.mark.parametrize(
    "value", [nested(33), nested(500), {"a": "x" * 16_400}, {"a": 2**70}, {"a": "\ud800"}, {"a": object()}]
)
def test_attributes_that_cannot_be_kept_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_attributes(value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("top_k", "0"),
        ("top_k", "1001"),
        ("top_k", "ten"),
        ("top_k", "1.5"),
        ("samples_per_identity", "-1"),
        ("samples_per_identity", "101"),
        ("threshold", "1.01"),
        ("threshold", "nan"),
        ("false_match_rate", "0"),
        ("false_match_rate", "1"),
        ("false_match_rate", "inf"),
        ("false_alarm_rate", "0.0009"),
        ("false_alarm_rate", "1"),
        ("captured_after", "yesterday"),
        ("captured_before", "2026-05-01T10:00:00"),
        ("attributes", "{"),
        ("attributes", "[]"),
        ("attributes", "NaN"),
        ("rerank", "maybe"),
        ("camera", ""),
        ("gallery", ""),
        ("colour", "red"),
        ("embedding", "[1]"),
    ],
)
def test_wrong_form_field_is_named(field: str, text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validate(QueryForm, form_values(QueryForm, [(field, text)]))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "json"),
    [("top_k", '"10"'), ("top_k", "true"), ("rerank", "1"), ("camera", '"c1"'), ("threshold", "NaN"), ("x", "1")],
)
def test_json_types_are_strict(field: str, json: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validate(QueryBody, f'{{"{field}": {json}}}'.encode())
    assert caught.value.field == field


def test_form_and_json_say_the_same() -> None:
    form = validate(
        QueryForm,
        form_values(
            QueryForm,
            [
                ("camera", "c1"),
                ("camera", "c2"),
                ("exclude_camera", "c3"),
                ("top_k", "5"),
                ("attributes", '{"bag": true}'),
                ("captured_after", "2026-05-01T10:00:00Z"),
                ("rerank", "true"),
                ("threshold", "0.5"),
            ],
        ),
    )
    json = validate(
        QueryBody,
        b'{"camera": ["c1", "c2"], "exclude_camera": ["c3"], "top_k": 5, "attributes": {"bag": true},'
        b'"captured_after": "2026-05-01T10:00:00Z", "rerank": true, "threshold": 0.5}',
    )
    assert form.model_dump() == json.model_dump(exclude={"embedding", "model_version"})
    assert form.where().cameras == {"c1", "c2"}
    assert form.where().exclude_cameras == {"c3"}


def test_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="once"):
        form_values(QueryForm, [("top_k", "1"), ("top_k", "2")])


def test_identity_can_be_replaced_and_not_cleared() -> None:
    assert validate(SampleChanges, b'{"camera": null}').model_fields_set == {"camera"}
    for body in (b'{"identity": null}', b'{"identity": ""}'):
        with pytest.raises(InvalidParameter) as caught:
            validate(SampleChanges, body)
        assert caught.value.field == "identity"
