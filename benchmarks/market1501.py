"""Whether the service ranks Market-1501 exactly as the offline evaluation does.

python -m benchmarks.market1501 DATA: enrols the gallery with `reid ingest`, sends every query over HTTP, drops the
samples of the query's identity on the query's camera from each answer, and compares rank-1 with `reid evaluate` and
each returned score with the cosine of offline embeddings. About a quarter of an hour on two cores.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.market import GALLERY_FOLDER
from app.settings import Settings, load_settings
from benchmarks.machine import describe
from benchmarks.server import REID, Served, environment, served
from benchmarks.wire import Connection, post
from index.records import Embedding
from model.preprocess import prepare
from model.registry import Registry
from model.runtime import Embedder

# The answer holds the query's own identity and at least one other, so the best of each is known: more of both
# only checks more scores.
TOP_K = 10
SAMPLES = 100
CONNECTIONS = 4
BATCH = 16
RANK1_POINTS = 0.1
SCORE = 1e-4


@dataclass(frozen=True, slots=True)
class Query:
    """One query picture and what its name says."""

    path: Path
    identity: str
    camera: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer: whether rank 1 is right once same-camera samples are dropped, and how far its scores are off."""

    right: bool
    scores: int
    worst: float


class Offline:
    """Embeddings computed without the service, by file."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def embed(self, paths: Sequence[Path]) -> Embedding:
        """Return the embeddings of pictures, (N, D)."""
        rows = []
        for first in range(0, len(paths), BATCH):
            pixels = [prepare(path.read_bytes(), self._embedder.contract) for path in paths[first : first + BATCH]]
            rows.append(self._embedder.embed(np.stack(pixels)))
        return np.concatenate(rows)


def read_queries(folder: Path) -> list[Query]:
    """Return the query pictures by name."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        identity, camera = path.name.split("_")[:2]
        found.append(Query(path, identity, camera.partition("s")[0]))
    return found


def ingest(data: Path, data_dir: Path) -> dict[str, str]:
    """Enrol the gallery with `reid ingest` and return file name by sample id."""
    done = subprocess.run(
        [*REID, "ingest", str(data), "--json"], env=environment(data_dir), stdout=subprocess.PIPE, check=True
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return {item["sample_id"]: item["where"] for event in events for item in event.get("items", ())}


async def ask_all(service: Served, queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Send every query and return the answers in order."""
    waiting = iter(enumerate(queries))
    answers: list[dict[str, Any]] = [{}] * len(queries)

    async def work() -> None:
        connection = await Connection.open(service.host, service.port)
        for place, query in waiting:
            fields = {"top_k": str(TOP_K), "samples_per_identity": str(SAMPLES)}
            answers[place] = await connection.ask(post("/query", [query.path.read_bytes()], fields))
        await connection.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return answers


def judge(query: Query, answer: dict[str, Any], cosines: dict[str, float]) -> Judged:
    """Judge one answer; `cosines` holds the offline score of each sample."""
    best: dict[str, float] = {}
    errors = []
    for identity in answer["identities"]:
        samples = identity["samples"]
        errors += [abs(sample["score"] - cosines[sample["sample_id"]]) for sample in samples]
        own = identity["identity"] == query.identity
        left = [sample["score"] for sample in samples if not (own and sample["camera"] == query.camera)]
        if left:
            best[identity["identity"]] = max(left)
        elif len(samples) == SAMPLES:
            raise RuntimeError(f"{query.path.name}: {SAMPLES} samples per identity are too few to judge it")
    first = max(best, key=lambda name: best[name])
    return Judged(first == query.identity, len(errors), max(errors))


def judge_all(
    queries: Sequence[Query], answers: Sequence[dict[str, Any]], gallery: Embedding, asked: Embedding, ids: list[str]
) -> Iterator[Judged]:
    """Judge every answer against offline cosines, (Q, D) x (N, D)."""
    for query, answer, embedding in zip(queries, answers, asked, strict=True):
        scores = gallery @ embedding  # (N,)
        yield judge(query, answer, dict(zip(ids, scores.tolist(), strict=True)))


def evaluate(data: Path, settings: Settings, version: str) -> float:
    """Return rank-1 in percent as `reid evaluate --json` reports it."""
    registry = ["--registry", str(settings.registry_dir)]
    command = [*REID, "evaluate", "--data", str(data), "--model", version, *registry, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: float = json.loads(done.stdout)["metrics"][0]["rank1"]
    return found


def answerable(queries: Sequence[Query], names: Iterable[str]) -> list[Query]:
    """Leave out the queries that nothing in the gallery is right for, as the protocol does."""
    seen: dict[str, set[str]] = {}
    for name in names:
        identity, camera = name.split("_")[:2]
        seen.setdefault(identity, set()).add(camera.partition("s")[0])
    return [query for query in queries if seen.get(query.identity, set()) - {query.camera}]


def run(data: Path, data_dir: Path) -> dict[str, Any]:
    """Measure everything and return the report."""
    started = time.perf_counter()
    names = ingest(data, data_dir)
    ingested = time.perf_counter() - started
    queries = answerable(read_queries(data / "query"), names.values())
    with served(data_dir) as service:
        started = time.perf_counter()
        answers = asyncio.run(ask_all(service, queries))
        asked = time.perf_counter() - started
        memory = service.memory()
    settings = load_settings(data_dir=data_dir)
    registry = Registry(settings.registry_dir)
    version = settings.model or registry.active()
    offline = Offline(registry.open(version, threads=settings.threads))
    gallery = offline.embed([data / GALLERY_FOLDER / name for name in names.values()])
    embeddings = offline.embed([query.path for query in queries])
    judged = list(judge_all(queries, answers, gallery, embeddings, list(names)))
    return {
        "machine": describe(),
        "model_version": version,
        "enrolled": len(names),
        "ingest_images_per_s": round(len(names) / ingested, 1),
        "queries": len(queries),
        "queries_per_s": round(len(queries) / asked, 1),
        "memory_mb": {name: round(size / 1e6) for name, size in memory.items()},
        "scores": sum(each.scores for each in judged),
        "worst_score_error": max(each.worst for each in judged),
        "rank1_http": 100 * sum(each.right for each in judged) / len(judged),
        "rank1_evaluate": evaluate(data, settings, version),
    }


def show(found: dict[str, Any]) -> None:
    """Print what was found, and whether it is within bounds."""
    rank1 = abs(found["rank1_http"] - found["rank1_evaluate"])
    print(f"{found['machine']}\n{found['model_version']}")
    print(f"enrolled {found['enrolled']} at {found['ingest_images_per_s']} images/s with reid ingest")
    print(f"asked {found['queries']} queries over HTTP at {found['queries_per_s']}/s, memory {found['memory_mb']} MB")
    print(
        f"rank-1 {found['rank1_http']:.2f} over HTTP, {found['rank1_evaluate']:.2f} by reid evaluate: {rank1:.3f} apart"
    )
    print(f"{found['scores']} returned scores are within {found['worst_score_error']:.2e} of the offline cosines")


def agrees(found: dict[str, Any]) -> bool:
    """Return whether service and offline evaluation say the same."""
    rank1 = abs(found["rank1_http"] - found["rank1_evaluate"])
    return bool(rank1 <= RANK1_POINTS and found["worst_score_error"] <= SCORE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with query and bounding_box_test")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reid-market1501-") as folder:
        found = run(arguments.data, Path(folder))
    if arguments.json:
        print(json.dumps({**found, "agrees": agrees(found)}))
    else:
        show(found)
    sys.exit(0 if agrees(found) else "the service and the offline evaluation do not agree")


if __name__ == "__main__":
    main()
