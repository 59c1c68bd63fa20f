import numpy as np
import pytest

from index.roster import Facts, Roster


def facts(*ids: int) -> Facts:
    numbers = np.array(ids, dtype=np.int64)
    return Facts(numbers, numbers * 10, numbers % 3, numbers * 100)


def filled(*ids: int) -> Roster:
    roster = Roster()
    roster.append(facts(*ids))
    return roster


def test_rows_are_found_by_id() -> None:
    roster = filled(2, 5, 9)
    assert roster.find(np.array([9, 1, 5, 10, 2, 3])).tolist() == [2, -1, 1, -1, 0, -1]


def test_an_empty_roster_finds_nothing() -> None:
    assert Roster().find(np.array([1, 2])).tolist() == [-1, -1]


def test_it_grows() -> None:
    roster = Roster()
    for start in range(1, 5000, 7):
        roster.append(facts(*range(start, start + 7)))
    assert roster.facts.ids.tolist() == list(range(1, roster.rows + 1))
    assert roster.facts.identities[-1] == roster.rows * 10
    assert len(roster) == roster.rows


def test_killed_rows_are_not_found() -> None:
    roster = filled(1, 2, 3)
    roster.kill(np.array([1]))
    assert roster.find(np.array([1, 2, 3])).tolist() == [0, -1, 2]
    assert roster.live.tolist() == [True, False, True]
    assert len(roster) == 2


def test_compacting_keeps_the_living() -> None:
    roster = filled(1, 2, 3, 4)
    roster.kill(np.array([0, 2]))
    assert roster.compact().tolist() == [1, 3]
    assert roster.facts.ids.tolist() == [2, 4]
    roster.append(facts(7))
    assert roster.find(np.array([7])).tolist() == [2]


def test_facts_are_replaced() -> None:
    roster = filled(1, 2)
    roster.update(np.array([1]), Facts(*(np.array([value]) for value in (2, 77, 0, 5))))
    assert roster.facts.identities.tolist() == [10, 77]


@pytest.mark.parametrize("ids", [(3,), (2,), (6, 5), (6, 6)])
def test_ids_must_ascend(ids: tuple[int, ...]) -> None:
    roster = filled(1, 3)
    with pytest.raises(ValueError, match="must ascend"):
        roster.append(facts(*ids))
