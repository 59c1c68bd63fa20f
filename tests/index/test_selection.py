"""Selections of rows, and the rows that an index keeps."""

import numpy as np
import pytest

from index import selection
from index.selection import Kept, Selection
from tests.index.people import vectors


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 1.0])
def test_the_next_rows_are_those_from_a_row_on(part: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_LOOK", 16)
    mask = np.random.default_rng(0).random(300) < part
    rows = np.flatnonzero(mask).tolist()
    for first in (0, 1, 15, 16, 299, 300, 400):
        for most in (1, 3, 40, 1000):
            expected = [row for row in rows if row >= first][:most]
            assert Selection.of(mask).next_rows(first, most).tolist() == expected


@pytest.mark.parametrize("part", [0.05, 0.5])
def test_faiss_is_told_the_rows_of_the_mask(part: float) -> None:
    mask = np.random.default_rng(0).random(1000) < part
    chosen = Selection.of(mask)
    assert chosen.count == len(chosen.rows) == np.count_nonzero(mask)
    for selector in (chosen.selector, chosen.bitmap):
        assert [selector.is_member(row) for row in range(1000)] == mask.tolist()  # type: ignore[attr-defined]


def test_what_is_kept_follows_what_comes_and_goes() -> None:
    random = np.random.default_rng(0)
    kept, live = Kept(), np.empty(0, dtype=np.bool_)
    assert kept.among(None) is None
    for _ in range(40):
        live = np.append(live, np.ones(int(random.integers(90)), dtype=np.bool_))
        kept.grow(len(live))
        gone = random.integers(len(live), size=3) if len(live) else np.empty(0, dtype=np.int64)
        live[gone] = False
        kept.remove(gone)
        allowed = random.random(len(live)) < 0.5
        for asked, expected in ((None, live), (Selection.of(allowed), live & allowed)):
            among = kept.among(asked)
            assert among is not None
            assert among.mask.tolist() == expected.tolist()
            assert among.count == np.count_nonzero(expected)
            assert [among.bitmap.is_member(row) for row in range(len(live))] == expected.tolist()
        assert kept.count == np.count_nonzero(live)
        assert kept.every(np.append(np.flatnonzero(live), -1))
        assert not kept.every(gone) or len(gone) == 0


def test_where_nothing_was_removed_a_selection_stays_as_it_is() -> None:
    kept, chosen = Kept(), Selection.of(vectors(50)[:, 0] > 0)
    kept.grow(50)
    assert kept.among(chosen) is chosen
    assert kept.among(None) is None
