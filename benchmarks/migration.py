"""A gallery that moves to another version and back while it is used: `python -m benchmarks.migration`.

A real service over drawn people is asked at a constant rate, and enrols at another, before, during and after a
migration: to a version with the bundled model's weights and its output in another order, so that its vectors are
another's and its rankings the same. Every answer's scores are computed once more from the vectors of the version that
it names. About 20 minutes for 20,000 samples on two cores.
"""

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.engine import Engine, open_engine
from app.settings import load_settings
from benchmarks.machine import describe
from benchmarks.server import served
from index.errors import SampleNotFound
from index.records import NewSample
from model.card import CARD_NAME, FILES, read_card, write_card
from model.preprocess import prepare
from model.registry import Registry
from model.synthetic import encode_jpeg, render

CAMERAS, VIEWS = 4, 5
BATCH = 32
QUERIES = 64  # different pictures that are asked for
SETTLED_SECONDS = 20.0  # that are asked after the switch, and after the way back
NEWCOMERS = 10_000_000  # the first number of people who are enrolled meanwhile
TOLERANCE = 2e-3  # of a score: an int8 model's batches are not computed alike to the last bit


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the service, and when it was asked for."""

    kind: str
    asked: float
    seconds: float
    status: int
    picture: int
    body: dict[str, Any]


@dataclass(slots=True)
class Load:
    """Asks and enrols at constant rates, whether the answers come fast or not."""

    client: httpx.AsyncClient
    queries: Sequence[bytes]
    answers: list[Answer] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, query_rate: float, enrol_rate: float) -> None:
        """Go on until it is cancelled."""
        await asyncio.gather(self._repeat("query", query_rate), self._repeat("enrol", enrol_rate))

    async def _repeat(self, kind: str, rate: float) -> None:
        number, due = 0, time.perf_counter()
        while rate:
            task = asyncio.create_task(self._ask(kind, number, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            number, due = number + 1, due + 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _ask(self, kind: str, number: int, due: float) -> None:
        if kind == "query":
            picture, path, data = number % len(self.queries), "/query", {"top_k": "3"}
            files = [("image", ("q.jpg", self.queries[picture]))]
        else:
            picture, path = number, "/gallery"
            data = {"identity": f"new{number}", "camera": "c0"}
            files = [("image", ("n.jpg", encode_jpeg(render(NEWCOMERS + number, 0, 0))))]
        answer = await self.client.post(path, data=data, files=files)
        seconds = time.perf_counter() - due
        self.answers.append(Answer(kind, due, seconds, answer.status_code, picture, answer.json()))

    async def finished(self) -> None:
        """Wait for the answers that are still to come."""
        await asyncio.gather(*self._tasks)


def other_version(registry: Path) -> str:
    """Write a version whose embeddings are the bundled one's in another order."""
    bundled = Registry(registry)
    version = bundled.active()
    source = bundled.file(version)
    card = read_card(source.parent / CARD_NAME)
    graph = onnx.load(source)
    order = np.random.default_rng(0).permutation(card.output.dim)
    name = card.output.name
    for node in graph.graph.node:
        node.output[:] = ["in_order" if each == name else each for each in node.output]
    graph.graph.initializer.append(numpy_helper.from_array(order.astype(np.int64), "order"))
    graph.graph.node.append(helper.make_node("Gather", ["in_order", "order"], [name], axis=1))
    data = graph.SerializeToString()
    folder = Path(tempfile.mkdtemp())
    (folder / source.name).write_bytes(data)
    made = card.model_copy(
        update={
            "version": f"{card.name}@{card.number + 100}",
            "files": {source.name: hashlib.sha256(data).hexdigest()},
        }
    )
    assert source.name in FILES.values()
    write_card(made, folder / CARD_NAME)
    bundled.import_version(folder)
    shutil.rmtree(folder)
    return made.version


def fill(engine: Engine, count: int, console: Console) -> None:
    """Enrol drawn people, twenty samples each."""
    for first in track(range(0, count, BATCH), "enrolling", console=console):
        numbers = range(first, min(first + BATCH, count))
        drawn = [_place(number) for number in numbers]
        pictures = [encode_jpeg(render(*each)) for each in drawn]
        pixels = np.stack([prepare(picture, engine.embedder.contract) for picture in pictures])
        samples = [
            NewSample(f"p{identity}", vector, picture, camera=f"c{camera}")
            for (identity, camera, _), vector, picture in zip(
                drawn, engine.embedder.embed(pixels), pictures, strict=True
            )
        ]
        engine.gallery.enrol("default", samples, model_version=engine.embedder.version)


def _place(number: int) -> tuple[int, int, int]:
    identity, rest = divmod(number, CAMERAS * VIEWS)
    return (identity, *divmod(rest, VIEWS))


async def measure(address: str, target: str, queries: Sequence[bytes], asked: argparse.Namespace) -> dict[str, Any]:
    """Run the load through a migration and back; return the answers with the moments between the phases."""
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        load = Load(client, queries)
        running = asyncio.create_task(load.run(asked.query_rate, asked.enrol_rate))
        await asyncio.sleep(5.0)
        marks = {"usual": time.perf_counter()}
        await asyncio.sleep(asked.usual_seconds)
        marks["moving"] = time.perf_counter()
        started = await client.post(f"/models/{target}/activate", params={"force": True})
        identifier = started.raise_for_status().json()["migration_id"]
        told: dict[str, Any] = {"state": "planned"}
        while told["state"] in ("planned", "running", "validating"):
            await asyncio.sleep(1.0)
            told = (await client.get(f"/migrations/{identifier}")).raise_for_status().json()
        marks["switched"] = time.perf_counter()
        await asyncio.sleep(SETTLED_SECONDS)
        back = await client.post(f"/migrations/{identifier}/rollback")
        marks["back"] = time.perf_counter()
        await asyncio.sleep(SETTLED_SECONDS)
        running.cancel()
        await load.finished()
        return {"answers": load.answers, "marks": marks, "migration": told, "rollback": back.json()}


