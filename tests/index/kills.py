"""Moving a store while the process is killed at each of its writes."""

import subprocess
import sys
from pathlib import Path

from index.migration import State
from index.records import SampleFilter
from tests.index.moving import NEW, NEW_DIM, PEOPLE, VIEWS, fill
from tests.index.people import DIM, VERSION, behind_its_back, open_store

COUNT = PEOPLE * VIEWS


def writes(folder: Path, end: str) -> int:
    """Move a new store without a kill; return how many writes that takes."""
    with open_store(folder) as store:
        fill(store)
    return int(_run(folder, end, 0, "committed").stdout)


def killed_and_moved(folder: Path, end: str, at: int, when: str) -> None:
    """Kill the process at a write of its move, let another go on, and look at everything."""
    with open_store(folder) as store:
        keys = fill(store)
    assert _run(folder, end, at, when).returncode == -9
    behind_its_back(folder, "UPDATE migrations SET owned_until = 1")  # so long ago that it is not waited for
    done = _run(folder, end, 0, when)
    assert done.returncode == 0, done.stderr
    version = NEW if end == "finalized" else VERSION
    with open_store(folder, version, NEW_DIM if version == NEW else DIM) as store:
        (only,) = store.migrations.latest()
        assert only.state is State(end)
        assert only.freed
        assert [each.sample_id for each in store.page("default", SampleFilter(), limit=1000).items] == keys
        report = store.check()
        assert report.problems == ()
        assert report.vectors == COUNT


def _run(folder: Path, end: str, at: int, when: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.index.dying_mover", str(folder), end, str(at), when]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
