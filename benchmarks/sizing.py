"""What a machine is good for: requests a second and memory, by cores and by the gallery's size."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.settings import load_settings
from benchmarks.clients import Questions, milliseconds
from benchmarks.filling import fill, queries
from benchmarks.server import served

SIZES = (1_000, 10_000, 100_000)
CLIENTS = 32
SECONDS = 8.0


def measure(root: Path) -> list[dict[str, Any]]:
    """Serve galleries of each size on one core and more; the clients have the whole machine."""
    found = []
    for samples in SIZES:
        data = root / f"sizing-{samples}"
        fill(load_settings(data_dir=data), {"default": samples})
        questions = Questions(root / "sizing.json", queries("default"))
        found += [_row(data, samples, cores, questions) for cores in range(1, len(os.sched_getaffinity(0)) + 1)]
    return found


def _row(data: Path, samples: int, cores: int, questions: Questions) -> dict[str, Any]:
    with served(data, cores=cores) as service:
        questions.ask(service, clients=CLIENTS, seconds=2.0)
        alone = questions.ask(service, clients=1, seconds=3.0)
        before = service.processor_seconds()
        load = questions.ask(service, clients=CLIENTS, seconds=SECONDS)
        used = service.processor_seconds() - before
        return {
            "cores": cores,
            "samples": samples,
            "p50_ms": milliseconds(alone.good, 0.5),
            "requests_per_s": round(load.rate, 1),
            "cpu_ms": round(1000 * used / len(load.good), 2),
            "cores_used": round(used / load.seconds, 2),
            "memory_mb": round(service.memory()["now"] / 1e6),
        }


def show(found: list[dict[str, Any]], console: Console) -> None:
    """Print it."""
    columns = ("samples", "cores", "1 client, p50", f"{CLIENTS} clients", "processor time", "cores it got", "memory")
    table = Table(*columns, box=None)
    for each in found:
        table.add_row(
            f"{each['samples']:,}",
            str(each["cores"]),
            f"{each['p50_ms']} ms",
            f"{each['requests_per_s']} requests/s",
            f"{each['cpu_ms']} ms a request",
            str(each["cores_used"]),
            f"{each['memory_mb']} MB",
        )
    console.print(table)
