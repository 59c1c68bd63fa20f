import numpy as np
import pytest

from model.measures import BINS, MEASURES


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_value_is_in_the_bin_between_its_edges(measure: object) -> None:
    found = next(each for each in MEASURES if each is measure)
    edges = np.linspace(found.low, found.high, BINS + 1)
    for value in np.random.default_rng(0).uniform(found.low, found.high, 100).tolist():
        place = found.place(value)
        assert edges[place] <= value < edges[place + 1]


def test_what_is_beyond_the_ends_is_in_the_outer_bins() -> None:
    score = MEASURES[0]
    counts = score.counts([-1.0, 0.0, 1.0, 7.0, 0.5])
    assert (counts[0], counts[BINS // 2], counts[-1], sum(counts)) == (2, 1, 2, 5)


def test_each_measure_is_there_once() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
