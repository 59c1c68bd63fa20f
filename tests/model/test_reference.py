import numpy as np
import pytest

from model.measures import BINS
from model.quality import Quality
from model.reference import best_scores, refer


def test_best_scores_by_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.reference._BLOCK", 7)
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((40, 8)).astype(np.float32)
    identities, cameras = rng.integers(9, size=40), rng.integers(3, size=40)
    identities[0] = 99  # nobody else is: it is no query
    expected = []
    for one in range(40):
        if any(identities[i] == identities[one] and cameras[i] != cameras[one] for i in range(40)):
            others = [i for i in range(40) if (identities[i], cameras[i]) != (identities[one], cameras[one])]
            expected.append(max(float(embeddings[one] @ embeddings[i]) for i in others))
    assert best_scores(embeddings, identities, cameras) == pytest.approx(expected, abs=1e-5)
    assert 30 < len(expected) < 40


def test_a_reference_holds_what_is_told_in_the_bins_of_drift() -> None:
    scores = np.array([0.5, 0.9, 0.9], dtype=np.float32)
    pictures = [Quality(128.0, 10.0 * step, 40.0, step / 2) for step in range(10)]
    found = refer("made up", scores, pictures)
    assert found is not None
    assert [each.measure for each in found.measures] == ["score", "brightness", "sharpness"]  # others are in one bin
    assert all(len(each.counts) == BINS for each in found.measures)
    assert [sum(each.counts) for each in found.measures] == [3, 10, 10]
    assert found.measures[0].counts[BINS // 2] == 1


def test_nothing_to_tell_is_no_reference() -> None:
    assert refer("made up", np.array([], dtype=np.float32), []) is None
