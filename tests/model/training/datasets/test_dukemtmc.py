import logging
from pathlib import Path

import pytest

from model.training.datasets.dukemtmc import BOXES, WITHDRAWN, read
from tests.model.training.datasets.trees import duke, market


def test_layout_is_read(tmp_path: Path) -> None:
    dataset = read(duke(tmp_path / "DukeMTMC-reID").parent)
    assert dataset.train.identities.tolist() == [1, 1, 7, 7]
    assert dataset.train.cameras.tolist() == [2, 8, 2, 8]
    assert dataset.gallery.identities.tolist() == [5, 7139]
    assert dataset.protocol == "re-identification"


def test_reading_it_says_that_it_was_withdrawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = read(duke(tmp_path))
    assert "withdrawn by its owners in 2019" in caplog.text
    assert dataset.terms == WITHDRAWN


def test_market1501_is_not_taken_for_it(tmp_path: Path) -> None:
    assert BOXES.fits(duke(tmp_path / "duke"))
    assert not BOXES.fits(market(tmp_path / "market"))
