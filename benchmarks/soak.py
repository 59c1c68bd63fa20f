"""Many requests of mixed sizes, and what memory is left with."""

import io
import random
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from benchmarks.clients import Questions
from benchmarks.filling import batches
from benchmarks.server import Served
from benchmarks.wire import post
from model.synthetic import render

FIRST = 2000
CLIENTS = 24
SIZES = ((32, 64), (64, 128), (64, 128), (64, 128), (48, 160), (128, 256), (200, 400), (640, 480))


def requests(gallery: str) -> list[bytes]:
    """Return queries of one picture to eight, of many sizes and formats, in a mixed order."""
    chance = random.Random(0)
    singles = [post("/query", [_picture(chance)], {"gallery": gallery, "top_k": str(top)}) for top in (1, 10, 100) * 60]
    tracklets = [
        post("/query", [_picture(chance) for _ in range(count)], {"gallery": gallery}) for count in (2, 3, 5, 8)
    ]
    many = [*singles, *tracklets, *batches(gallery), post("/query", [b"no picture"], {"gallery": gallery})]
    chance.shuffle(many)
    return many


def _picture(chance: random.Random) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(render(chance.randrange(1000), chance.randrange(6), 0)).resize(chance.choice(SIZES))
    picture.save(buffer, chance.choice(("JPEG", "JPEG", "JPEG", "PNG", "WEBP")))
    return buffer.getvalue()


def measure(service: Served, gallery: str, folder: Path, count: int) -> dict[str, Any]:
    """Send `FIRST` requests, look at the memory, send the rest, and look again."""
    questions = Questions(folder / "soak.json", requests(gallery))
    questions.ask(service, clients=CLIENTS, count=FIRST)
    before = service.memory()["now"]
    rest = questions.ask(service, clients=CLIENTS, count=count - FIRST)
    after = service.memory()["now"]
    answers = {status: len(found) for status, found in sorted(rest.latencies.items())}
    mb = {"first_mb": round(before / 1e6, 1), "end_mb": round(after / 1e6, 1), "ratio": round(after / before, 3)}
    return {"requests": count, **mb, "answers": answers, "lost": rest.lost, "seconds": round(rest.seconds)}


def show(found: dict[str, Any], console: Console) -> None:
    """Print it."""
    console.print(
        f"{found['requests']} requests of mixed sizes in {found['seconds']} s: {found['first_mb']} MB after {FIRST}, "
        f"{found['end_mb']} MB at the end ({found['ratio']}); answers {found['answers']}, lost {found['lost']}"
    )
