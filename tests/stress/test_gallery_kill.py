"""A hundred kills at random moments of enrolment, deletion, erasure and snapshot."""

import random
from pathlib import Path

import pytest

from tests.index.crashes import Witness


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")  # noqa: T201  # shown when the test fails, so that it can be repeated
    dice = random.Random(seed)
    witness = Witness(tmp_path / "data")
    for _ in range(100):
        witness.round(dice, longest=1.5)
    assert witness.acknowledged > 100
