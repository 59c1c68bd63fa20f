"""How far the service is from its model: `make bench`.

In one run, in turns so that a noisy machine disturbs both alike: the bare ONNX Runtime call, and `POST /query` to the
real service over a small and a large gallery. Latency: one 64×128 JPEG at a time. Throughput: 8 clients against the
bare call at its best batch size. About two minutes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
SAMPLES_PER_IDENTITY = 20


@dataclass
class Figures:
    """What was measured, by gallery where it depends on one; seconds and pictures per second."""

    bare_latencies: list[float] = field(default_factory=list)
    bare_rates: list[float] = field(default_factory=list)
    latencies: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in GALLERIES})
    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in GALLERIES})


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


def measure(bare: Bare, batch: int, service: Served, folder: Path, rounds: int) -> Figures:
    """Take turns between the bare call and the service."""
    figures = Figures()
    for name in GALLERIES:
        ask(service, name, folder, 1, 1.0)  # the first answers warm everything up
    for _ in range(rounds):
        figures.bare_latencies += bare.latencies(60)
        for name in GALLERIES:
            figures.latencies[name] += ask(service, name, folder, 1, 1.5).latencies
        figures.bare_rates.append(bare.rate(batch, 2.5))
        for name in GALLERIES:
            figures.rates[name].append(ask(service, name, folder, CLIENTS, 2.5).rate)
    return figures


def report(figures: Figures, batch: int, memory: dict[str, int], version: str, threads: int) -> dict[str, Any]:
    """Return the figures in milliseconds, pictures per second and MB."""
    bare = 1000 * statistics.median(figures.bare_latencies)
    bare_rate = statistics.median(figures.bare_rates)
    galleries = {}
    for name, samples in GALLERIES.items():
        p50, p99 = (1000 * float(np.quantile(figures.latencies[name], part)) for part in (0.5, 0.99))
        rate = statistics.median(figures.rates[name])
        galleries[name] = {
            "samples": samples,
            "p50_ms": round(p50, 2),
            "p99_ms": round(p99, 2),
            "over_bare_ms": round(p50 - bare, 2),
            "images_per_s": round(rate, 1),
            "of_bare": round(rate / bare_rate, 3),
        }
    return {
        "machine": describe(),
        "model_version": version,
        "threads": threads,
        "bare": {"p50_ms": round(bare, 2), "batch": batch, "images_per_s": round(bare_rate, 1)},
        "query": galleries,
        "memory_mb": {name: round(size / 1e6) for name, size in memory.items()},
    }


def show(found: dict[str, Any]) -> None:
    """Print the table that the README quotes."""
    console = Console()
    console.print(f"{found['machine']}\n{found['model_version']}, {found['threads']} threads", highlight=False)
    bare = found["bare"]
    table = Table("", "p50, 1 client", "p99", "over bare", f"{CLIENTS} clients", "of bare", box=None)
    batched = f"{bare['images_per_s']} images/s (batch {bare['batch']})"
    table.add_row("bare ONNX Runtime", f"{bare['p50_ms']} ms", "", "", batched, "")
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
    console.print(f"memory of the service: {memory['now']} MB, at its peak {memory['peak']} MB", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="turns between bare and service (default: 4)")
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
        figures = measure(bare, batch, service, pictures, rounds)
        return report(figures, batch, service.memory(), version, settings.threads)


if __name__ == "__main__":
    main()
