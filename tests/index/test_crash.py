"""kill -9 at any moment loses nothing that was acknowledged, and leaves nothing that was not."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.index.crashes import Witness
from tests.index.people import open_store


def test_a_killed_writer_loses_nothing(folder: Path) -> None:
    dice = random.Random(20260501)
    witness = Witness(folder)
    for _ in range(5):
        witness.round(dice, longest=1.0)
    assert witness.acknowledged > 5


@pytest.mark.parametrize("before_the_end", [0, 1, 2, 3, 5, 8])
def test_a_picture_whose_enrolment_was_killed_is_gone_at_the_next_opening(folder: Path, before_the_end: int) -> None:
    steps = enrolled(folder.with_name("whole"), 0)
    assert steps is not None
    assert enrolled(folder, steps - before_the_end) is None
    assert before_the_end > 5 or files(folder), "the picture is there, and nobody's"
    with open_store(folder) as store:
        report = store.check()
        assert (report.samples, report.orphans, report.problems) == (0, 0, ())
    assert files(folder) == []
    assert enrolled(folder, 0) is not None
    assert len(files(folder)) == 3


def enrolled(folder: Path, at: int) -> int | None:
    """Let a process enrol three samples, and die before its Nth step; return how many it took when it did not die."""
    command = [sys.executable, "-m", "tests.index.dying", str(at), "enrol", str(folder), "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return int(done.stdout) if done.returncode == 0 else None


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "pictures").rglob("*") if path.is_file()]
