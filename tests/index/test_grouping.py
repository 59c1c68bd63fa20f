"""Rows by number against a look at every row."""

import numpy as np

from index.grouping import Grouping


def test_rows_are_found_while_they_come_and_change() -> None:
    random = np.random.default_rng(0)
    grouping, column = Grouping(), np.empty(0, dtype=np.int32)
    for step in range(400):
        new = random.integers(1, 60, int(random.integers(90)) if step else 5000).astype(np.int32)
        start, column = len(column), np.append(column, new)
        grouping.note(np.arange(start, len(column)), column)
        moved = np.unique(random.integers(len(column), size=4))
        column[moved] = random.integers(1, 60, len(moved))
        grouping.note(moved, column)
        if step % 10 == 0:
            wanted = np.unique(random.integers(0, 62, size=5))
            assert grouping.find(wanted, column).tolist() == np.flatnonzero(np.isin(column, wanted)).tolist()


def test_a_look_up_goes_through_few_runs_however_many_rows_came_one_by_one() -> None:
    grouping, column = Grouping(), (np.arange(30_000) % 700).astype(np.int32)
    for row in range(len(column)):
        grouping.note(np.array([row]), column[: row + 1])
    assert [len(run.rows) for run in grouping._runs] == sorted((len(run.rows) for run in grouping._runs), reverse=True)
    assert len(grouping._runs) <= 3
    assert len(grouping._loose) <= 256
    assert grouping.find(np.array([5, 699]), column).tolist() == np.flatnonzero(np.isin(column, [5, 699])).tolist()


def test_a_few_rows_are_found_before_they_are_sorted() -> None:
    grouping, column = Grouping(), np.array([3, 1, 3, 2], dtype=np.int32)
    grouping.note(np.arange(4), column)
    assert grouping.find(np.array([3]), column).tolist() == [0, 2]


def test_rows_ascend_where_all_are_sorted_by_number() -> None:
    grouping, column = Grouping(), (np.arange(1000, 0, -1) % 9).astype(np.int32)
    grouping.note(np.arange(1000), column)
    assert not grouping._loose
    assert grouping.find(np.array([2, 5]), column).tolist() == np.flatnonzero(np.isin(column, [2, 5])).tolist()


def test_nothing_is_found_where_nothing_is() -> None:
    assert Grouping().find(np.array([1]), np.empty(0, dtype=np.int32)).tolist() == []
