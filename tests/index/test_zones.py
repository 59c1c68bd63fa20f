"""Windows of time against a comparison with every row."""

import numpy as np
import pytest

from index import zones
from index.roster import NO_TIME, Ints
from index.zones import Zones

LAST = np.iinfo(np.int64).max


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "_BLOCK", 8)


def times_of(rows: int, random: np.random.Generator, disorder: int) -> Ints:
    """Times that ascend with rows, more or less; of some rows none is known."""
    times = np.arange(rows) * 10 + random.integers(0, disorder + 1, rows)
    return np.where(random.random(rows) < 0.02, NO_TIME, times)


def require_right(known: Zones, times: Ints, random: np.random.Generator) -> None:
    for _ in range(20):
        first, end = np.sort(random.integers(-50, 10 * len(times) + 50, 2)).tolist()
        for low, high in ((first, end), (NO_TIME + 1, end), (first, LAST), (first, first)):
            expected = [low <= time < high for time in times.tolist()]
            assert known.within(times, low, high).tolist() == expected


@pytest.mark.parametrize("disorder", [0, 30, 100_000])
def test_a_window_holds_the_rows_whose_time_is_in_it(disorder: int) -> None:
    random = np.random.default_rng(disorder)
    known, times = Zones(), np.empty(0, dtype=np.int64)
    for count in (1, 6, 1, 500, 0, 300):
        start = len(times)
        times = np.append(times, times_of(start + count, random, disorder)[start:])
        known.note(np.arange(start, start + count), times[start:])
        require_right(known, times, random)


def test_a_time_that_was_replaced_is_found_where_it_is_now() -> None:
    random = np.random.default_rng(1)
    known, times = Zones(), times_of(800, random, 0)
    known.note(np.arange(800), times)
    for _ in range(5):
        moved = np.unique(random.integers(800, size=3))
        times[moved] = random.integers(0, 8000, len(moved))
        known.note(moved, times[moved])
        require_right(known, times, random)


def test_blocks_that_lie_inside_or_outside_are_not_compared() -> None:
    known, times = Zones(), np.arange(800)
    known.note(np.arange(800), times)
    elsewhere = times.copy()
    elsewhere[304:400] = -1  # whole blocks, which nobody is to look at
    assert known.within(elsewhere, 300, 500).tolist() == [300 <= row < 500 for row in range(800)]
    assert not known.within(elsewhere, 801, 900).any()


def test_no_rows_are_in_no_window() -> None:
    assert Zones().within(np.empty(0, dtype=np.int64), 0, 5).tolist() == []
