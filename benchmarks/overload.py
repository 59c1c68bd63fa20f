"""Four times more than the service can do, beside a queue that is just full."""

from pathlib import Path
from typing import Any

from rich.console import Console

from app.settings import Settings
from benchmarks.clients import Questions, milliseconds
from benchmarks.filling import queries
from benchmarks.server import Served

TIMES = 4
FULL_SECONDS = 20.0


def measure(service: Served, settings: Settings, gallery: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Fill the queue and no more, then offer `TIMES` that rate without waiting for anything."""
    questions = Questions(folder / "overload.json", queries(gallery))
    full = questions.ask(service, clients=settings.max_queue, seconds=FULL_SECONDS)
    over = questions.ask(service, rate=TIMES * full.rate, seconds=seconds)
    refused = over.latencies.get("429", [])
    return {
        "full": {"rate": round(full.rate, 1), "p99_ms": milliseconds(full.good, 0.99), "lost": full.lost},
        "offered": round(sum(map(len, over.latencies.values())) / over.seconds, 1),
        "seconds": seconds,
        "answers": {status: len(found) for status, found in sorted(over.latencies.items())},
        "lost": over.lost,
        "accepted_p99_ms": milliseconds(over.good, 0.99),
        "accepted_rate": round(over.rate, 1),
        "refused_ms": {f"p{int(100 * part)}": milliseconds(refused, part) for part in (0.5, 0.9, 0.99, 1.0)},
        "clients_cores": round(over.cpu / over.seconds, 2),
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print it."""
    full, refused = found["full"], found["refused_ms"]
    of_full = found["accepted_p99_ms"] / full["p99_ms"]
    console.print(f"a full queue: {full['rate']} answers/s, p99 {full['p99_ms']} ms")
    console.print(
        f"{TIMES} times that for {found['seconds']:g} s ({found['offered']}/s): accepted {found['accepted_rate']}/s, "
        f"p99 {found['accepted_p99_ms']} ms ({of_full:.2f} of a full queue's); 429 in p50 {refused['p50']}, p90 "
        f"{refused['p90']}, p99 {refused['p99']}, at most {refused['p100']} ms; answers by status {found['answers']}, "
        f"lost {found['lost']}; the clients took {found['clients_cores']} cores of this machine"
    )
