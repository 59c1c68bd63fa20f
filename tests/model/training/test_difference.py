from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.training.difference import DRAWS, LEAST_PEOPLE, Difference, People, difference
from model.training.evaluation import Retrieval, summarise

IDENTITIES = np.repeat(np.arange(7, 32), np.arange(25) % 5 + 1)


def ranked(precisions: NDArray[np.float64]) -> Retrieval:
    """A result with these average precisions."""
    return replace(summarise([np.array([1])], gallery=9), mAP=float(np.nanmean(precisions)), precisions=precisions)


def people(precisions: NDArray[np.float64]) -> People:
    return People.of(ranked(precisions), IDENTITIES, "a hash")


@pytest.fixture
def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precisions of two runs: people differ much, the runs a little, and one query has no answer."""
    rng = np.random.default_rng(3)
    person = rng.uniform(0.1, 0.8, size=IDENTITIES.max() + 1)[IDENTITIES]
    first = person + rng.uniform(0, 0.1, size=len(person))
    second = first + 0.02 + rng.uniform(-0.05, 0.05, size=IDENTITIES.max() + 1)[IDENTITIES]
    first[4] = second[4] = np.nan
    return first, second


def test_equals_a_plain_loop_over_people_and_their_queries(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    first, second = pair
    rng = np.random.default_rng(0)
    names = sorted(set(IDENTITIES.tolist()))
    drawn = []
    for _ in range(DRAWS):
        chosen = [names[place] for place in rng.integers(len(names), size=len(names))]
        queries = [query for name in chosen for query in np.flatnonzero(name == IDENTITIES)]
        asked = [query for query in queries if not np.isnan(first[query])]
        drawn.append(sum(second[asked]) / len(asked) - sum(first[asked]) / len(asked))
    found = difference(people(second), people(first))
    assert isinstance(found, Difference)
    assert found.mAP == pytest.approx(np.nanmean(second) - np.nanmean(first))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert str(found) == f"{100 * found.mAP:+.1f} ({100 * found.low:+.1f}, {100 * found.high:+.1f})"


def test_what_is_better_for_everybody_is_shown_although_people_differ_much(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    first, _ = pair
    found = difference(people(first + 0.01), people(first))
    assert isinstance(found, Difference)
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        gained = 0.03 + 0.05 * rng.normal(size=60)
        first = People("", "", (4,) * 60, (2.0,) * 60)
        found = difference(replace(first, precision=tuple(2 + 4 * gained)), first)
        assert isinstance(found, Difference)
        held += found.low <= 0.03 <= found.high
    assert 88 <= held <= 99


def test_why_there_is_none_is_told(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    first = people(pair[0])
    assert difference(None, first) == difference(first, None) == "not recorded"
    assert difference(replace(first, protocol="other"), first) == "another protocol"
    assert difference(replace(first, images="other"), first) == "other held-out images"
    few = replace(first, queries=first.queries[:3], precision=first.precision[:3])
    assert difference(few, first) == "other held-out images"
    assert difference(few, few) == f"too few people: 3 of {LEAST_PEOPLE}"
