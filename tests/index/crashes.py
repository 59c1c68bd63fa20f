"""What a gallery must still hold after its writer was killed, from what the writer said before."""

import json
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from index.records import Sample, SampleFilter
from tests.index.people import VERSION, open_store, sample, vector


class Witness:
    """Follows one data folder through killed writers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged = 0
        self._living: dict[str, tuple[str, int]] = {}  # sample id -> (identity, number)
        self._gone: set[str] = set()
        self._open: dict[str, Any] | None = None  # what was begun and not acknowledged

    def round(self, dice: random.Random, longest: float) -> None:
        """Let a writer work for a random time, kill it, and look at what is left."""
        command = [sys.executable, "-m", "tests.index.crash_worker", str(self.folder), str(dice.randrange(10**9))]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        started = writer.stdout.readline()  # from here on it writes
        assert started, "the writer did not start"
        timer = threading.Timer(dice.uniform(0.0, longest), writer.kill)
        timer.start()
        for line in writer.stdout:
            self._hear(json.loads(line))
        writer.wait()
        timer.join()
        writer.stdout.close()
        assert writer.returncode == -9, "the writer failed by itself"
        self._look()

    def _hear(self, words: dict[str, Any]) -> None:
        self._open = words if words["state"] == "begun" else None
        if words["state"] == "begun":
            return
        self.acknowledged += 1
        if words["op"] == "enrol":
            for key, identity, number in words["made"]:
                self._living[key] = (identity, number)
        elif words["op"] == "delete":
            self._bury([words["sample"]])
        else:
            assert words["verified"]
            self._bury([key for key, (identity, _) in self._living.items() if identity == words["identity"]])

    def _bury(self, keys: list[str]) -> None:
        for key in keys:
            self._living.pop(key, None)
            self._gone.add(key)

    def _look(self) -> None:
        with open_store(self.folder) as store:
            report = store.check()
            assert (report.problems, report.orphans) == ((), 0)
            held: dict[str, Sample] = {}
            cursor = None
            while True:
                page = store.page("default", SampleFilter(), limit=1000, cursor=cursor)
                held |= {item.sample_id: item for item in page.items}
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert held.keys() & self._gone == set(), "a deleted sample came back"
            lost = self._living.keys() - held.keys()
            assert lost <= self._in_doubt(), "an acknowledged sample is missing"
            for key, (identity, number) in self._living.items():
                if key in held:
                    assert held[key].identity == identity
                    assert store.picture("default", key) == sample(number).picture
            alive = sorted(held.keys() & self._living.keys())
            for key in random.Random(0).sample(alive, min(3, len(alive))):
                number = self._living[key][1]
                (answer,) = store.search("default", vector(number)[None], model_version=VERSION, top_k=1)
                assert answer.identities[0].samples[0].sample.sample_id == key
            self._settle(set(held), lost)

    def _in_doubt(self) -> set[str]:
        """Return what a deletion that was begun may or may not have taken: all of it or nothing."""
        if self._open is None or self._open["op"] == "enrol":
            return set()
        if self._open["op"] == "delete":
            return {self._open["sample"]}
        return {key for key, (identity, _) in self._living.items() if identity == self._open["identity"]}

    def _settle(self, held: set[str], lost: set[str]) -> None:
        assert not lost or lost == self._in_doubt() & self._living.keys(), "half of an erasure was done"
        self._bury(sorted(lost))
        self._open = None
        # What an unacknowledged enrolment left is whole, and from now on it must stay or be deleted by a writer.
        with open_store(self.folder) as store:
            for key in held - self._living.keys():
                store.delete("default", key)
                self._gone.add(key)
