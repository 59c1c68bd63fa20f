"""kill -9 at any moment loses nothing that was acknowledged."""

import random
from pathlib import Path

from tests.index.crashes import Witness


def test_a_killed_writer_loses_nothing(folder: Path) -> None:
    dice = random.Random(20260501)
    witness = Witness(folder)
    for _ in range(5):
        witness.round(dice, longest=1.0)
    assert witness.acknowledged > 5
