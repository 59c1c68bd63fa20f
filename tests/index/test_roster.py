import numpy as np
import pytest

from index.roster import Facts, Roster, as_facts


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


def test_identities_find_their_rows() -> None:
    random = np.random.default_rng(0)
    roster = Roster()
    people: dict[int, int] = {}
    for step in range(60):
        new = range(len(people), len(people) + int(random.integers(400)))
        for key in new:
            people[key] = int(random.integers(1, 90))
        roster.append(as_facts((new, [people[key] for key in new], [0] * len(new), [0] * len(new))))
        moved = np.unique(random.integers(len(people), size=step))
        for key in moved.tolist():
            people[key] = int(random.integers(1, 90))
        roster.update(moved, as_facts((moved, [people[key] for key in moved.tolist()], moved * 0, moved * 0)))
        killed = np.unique(random.integers(len(people), size=3))
        roster.kill(killed[roster.live[killed]])
        wanted = np.unique(random.integers(0, 95, size=4))
        expected = [row for row, key in enumerate(people) if people[key] in wanted.tolist() and roster.live[row]]
        assert roster.rows_of(wanted).tolist() == expected


def test_facts_are_replaced() -> None:
    roster = filled(1, 2)
    roster.update(np.array([1]), Facts(*(np.array([value]) for value in (2, 77, 0, 5))))
    assert roster.facts.identities.tolist() == [10, 77]


@pytest.mark.parametrize("ids", [(3,), (2,), (6, 5), (6, 6)])
def test_ids_must_ascend(ids: tuple[int, ...]) -> None:
    roster = filled(1, 3)
    with pytest.raises(ValueError, match="must ascend"):
        roster.append(facts(*ids))


def test_a_window_of_time_follows_rows_that_come_and_change() -> None:
    roster = filled(1, 2)
    roster.append(facts(3))
    assert roster.within(200, 301).tolist() == [False, True, True]
    roster.update(np.array([1]), Facts(*(np.array([value]) for value in (2, 20, 0, 5000))))
    assert roster.within(4000, 5001).tolist() == [False, True, False]
