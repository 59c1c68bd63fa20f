"""kill -9 during `reid ingest`, again and again; then what it acknowledged must be there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.cli.market import MarketFolder
from app.engine import open_engine
from app.settings import load_settings

REID = (sys.executable, "-m", "app.cli")
MOST_LINES = 5
MOST_SECONDS = 0.1


@dataclass
class Acknowledged:
    """What a killed process had said: sample ids by file name, and how often it was killed at work."""

    samples: dict[str, str] = field(default_factory=dict)
    kills: int = 0
    kills_after_lines: int = 0

    def read(self, line: str) -> dict[str, Any]:
        """Take one line; an id may never change from one run to the next."""
        event: dict[str, Any] = json.loads(line)
        for item in event.get("items", ()):
            assert item["status"] in ("created", "duplicate"), item
            assert self.samples.setdefault(item["where"], item["sample_id"]) == item["sample_id"], item
        return event


def start(data_dir: Path, source: Path, batch_size: int) -> "subprocess.Popen[str]":
    """Start `reid ingest` on a data folder."""
    environment = {**os.environ, "REID_DATA_DIR": str(data_dir), "REID_THREADS": "1"}
    command = [*REID, "ingest", str(source), "--json", "--batch-size", str(batch_size)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill_one(process: "subprocess.Popen[str]", rng: random.Random, told: Acknowledged) -> None:
    """Kill after a random number of lines and a random moment more, and keep every whole line."""
    lines = rng.randrange(MOST_LINES)
    with process:
        assert process.stdout is not None
        if lines == 0:
            time.sleep(rng.uniform(0, 1.5))  # while it starts
        for _ in range(lines):
            if line := process.stdout.readline():
                told.read(line)
        time.sleep(rng.uniform(0, MOST_SECONDS))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    for line in rest.splitlines(keepends=True):
        if line.endswith("\n"):
            told.read(line)
    killed = process.returncode == -signal.SIGKILL
    told.kills += killed
    told.kills_after_lines += killed and lines > 0


def survive(data_dir: Path, source: Path, *, kills: int, batch_size: int, seed: int) -> Acknowledged:
    """Kill `reid ingest` so many times, let the last run end, and check everything that was promised."""
    rng = random.Random(seed)
    told = Acknowledged()
    for _ in range(kills):
        kill_one(start(data_dir, source, batch_size), rng, told)
        require_present(data_dir, source, told)
    before = len(told.samples)
    with start(data_dir, source, batch_size) as last:
        assert last.stdout is not None
        events = [told.read(line) for line in last.stdout]
    assert last.returncode == 0
    total = MarketFolder(source).total
    assert before < total, "every kill came too late: nothing was left for the last run"
    assert events[-1]["created"] + events[-1]["duplicates"] == events[-1]["total"] == total == len(told.samples)
    require_present(data_dir, source, told, total=total)
    return told


def require_present(data_dir: Path, source: Path, told: Acknowledged, total: int | None = None) -> None:
    """Require every acknowledged sample, its picture and its vector, and a clean store."""
    folder = MarketFolder(source).folder
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        for name, sample_id in told.samples.items():
            sample = engine.gallery.get("default", sample_id)
            assert sample.sample_id == sample_id
            assert engine.gallery.picture("default", sample_id) == (folder / name).read_bytes()
        report = engine.gallery.check()
        assert report.problems == ()
        assert report.samples == report.vectors
        assert report.samples >= len(told.samples)
        assert total is None or report.samples == total
