"""How far the service is from its model, and how it holds its ground: `make bench`.

In one run, in turns so that a noisy machine disturbs both alike: the bare ONNX Runtime call, and the real service over
a small and a large gallery. Latency: one 64×128 JPEG at a time. Throughput: 8 clients with a picture each, and 4 with
16 each, against the bare call at its best batch size. Then a full queue and four times as much; a soak; and what
machines are good for. About five minutes; `--soak 100000` takes ten more.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.settings import load_settings
from benchmarks import overload, sizing, soak
from benchmarks.bare import Bare, open_bare
from benchmarks.clients import Questions, milliseconds
from benchmarks.filling import PICTURES, batches, fill, queries
from benchmarks.machine import describe
from benchmarks.server import Served, served
from model.registry import Registry

CLIENTS = 8
BATCH_CLIENTS = 4
GALLERIES = {"small": 100, "large": 16_000}
BARE_CALLS = 50
PARTS = ("latency", "overload", "soak", "sizing")


@dataclass(frozen=True, slots=True)
class Asked:
    """A gallery's requests of one picture and of many."""

    single: Questions
    many: Questions


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn's latencies in seconds and rates in pictures per second, the service's by gallery."""

    bare_latencies: list[float]
    bare_rate: float
    latencies: dict[str, list[float]]
    rates: dict[str, float]
    batched: dict[str, float]


def take_turn(bare: Bare, batch: int, service: Served, asked: dict[str, Asked]) -> Turn:
    """Measure the bare call and the service close to each other in time."""
    return Turn(
        bare_latencies=bare.latencies(BARE_CALLS),
        latencies={name: each.single.ask(service, clients=1, seconds=1.0).good for name, each in asked.items()},
        bare_rate=bare.rate(batch, 1.5),
        rates={name: each.single.ask(service, clients=CLIENTS, seconds=2.0).rate for name, each in asked.items()},
        batched={
            name: PICTURES * each.many.ask(service, clients=BATCH_CLIENTS, seconds=2.0).rate
            for name, each in asked.items()
        },
    )


def report(turns: Sequence[Turn]) -> dict[str, Any]:
    """Return the medians; what compares is compared within a turn, so that a busy moment counts for both."""
    low = [statistics.median(turn.bare_latencies) for turn in turns]
    latencies = [latency for turn in turns for latency in turn.bare_latencies]
    rate = statistics.median(turn.bare_rate for turn in turns)
    return {
        "bare": {"p50_ms": milliseconds(latencies, 0.5), "images_per_s": round(rate, 1)},
        "query": {name: _gallery(turns, name, low) for name in GALLERIES},
    }


def _gallery(turns: Sequence[Turn], name: str, low: Sequence[float]) -> dict[str, Any]:
    latencies = [latency for turn in turns for latency in turn.latencies[name]]
    over = [statistics.median(turn.latencies[name]) - bare for turn, bare in zip(turns, low, strict=True)]
    return {
        "samples": GALLERIES[name],
        "p50_ms": milliseconds(latencies, 0.5),
        "p99_ms": milliseconds(latencies, 0.99),
        "over_bare_ms": milliseconds(over, 0.5),
        "images_per_s": round(statistics.median(turn.rates[name] for turn in turns), 1),
        "of_bare": round(statistics.median(turn.rates[name] / turn.bare_rate for turn in turns), 3),
        "batched_images_per_s": round(statistics.median(turn.batched[name] for turn in turns), 1),
        "batched_of_bare": round(statistics.median(turn.batched[name] / turn.bare_rate for turn in turns), 3),
    }


def show(found: dict[str, Any]) -> None:
    """Print what the README quotes."""
    console = Console(width=130, highlight=False)
    console.print(f"{found['machine']}\n{found['model_version']}, {found['threads']} threads")
    if "query" in found:
        _show_latency(found, console)
    for name, part in (("overload", overload.show), ("soak", soak.show), ("sizing", sizing.show)):
        if name in found:
            part(found[name], console)
    if found["busy"]:
        console.print("the machine was busy with other work before this began: latencies and rates are too bad")


def _show_latency(found: dict[str, Any], console: Console) -> None:
    bare = found["bare"]
    columns = ("", "1 client, p50", "p99", "over bare", f"{CLIENTS} clients", "of bare")
    table = Table(*columns, f"{BATCH_CLIENTS} clients, {PICTURES} each", "of bare", box=None)
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
            f"{each['batched_images_per_s']} images/s",
            f"{each['batched_of_bare']}",
        )
    console.print(table)
    memory = found["memory_mb"]
    console.print(f"resident memory of the service: {memory['now']} MB, at its peak {memory['peak']} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="turns between bare and service (default: 8)")
    parser.add_argument("--overload", type=float, default=60, metavar="SECONDS", help="default: 60")
    parser.add_argument("--soak", type=int, default=6000, metavar="REQUESTS", help="default: 6000")
    parser.add_argument("--only", choices=PARTS, action="append", help="repeatable; default: all parts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reid-bench-") as folder:
        found = run(Path(folder), arguments)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found)


def run(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Set everything up in a folder, measure, and return the report."""
    busy = os.getloadavg()[0] > 0.25 * len(os.sched_getaffinity(0))
    settings = load_settings(data_dir=root / "data")
    version = settings.model or Registry(settings.registry_dir).active()
    parts = arguments.only or PARTS
    found: dict[str, Any] = {
        "machine": describe(),
        "busy": busy,
        "model_version": version,
        "threads": settings.threads,
    }
    fill(settings, GALLERIES)
    with served(settings.data_dir) as service:
        if "latency" in parts:
            found |= latency(open_bare(settings, version), service, root, arguments.rounds)
        if "overload" in parts:
            found["overload"] = overload.measure(service, settings, "small", root, arguments.overload)
        if "soak" in parts:
            found["soak"] = soak.measure(service, "large", root, arguments.soak)
    if "sizing" in parts:
        found["sizing"] = sizing.measure(root)
    return found


def latency(bare: Bare, service: Served, root: Path, rounds: int) -> dict[str, Any]:
    """Take turns between the bare call and the service."""
    batch = bare.best_batch()
    asked = {
        name: Asked(Questions(root / f"{name}.json", queries(name)), Questions(root / f"{name}-16.json", batches(name)))
        for name in GALLERIES
    }
    for each in asked.values():
        each.single.ask(service, clients=1, seconds=1.0)  # the first answers warm everything up
    found = report([take_turn(bare, batch, service, asked) for _ in range(rounds)])
    memory = {name: round(size / 1e6) for name, size in service.memory().items()}
    return {"batch": batch, **found, "memory_mb": memory}


if __name__ == "__main__":
    main()
