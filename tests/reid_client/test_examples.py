"""Every block of docs/EXAMPLES.md, run as it stands on a service of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.application import create_app
from index.keys import Keys, Scope
from model.synthetic import write_market
from reid_client import Client
from tests.app.parts import tiny_settings
from tests.app.server import serving

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNS = {
    "sh": ("sh", "-eu", "example.sh"),
    "python": (sys.executable, "-W", "error", "example.py"),
    "js": ("node", "example.mjs"),
}
TOPICS = ("Enrol", "Query", "Verify", "Erase")
LANGUAGES = ("curl", "Python", "Python, asynchronous", "JavaScript")
QUERY = "demo/query/0001_c1s1_000100_01.jpg"
ENROLLED = "demo/bounding_box_test/0001_c3s1_000101_01.jpg"


@dataclass(frozen=True)
class Block:
    """One example."""

    language: str
    text: str

    def run(self, folder: Path, environment: dict[str, str]) -> str:
        """Run it in a folder and return what it prints; skip without what runs it."""
        command = RUNS[self.language]
        for needed in (command[0], *(("curl",) if self.language == "sh" else ())):
            if shutil.which(needed) is None:
                pytest.skip(f"{needed} is not installed")
        (folder / command[-1]).write_text(self.text)
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def blocks() -> dict[tuple[str, str], Block]:
    """Return the examples by topic and language."""
    found: dict[tuple[str, str], Block] = {}
    for topic in re.split(r"^## ", (ROOT / "docs" / "EXAMPLES.md").read_text(), flags=re.MULTILINE)[1:]:
        for section in re.split(r"^### ", topic, flags=re.MULTILINE)[1:]:
            (block,) = _BLOCK.findall(section)
            found[topic.splitlines()[0], section.splitlines()[0]] = Block(*block)
    return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Serve an empty gallery; return the address and a key."""
    settings = tiny_settings(tmp_path / "data")
    with serving(create_app(settings)) as http, Keys.open(settings.database_url) as keys:
        _, key = keys.create([Scope.ADMIN], gallery=None, label=None, rate=None)
        yield str(http.base_url), key


def test_there_is_an_example_of_everything_in_every_language() -> None:
    assert set(blocks()) == {(topic, language) for topic in TOPICS for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_examples_do_what_they_say(language: str, service: tuple[str, str], tmp_path: Path) -> None:
    url, key = service
    write_market(tmp_path / "demo", train_identities=0, test_identities=2, cameras=3, views=3)
    environment = {**os.environ, "REID_URL": url, "REID_KEY": key, "PYTHONPATH": str(ROOT)}
    found = blocks()
    with Client(url, key) as client:
        for topic in TOPICS:
            asked = client.query(tmp_path / QUERY, top_k=2, false_match_rate=0.01)
            count = sum(1 for _ in client.samples(identity="0001"))
            printed = found[topic, language].run(tmp_path, environment)
            names = {each.identity for each in client.identities()}
            if topic == "Enrol":
                assert ("created" in printed, names) == (True, {"0001", "0002"})
            elif topic == "Query":
                assert asked.best is not None
                assert asked.verdict in printed
                assert asked.best.identity in printed
            elif topic == "Verify":
                same = client.verify(tmp_path / QUERY, tmp_path / ENROLLED)
                assert first_number(printed) == pytest.approx(same.score, abs=1e-3)
                assert str(same.match).lower() in printed.lower()
            else:
                assert (first_number(printed), "true" in printed.lower(), names) == (count, True, {"0002"})


def first_number(text: str) -> float:
    found = re.search(r"-?\d+(\.\d+)?", text)
    assert found is not None
    return float(found[0])
