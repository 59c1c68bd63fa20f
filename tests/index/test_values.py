from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import values
from index.errors import DimensionMismatch, InvalidValue
from tests.index.people import vector

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_names_are_normalised_to_nfc() -> None:
    assert values.name("identity", "Zoe\u0308") == "Zo\u00eb"


@pytest.mark.parametrize("name", ["a", "0005", "a/b", " ", "人" * 256, "e\u0301" * 256])
def test_a_name_is_accepted(name: str) -> None:
    assert len(values.name("identity", name)) <= 256


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "a\x00", "\x7f", "\x85", "\ud800", 5, None])
def test_a_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidValue, match="expected identity") as caught:
        values.name("identity", name)
    assert caught.value.field == "identity"


def test_times_keep_their_microseconds() -> None:
    time = datetime(2026, 5, 1, 10, 0, 0, 123457, tzinfo=timezone(timedelta(hours=2)))
    since = values.microseconds("captured_at", time)
    assert since is not None
    assert values.moment(since) == time
    assert values.moment(since).tzinfo is UTC


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_times_of_any_year(year: int) -> None:
    time = datetime(year, 6, 1, tzinfo=UTC)
    since = values.microseconds("captured_at", time)
    assert since is not None
    assert values.moment(since) == time


@pytest.mark.parametrize(
    "time",
    [datetime(2026, 5, 1), "2026-05-01", datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))],
)
def test_a_time_is_refused(time: object) -> None:
    with pytest.raises(InvalidValue, match="captured_at"):
        values.microseconds("captured_at", time)


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": float("nan")},
        {"a": float("inf")},
        {1: 2},
        {"a": {2: 3}},
        {"a": {3}},
        [1],
        "x",
        {"a": "\ud800"},
        {"a": 2**64},
    ],
)
def test_attributes_are_refused(attributes: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        values.attributes(attributes)
    assert caught.value.field == "attributes"


def test_attributes_are_bounded() -> None:
    with pytest.raises(InvalidValue, match="at most 16384 bytes"):
        values.attributes({"a": "x" * 16384})
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(InvalidValue, match="32 deep"):
        values.attributes({"a": deep})


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        (1, "1", False),
        ("", None, False),
        ([1, 2], [2, 1], False),
        ([1.0], (1,), True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        (2.0**60, 2**60, True),
        (2**53 + 1, float(2**53), False),
        (-0.0, 0, True),
    ],
)
def test_pairs_are_equal_as_json_is(one: object, other: object, equal: bool) -> None:
    assert (values.pairs(1, {"k": one}) == values.pairs(1, {"k": other})) is equal


@given(JSON)
def test_pairs_are_the_same_for_the_same_value(value: object) -> None:
    assert values.pairs(1, {"k": value}) == values.pairs(1, {"k": value})
    assert values.pairs(1, {"k": value}) != values.pairs(2, {"k": value})
    assert values.pairs(1, {"k": value}) != values.pairs(1, {"k": [value]})


def test_an_embedding_is_taken_as_it_is() -> None:
    given_one = vector(1)
    assert values.embedding("embedding", given_one, len(given_one)).tobytes() == given_one.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_embedding_must_be_finite(bad: float) -> None:
    broken = vector(1)
    broken[3] = bad
    with pytest.raises(InvalidValue, match="finite"):
        values.embedding("embedding", broken, len(broken))


def test_an_embedding_must_be_of_unit_length() -> None:
    with pytest.raises(InvalidValue, match=r"length 1, found 1\.1000"):
        values.embedding("embedding", vector(1) * np.float32(1.1), 16)


@pytest.mark.parametrize("shape", [(15,), (17,), (1, 16), ()])
def test_an_embedding_must_have_the_dimension(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch, match="16 numbers"):
        values.embedding("embedding", np.zeros(shape, dtype=np.float32), 16)
