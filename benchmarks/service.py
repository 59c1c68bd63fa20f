"""How far the service is from its model: `make bench`.

In one run, in turns so that a noisy machine disturbs both alike: the bare ONNX Runtime call, and `POST /query` to the
real service over a small and a large gallery. Latency: one 64×128 JPEG at a time. Throughput: 8 clients against the
bare call at its best batch size. About two minutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.engine import open_engine
from app.settings import Settings, load_settings
from benchmarks.load import Load
from benchmarks.machine import describe
from benchmarks.server import Served, served
from index.records import Embedding, NewSample
from model.card import Card
from model.registry import Registry
from model.synthetic import encode_jpeg, render

BATCHES = (1, 2, 4, 8, 16, 32)
CLIENTS = 8
GALLERIES = {"small": 100, "large": 16_000}
PICTURES = 16
BARE_CALLS = 50
SAMPLES_PER_IDENTITY = 20


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn's latencies in seconds and rates in pictures per second, the service's by gallery."""

    bare_latencies: list[float]
    bare_rate: float
    latencies: dict[str, list[float]]
    rates: dict[str, float]


class Bare:
    """The active version's file in ONNX Runtime, with nothing around it."""

    def __init__(self, file: Path, card: Card, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._name = card.input.name
        self._size = (card.input.height, card.input.width)

    def latencies(self, calls: int) -> list[float]:
        """Return the seconds of each call with one picture."""
        return list(self._times(1, lambda done, _elapsed: done < calls))

    def rate(self, batch: int, seconds: float) -> float:
        """Return pictures per second at a batch size."""
        times = list(self._times(batch, lambda _done, elapsed: elapsed < seconds))
        return batch * len(times) / sum(times)

    def _times(self, batch: int, more: Callable[[int, float], bool]) -> Iterator[float]:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *self._size, 3), dtype=np.uint8)
        done, elapsed = 0, 0.0
        self._session.run(None, {self._name: pixels})
        while more(done, elapsed):
            started = time.perf_counter()
            self._session.run(None, {self._name: pixels})
            took = time.perf_counter() - started
            done, elapsed = done + 1, elapsed + took
            yield took


def fill(settings: Settings) -> None:
    """Enrol made-up embeddings, without pictures, through the store's one door."""
    with open_engine(settings) as engine:
        for name, count in GALLERIES.items():
            engine.gallery.put_gallery(name, retention_days=None, store_images=False)
            for first in range(0, count, 1000):
                samples = [
                    _sample(first + row, vector)
                    for row, vector in enumerate(_unit_vectors(first, min(1000, count - first), engine.embedder.dim))
                ]
                engine.gallery.enrol(name, samples, model_version=engine.embedder.version)


def _unit_vectors(seed: int, count: int, dim: int) -> Embedding:
    vectors: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _sample(number: int, vector: Embedding) -> NewSample:
    return NewSample(
        identity=f"{number // SAMPLES_PER_IDENTITY:05d}",
        embedding=vector,
        picture=number.to_bytes(8, "big"),
        camera=f"c{number % 6 + 1}",
    )


def ask(service: Served, gallery: str, folder: Path, clients: int, seconds: float) -> Load:
    """Put load on the service from another process."""
    command = [sys.executable, "-m", "benchmarks.load", service.host, str(service.port), str(clients), str(seconds)]
    done = subprocess.run([*command, gallery, str(folder)], stdout=subprocess.PIPE, check=True)
    return Load(**json.loads(done.stdout))


def best_batch(bare: Bare) -> int:
    """Return the batch size with the most pictures per second."""
    return max(BATCHES, key=lambda batch: bare.rate(batch, 0.7))


def take_turn(bare: Bare, batch: int, service: Served, folder: Path) -> Turn:
    """Measure the bare call and the service close to each other in time."""
    return Turn(
        bare_latencies=bare.latencies(BARE_CALLS),
        latencies={name: ask(service, name, folder, 1, 1.0).latencies for name in GALLERIES},
        bare_rate=bare.rate(batch, 1.5),
        rates={name: ask(service, name, folder, CLIENTS, 2.0).rate for name in GALLERIES},
    )