def phase_of(answer: Answer, marks: dict[str, float]) -> str:
    """Return the phase in which an answer was asked for."""
    return max(
        (name for name, since in marks.items() if since <= answer.asked), key=marks.__getitem__, default="warm-up"
    )


def wrong_answers(engine: Engine, target: str, answers: Sequence[Answer], queries: Sequence[bytes]) -> list[str]:
    """Compute each answer's best scores once more, from both pictures, with the version that the answer names."""
    models = {version: engine.open_model(version) for version in (engine.model.version, target)}
    asked = {version: [_embed(model, picture) for picture in queries] for version, model in models.items()}
    known: dict[tuple[str, str], NDArray[np.float32]] = {}
    wrong = []
    for answer in answers:
        version = answer.body["model_version"]
        for identity in answer.body["identities"]:
            best = identity["samples"][0]
            key = (version, best["sample_id"])
            if key not in known:
                known[key] = _embed(models[version], engine.gallery.picture("default", best["sample_id"]))
            if abs(float(asked[version][answer.picture] @ known[key]) - best["score"]) > TOLERANCE:
                wrong.append(f"{best['sample_id']} scored {best['score']} by {version}")
    return wrong


def _embed(model: Any, picture: bytes) -> NDArray[np.float32]:  # noqa: ANN401 - a model at work
    found: NDArray[np.float32] = model.embedder.embed(prepare(picture, model.embedder.contract)[None])[0]
    return found


def report(console: Console, found: dict[str, Any]) -> dict[str, float]:
    """Print the latencies by phase; return each phase's p99 of queries in milliseconds."""
    table = Table("phase", "queries", "p50 ms", "p99 ms", "largest", "enrolments", "p99 ms", "versions", box=None)
    p99 = {}
    for phase in ("usual", "moving", "switched", "back"):
        mine = [each for each in found["answers"] if phase_of(each, found["marks"]) == phase]
        asked = np.array([1000 * each.seconds for each in mine if each.kind == "query"])
        taken = np.array([1000 * each.seconds for each in mine if each.kind == "enrol"] or [0.0])
        versions = sorted({each.body["model_version"] for each in mine if each.kind == "query"})
        p99[phase] = float(np.percentile(asked, 99))
        figures = (float(np.median(asked)), p99[phase], float(asked.max()))
        table.add_row(
            phase,
            str(len(asked)),
            *(f"{each:.1f}" for each in figures),
            str(sum(each.kind == "enrol" for each in mine)),
            f"{np.percentile(taken, 99):.1f}",
            ", ".join(versions),
        )
    console.print(table)
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--query-rate", type=float, default=8.0, help="queries a second")
    parser.add_argument("--enrol-rate", type=float, default=1.0, help="enrolments a second")
    parser.add_argument("--usual-seconds", type=float, default=60.0, help="of load before the migration")
    asked = parser.parse_args()
    console = Console(stderr=False)
    console.print(describe())
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=folder, log_level="warning", model=None)
        target = other_version(settings.registry_dir)
        with open_engine(settings) as engine:
            fill(engine, asked.samples, console)
        queries = [encode_jpeg(render(number * 7 % (asked.samples // 20), CAMERAS, 0)) for number in range(QUERIES)]
        with served(Path(folder)) as service:
            found = asyncio.run(measure(f"http://{service.host}:{service.port}", target, queries, asked))
            memory = service.memory()
        p99 = report(console, found)
        marks = found["marks"]
        statuses = Counter(str(each.status) for each in found["answers"])
        enrolled = [each for each in found["answers"] if each.kind == "enrol"]
        with open_engine(settings) as engine:
            lost = [each for each in enrolled if not _there(engine, each.body["items"][0]["sample_id"])]
            wrong = wrong_answers(engine, target, [a for a in found["answers"] if a.kind == "query"], queries)
            problems = engine.gallery.check().problems
        seconds = marks["switched"] - marks["moving"]
        console.print(
            f"migration: {found['migration']['state']} after {seconds:.0f} s ({asked.samples / seconds:.1f} samples/s)",
            f"rollback: {found['rollback']['state']}",
            f"statuses: {dict(statuses)}",
            f"p99 of queries during it: {p99['moving'] / p99['usual']:.2f} of usual",
            f"wrong answers: {len(wrong)}; enrolments lost: {len(lost)} of {len(enrolled)}",
            f"check: {problems or 'clean'}; memory at most {memory['peak'] / 1e6:.0f} MB",
            sep="\n",
        )
        console.print_json(json.dumps(found["migration"]["validation"]))
        sys.exit(bool(wrong or lost or problems or set(statuses) - {"200", "201"}))


def _there(engine: Engine, sample_id: str) -> bool:
    try:
        engine.gallery.get("default", sample_id)
    except SampleNotFound:
        return False
    return True


if __name__ == "__main__":
    main()
