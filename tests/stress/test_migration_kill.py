"""A kill at every write of a migration, before its commit and after it."""

from pathlib import Path

import pytest

from tests.index.kills import killed_and_moved, writes


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("end", ["finalized", "rolled_back"])
def test_a_kill_at_every_write_loses_nothing(tmp_path: Path, end: str) -> None:
    count = writes(tmp_path / "whole", end)
    assert count > 8
    for at in range(1, count + 1):
        for when in ("before", "committed"):
            killed_and_moved(tmp_path / f"{at}-{when}", end, at, when)