def report(turns: list[Turn]) -> dict[str, Any]:
    """Return the medians; what compares is compared within a turn, so that a busy moment counts for both."""
    bare = [statistics.median(turn.bare_latencies) for turn in turns]
    query = {}
    for name, samples in GALLERIES.items():
        latencies = [latency for turn in turns for latency in turn.latencies[name]]
        over = [statistics.median(turn.latencies[name]) - low for turn, low in zip(turns, bare, strict=True)]
        query[name] = {
            "samples": samples,
            "p50_ms": round(1000 * statistics.median(latencies), 2),
            "p99_ms": round(1000 * float(np.quantile(latencies, 0.99)), 2),
            "over_bare_ms": round(1000 * statistics.median(over), 2),
            "images_per_s": round(statistics.median(turn.rates[name] for turn in turns), 1),
            "of_bare": round(statistics.median(turn.rates[name] / turn.bare_rate for turn in turns), 3),
        }
    latencies = [latency for turn in turns for latency in turn.bare_latencies]
    rate = statistics.median(turn.bare_rate for turn in turns)
    return {
        "bare": {"p50_ms": round(1000 * statistics.median(latencies), 2), "images_per_s": round(rate, 1)},
        "query": query,
    }


def show(found: dict[str, Any]) -> None:
    """Print the table that the README quotes."""
    console = Console(width=110, highlight=False)
    console.print(f"{found['machine']}\n{found['model_version']}, {found['threads']} threads")
    bare = found["bare"]
    table = Table("", "1 client, p50", "p99", "over bare", f"{CLIENTS} clients", "of bare", box=None)
    batched = f"{bare['images_per_s']} images/s"
    table.add_row(f"bare ONNX Runtime, batch 1 and {found['batch']}", f"{bare['p50_ms']} ms", "", "", batched, "")
    for each in found["query"].values():
        table.add_row(
            f"POST /query, {each['samples']} samples",
            f"{each['p50_ms']} ms",
            f"{each['p99_ms']} ms",
            f"{each['over_bare_ms']:+} ms",
            f"{each['images_per_s']} images/s",
            f"{each['of_bare']}",
        )
    console.print(table)
    memory = found["memory_mb"]
    console.print(f"resident memory of the service: {memory['now']} MB, at its peak {memory['peak']} MB")
    if found["busy"]:
        console.print("the machine was busy with other work before this began: latencies and rates are too bad")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="turns between bare and service (default: 8)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reid-bench-") as folder:
        found = run(Path(folder), arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found)


def run(root: Path, rounds: int) -> dict[str, Any]:
    """Set everything up in a folder, measure, and return the report."""
    busy = os.getloadavg()[0] > 0.25 * len(os.sched_getaffinity(0))
    settings = load_settings(data_dir=root / "data")
    pictures = root / "pictures"
    pictures.mkdir()
    for number in range(PICTURES):
        (pictures / f"{number:02d}.jpg").write_bytes(encode_jpeg(render(number, number % 6, 0)))
    fill(settings)
    registry = Registry(settings.registry_dir)
    version = settings.model or registry.active()
    bare = Bare(registry.file(version), registry.card(version), settings.threads)
    batch = best_batch(bare)
    with served(settings.data_dir) as service:
        for name in GALLERIES:
            ask(service, name, pictures, 1, 1.0)  # the first answers warm everything up
        found = report([take_turn(bare, batch, service, pictures) for _ in range(rounds)])
        memory = {name: round(size / 1e6) for name, size in service.memory().items()}
    about = {"machine": describe(), "busy": busy, "model_version": version, "threads": settings.threads}
    return {**about, "batch": batch, **found, "memory_mb": memory}


if __name__ == "__main__":
    main()
