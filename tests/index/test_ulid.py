from hypothesis import given
from hypothesis import strategies as st

from index import ulid

NUMBERS = st.integers(0, 2**128 - 1)


@given(NUMBERS)
def test_a_ulid_reads_back(number: int) -> None:
    text = ulid.encode(number)
    assert len(text) == 26
    assert ulid.decode(text) == number


@given(NUMBERS, NUMBERS)
def test_ulids_sort_like_their_numbers(one: int, other: int) -> None:
    assert (ulid.encode(one) < ulid.encode(other)) == (one < other)


def test_ids_ascend_when_the_clock_steps_back() -> None:
    first = ulid.following("0" * 26, 1_800_000_000_000, 3)
    later = ulid.following(first[-1], 1_700_000_000_000, 3)
    assert sorted(first + later) == first + later
    assert len(set(first + later)) == 6


def test_an_id_begins_with_its_time() -> None:
    (made,) = ulid.following("0" * 26, 1_469_922_850_259, 1)
    assert made.startswith("01ARZ3NDEK")  # the example of the ULID specification
