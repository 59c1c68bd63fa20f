"""A service that is killed at twenty random moments of a migration goes on by itself, and ends right."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import httpx
import numpy as np
import pytest

from app.engine import open_engine
from app.settings import Settings
from index.records import NewSample, SampleFilter
from model.preprocess import prepare
from tests.app.parts import VERSION, person, tiny_settings, write_version

OTHER = "tiny@2"
SAMPLES = 1_500
KILLS = 20


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_twenty_kills_of_the_service(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")  # noqa: T201  # shown when the test fails, so that it can be repeated
    dice = random.Random(seed)
    for version, shift in ((VERSION, 117.3), (OTHER, 90.7)):
        write_version(tmp_path / "models", version, shift=shift)
    (tmp_path / "models" / "active").write_text(VERSION)
    settings = tiny_settings(tmp_path, model=None)
    keys = _fill(settings)
    late: list[str] = []
    for round_ in range(KILLS):
        service = _start(tmp_path)
        with _client(service) as client:
            if round_ == 0:
                client.post(f"/models/{OTHER}/activate").raise_for_status()
            late += _enrol(client, round_)
            time.sleep(dice.uniform(0.0, 0.6))
        service.kill()
        _end(service)
    service = _start(tmp_path)
    with _client(service) as client:
        told = client.get("/migrations").json()["items"][0]
        while told["state"] in ("planned", "running", "validating"):
            time.sleep(0.2)
            told = client.get("/migrations").json()["items"][0]
        assert told["state"] == "switched", told
        assert client.get("/models").json()["active"] == OTHER
        client.post(f"/migrations/{told['migration_id']}/rollback").raise_for_status()
        client.post(f"/models/{OTHER}/activate")
    service.terminate()
    _end(service)
    with open_engine(settings) as engine:
        assert engine.gallery.check().problems == ()
        held: list[str] = []
        cursor = None
        while cursor is not None or not held:
            page = engine.gallery.page("default", SampleFilter(), limit=1000, cursor=cursor)
            held += [each.sample_id for each in page.items]
            cursor = page.next_cursor
    assert held == [*keys, *late]


def _fill(settings: Settings) -> list[str]:
    with open_engine(settings) as engine:
        pictures = [person(number // 20, number % 20) for number in range(SAMPLES)]
        pixels = np.stack([prepare(picture, engine.embedder.contract) for picture in pictures])
        samples = [
            NewSample(f"p{number // 20}", vector, picture, camera=f"c{number % 3}")
            for number, (vector, picture) in enumerate(zip(engine.embedder.embed(pixels), pictures, strict=True))
        ]
        return [each.sample_id or "" for each in engine.gallery.enrol("default", samples, model_version=VERSION)]


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REID_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
        env={**environment, "REID_DATA_DIR": str(folder), "REID_LOG_LEVEL": "warning"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(service: subprocess.Popen[str]) -> None:
    service.wait(30)
    assert service.stdout is not None
    service.stdout.close()


def _client(service: subprocess.Popen[str]) -> httpx.Client:
    assert service.stdout is not None
    return httpx.Client(base_url=_address(service.stdout), timeout=60)


def _address(lines: IO[str]) -> str:
    for line in lines:
        if found := re.fullmatch(r"serving on (http://.+:\d+)\n", line):
            return found[1]
    raise AssertionError("the service ended before it served")


def _enrol(client: httpx.Client, number: int) -> list[str]:
    """Enrol one picture, which is there from then on, whatever comes."""
    files = {"image": ("late.jpg", person(1000 + number))}
    answer = client.post("/gallery", files=files, data={"identity": f"late{number}"})
    assert answer.status_code == 201, answer.text
    return [each["sample_id"] for each in answer.json()["items"]]
