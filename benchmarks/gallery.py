"""What the gallery costs at each size: python -m benchmarks.gallery 10000 100000 1000000

For each size, on simulated embeddings of 512 numbers: enrolment in batches of 256 and one by one from 16 clients
(durable, no pictures kept), the time to learn codes, to open again from the snapshot and from the catalogue, memory,
and queries at several selectivities with their recall of the ten best identities against a full comparison; re-ranked
queries, a page of samples and one identity. Beside them, in the same process, the bare FAISS calls: the same codes,
Flat, and HNSW where it is asked for. What a query takes over a bare call is measured in turns with it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app import false_alarms
from app.rerank import rerank
from app.search import SearchCall
from benchmarks.machine import describe, resident
from benchmarks.simulator import Floats, Ints, Simulator, measured
from index.gallery import GalleryStore
from index.records import NewSample, SampleFilter, Storage
from index.vectors import IndexOptions

VERSION = "simulated@1"
BATCH = 256
BLOCK = 256 * 64
CLIENTS = 16
CLIENT_SECONDS = 5.0
QUERIES = 200
TOP = 10
SAMPLES_PER_IDENTITY = 20
CAMERAS = 64
START = datetime(2026, 1, 1, tzinfo=UTC)
CODES = "the same codes"
CHECKED = "candidates compared"  # of the codes; without codes, all
SELECTIVITIES = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001, 0.00001)


@dataclass(frozen=True, slots=True)
class World:
    """People, and as many pictures of them as the gallery is to have; the same ones each time it is asked."""

    count: int

    def simulator(self) -> Simulator:
        """Return the people, as they were before the first picture."""
        return Simulator(measured(), max(self.count // SAMPLES_PER_IDENTITY, 10), CAMERAS, seed=self.count)

    def queries(self) -> Floats:
        """Return other pictures of the same people, (Q, D)."""
        world = self.simulator()
        random = np.random.default_rng(1)
        return world.pictures(random.integers(len(world.people), size=QUERIES), random.integers(CAMERAS, size=QUERIES))

    def window(self, part: float) -> tuple[int, int]:
        """Return the rows, from and to, of a time window that lets a part of the gallery through."""
        size = max(1, round(part * self.count))
        start = (self.count - size) // 3
        return start, start + size


def samples(vectors: Floats, people: Ints, cameras: Ints, first: int) -> list[NewSample]:
    """Return pictures as the gallery takes them; each was taken a second after the one before."""
    return [
        NewSample(
            identity=f"p{person}",
            embedding=vector,
            picture=b"%d" % (first + place),
            camera=f"c{camera}",
            captured_at=START + timedelta(seconds=first + place),
        )
        for place, (vector, person, camera) in enumerate(zip(vectors, people.tolist(), cameras.tolist(), strict=True))
    ]


def open_store(folder: Path, storage: Storage) -> GalleryStore:
    """Open the benchmark's gallery."""
    index = IndexOptions(storage=storage)
    return GalleryStore.open(
        f"sqlite:///{folder}/reid.db", f"{folder}/pictures", model_version=VERSION, dim=512, index=index
    )


def fill(store: GalleryStore, world: World) -> float:
    """Enrol everything in batches; return samples a second, the making of the embeddings left out."""
    store.put_gallery("default", store_images=False)
    spent, done = 0.0, 0
    blocks = world.simulator().crowd(world.count, BLOCK)
    total = -(-world.count // BLOCK)
    for block in track(blocks, f"enrolling {world.count}", total=total, console=Console(stderr=True), transient=True):
        items = samples(*block, done)
        started = time.perf_counter()
        for start in range(0, len(items), BATCH):
            store.enrol("default", items[start : start + BATCH], model_version=VERSION)
        spent += time.perf_counter() - started
        done += len(items)
    return world.count / spent


def enrol_singly(store: GalleryStore, world: World) -> float:
    """Enrol one by one from several clients; return samples a second. What was enrolled is deleted with its gallery."""
    store.put_gallery("single", store_images=False)
    [(vectors, people, cameras)] = world.simulator().crowd(2048, 2048)
    items = samples(vectors, people, cameras, 0)
    counts = [0] * CLIENTS
    end = time.perf_counter() + CLIENT_SECONDS

    def client(place: int) -> None:
        number = place
        while time.perf_counter() < end:
            item = items[number % len(items)]
            new = NewSample(item.identity, item.embedding, b"single %d" % number, item.camera, item.captured_at)
            store.enrol("single", [new], model_version=VERSION)
            counts[place] += 1
            number += CLIENTS

    threads = [threading.Thread(target=client, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / CLIENT_SECONDS


def truth(world: World) -> dict[float, list[list[str]]]:
    """Compare every query with every sample; return the ten best identities by selectivity and query."""
    queries = world.queries()
    near: dict[float, list[tuple[Floats, Ints]]] = {part: [] for part in SELECTIVITIES}
    done = 0
    for vectors, people, _ in world.simulator().crowd(world.count, BLOCK):
        scores = queries @ vectors.T
        for part in SELECTIVITIES:
            first, last = (min(max(edge - done, 0), len(vectors)) for edge in world.window(part))
            inside = scores[:, first:last]
            if inside.shape[1] == 0:
                continue
            keep = min(200, inside.shape[1])
            best = np.argpartition(-inside, keep - 1, axis=1)[:, :keep]
            near[part].append((np.take_along_axis(inside, best, axis=1), people[first:last][best]))
        done += len(vectors)
    return {part: _best(blocks) for part, blocks in near.items()}


def _best(blocks: list[tuple[Floats, Ints]]) -> list[list[str]]:
    scores, people = (np.concatenate(columns, axis=1) for columns in zip(*blocks, strict=True))
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(people, order, axis=1)
    return [[f"p{person}" for person in list(dict.fromkeys(row.tolist()))[:TOP]] for row in ranked]


def timed(call: Callable[[Floats], Any], queries: Floats) -> tuple[list[Any], dict[str, float]]:
    """Ask one query after the other; return the answers, and the median and 99th percentile in milliseconds."""
    call(queries[:1])
    answers, spent = [], []
    for place in range(len(queries)):
        started = time.perf_counter()
        answers.append(call(queries[place : place + 1]))
        spent.append(1000 * (time.perf_counter() - started))
    return answers, {"p50": float(np.median(spent)), "p99": float(np.quantile(spent, 0.99))}


def ask(store: GalleryStore, world: World) -> list[dict[str, float]]:
    """Ask at each selectivity; return latencies and recall."""
    queries, wanted = world.queries(), truth(world)
    rows = []
    for part in SELECTIVITIES:
        first, last = world.window(part)
        where = SampleFilter()
        if part < 1:
            where = SampleFilter(
                captured_after=START + timedelta(seconds=first), captured_before=START + timedelta(seconds=last)
            )
        answers, spent = timed(
            lambda query, where=where: store.search("default", query, model_version=VERSION, where=where)[0],  # type: ignore[misc]
            queries,
        )
        found = [[person.identity for person in answer.identities] for answer in answers]
        hits = sum(len(set(ours) & set(theirs)) for ours, theirs in zip(found, wanted[part], strict=True))
        rows.append({"part": part, **spent, "recall": hits / sum(map(len, wanted[part]))})
    return rows


def bare(store: GalleryStore, world: World, hnsw: bool) -> dict[str, dict[str, float]]:
    """Time FAISS alone on the same vectors."""
    vectors = store.indexes.serving.follower.shards[1].vectors
    queries = world.queries()
    faiss.omp_set_num_threads(1)
    found = {}
    if vectors.codes is not None:
        codes = vectors.codes
        found[CODES] = timed(lambda query: codes.search(query, codes.depth, None, codes.setting.part), queries)[1]
        found[CHECKED] = timed(lambda query: vectors.search(query, 256), queries)[1]
    found["Flat"] = timed(lambda query: vectors.compare(query, 256), queries[:50])[1]
    if hnsw:
        graph = faiss.IndexHNSWFlat(512, 32, faiss.METRIC_INNER_PRODUCT)
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        started = time.perf_counter()
        graph.add(vectors.read(np.arange(world.count)))
        seconds = time.perf_counter() - started
        faiss.omp_set_num_threads(1)
        graph.hnsw.efSearch = 256
        found["HNSW"] = {**timed(lambda query: graph.search(query, 256), queries)[1], "build_s": seconds}
    return found


def over_bare(store: GalleryStore, world: World) -> dict[str, float]:
    """Ask each query in turns with the bare call of the same index; return the medians of the differences, in ms."""
    vectors = store.indexes.serving.follower.shards[1].vectors
    codes = vectors.codes
    faiss.omp_set_num_threads(1)
    calls: dict[str, Callable[[Floats], object]] = {
        "query": lambda query: store.search("default", query, model_version=VERSION),
        CHECKED: lambda query: vectors.search(query, 256),
    }
    if codes is not None:
        calls[CODES] = lambda query: codes.search(query, codes.depth, None, codes.setting.part)
    spent: dict[str, list[float]] = {name: [] for name in calls}
    queries = world.queries()
    for place in range(len(queries)):
        for name, call in calls.items():
            started = time.perf_counter()
            call(queries[place : place + 1])
            spent[name].append(1000 * (time.perf_counter() - started))
    return {
        name: float(np.median(np.subtract(spent["query"], spent[name]))) for name in calls if name != "query"
    }  # fmt: skip


def others(store: GalleryStore, world: World) -> dict[str, dict[str, float]]:
    """Time what else is asked of a gallery."""
    queries = world.queries()
    call = SearchCall("default", VERSION, SampleFilter(), TOP, 3)
    camera = SampleFilter(cameras=frozenset({"c7"}), captured_after=START + timedelta(seconds=world.count // 2))
    middle = store.page("default", camera, limit=100).next_cursor
    calls: dict[str, Callable[[Floats], object]] = {
        "query, re-ranked": lambda query: rerank(store, call, query[0]),
        "page of 100 samples of a camera in a window": lambda _: store.page(
            "default", camera, limit=100, cursor=middle
        ),
        "identity, counted": lambda query: store.identity("default", f"p{int(1e4 * abs(query[0, 0])) % 10}"),
    }
    return {name: timed(call, queries)[1] for name, call in calls.items()}


def strangers(store: GalleryStore, count: int) -> float:
    """Return the seconds that the gallery's strangers take."""
    started = time.perf_counter()
    found = false_alarms.measure(store, "default", VERSION, count)
    assert len(found.scores) == false_alarms.MOST_STRANGERS
    return time.perf_counter() - started


def measure(count: int, folder: Path, storage: Storage, hnsw: bool) -> dict[str, Any]:
    """Measure one size in this process."""
    world = World(count)
    store = open_store(folder, storage)
    result: dict[str, Any] = {"samples": count, "batched": fill(store, world)}
    started = time.perf_counter()
    store.indexes.settle()
    result["settle_s"] = time.perf_counter() - started
    result["single"] = enrol_singly(store, world)
    store.delete_gallery("single")
    store.indexes.settle()
    store.close()
    result |= _in_a_new_process(count, folder, storage, hnsw)
    for snapshot in (folder / "reid.index").glob("*.snapshot"):
        snapshot.unlink()
    started = time.perf_counter()
    open_store(folder, storage).close()
    result["open_from_catalogue_s"] = time.perf_counter() - started
    result["catalogue_bytes"] = (folder / "reid.db").stat().st_size
    return result


def reopened(count: int, folder: Path, storage: Storage, hnsw: bool) -> dict[str, Any]:
    """Measure what a service that opens the gallery sees."""
    world = World(count)
    before = resident()
    started = time.perf_counter()
    store = open_store(folder, storage)
    result: dict[str, Any] = {"open_s": time.perf_counter() - started}
    codes = store.indexes.serving.follower.shards[1].vectors.codes
    result["resident_bytes"] = resident() - before
    result["stored_bytes"] = count * np.dtype(storage).itemsize * 512
    result["recall_measured"] = None if codes is None else codes.setting.recall
    result["depth"] = None if codes is None else codes.depth
    result["queries"] = ask(store, world)
    result["bare"] = bare(store, world, hnsw)
    result["over"] = over_bare(store, world)
    result["others"] = others(store, world)
    result["strangers_s"] = strangers(store, count)
    store.close()
    return result


def _in_a_new_process(count: int, folder: Path, storage: Storage, hnsw: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.gallery", str(count), "--storage", storage, "--reopen", str(folder)]
    done = subprocess.run([*command, *(["--hnsw"] if hnsw else [])], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def show(results: list[dict[str, Any]]) -> None:
    """Print what was measured."""
    console = Console()
    table = Table("samples", *(f"{each['samples']:,}" for each in results), box=None)

    def row(name: str, value: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(name, *(value(each) for each in results))

    row("enrolled a second, batches of 256", lambda each: f"{each['batched']:,.0f}")
    row("enrolled a second, one by one, 16 clients", lambda each: f"{each['single']:,.0f}")
    row("codes and snapshot, in the background", lambda each: f"{each['settle_s']:.1f} s")
    row("opened from the snapshot", lambda each: f"{each['open_s']:.2f} s")
    row("opened from the catalogue", lambda each: f"{each['open_from_catalogue_s']:.1f} s")
    row("resident, of the vectors' bytes", lambda each: f"{each['resident_bytes'] / each['stored_bytes']:.2f}")
    row("catalogue, bytes a sample", lambda each: f"{each['catalogue_bytes'] / each['samples']:,.0f}")
    for place, part in enumerate(SELECTIVITIES):
        cells = (_query(each["queries"][place]) for each in results)
        table.add_row(f"query, {part:.3%} let through: p50, p99, recall", *cells)
    for name in results[0]["others"]:
        table.add_row(f"{name}: p50, p99", *(_bare(each["others"][name]) for each in results))
    row("1,000 strangers searched for", lambda each: f"{each['strangers_s']:.2f} s")
    for name in (CODES, CHECKED, "Flat", "HNSW"):
        table.add_row(f"bare FAISS, {name}: p50, p99", *(_bare(each["bare"].get(name)) for each in results))
    for name in (CODES, CHECKED):
        table.add_row(f"query over bare FAISS, {name}: p50", *(_over(each["over"].get(name)) for each in results))
    console.print(table)
    console.print(describe())


def plot(results: list[dict[str, Any]], file: Path) -> None:
    """Draw the median latencies over the size."""
    sizes = [each["samples"] for each in results]
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.add_subplot()
    for place, part in enumerate(SELECTIVITIES[:4]):
        axes.plot(
            sizes, [each["queries"][place]["p50"] for each in results], "o-", label=f"query, {part:.0%} let through"
        )
    for name in (CODES, "Flat", "HNSW"):
        known = [(each["samples"], each["bare"][name]["p50"]) for each in results if name in each["bare"]]
        if known:
            axes.plot(*zip(*known, strict=True), "x--", label=f"bare FAISS, {name}")
    axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="median, ms")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _query(found: dict[str, float]) -> str:
    return f"{found['p50']:.2f} {found['p99']:.2f} ms {found['recall']:.4f}"


def _bare(found: dict[str, float] | None) -> str:
    return "–" if found is None else f"{found['p50']:.2f} {found['p99']:.2f} ms"


def _over(found: float | None) -> str:
    return "–" if found is None else f"{found:.2f} ms"


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--storage", choices=("float32", "float16"), default="float32", help="of vectors in memory")
    parser.add_argument("--folder", type=Path, help="where the galleries are made; a temporary one without it")
    parser.add_argument(
        "--hnsw", action="store_true", help="build a graph too, which takes a quarter of an hour a million"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    parser.add_argument("--plot", type=Path, help="an SVG or PNG file for the latencies over the size")
    parser.add_argument("--reopen", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.reopen is not None:
        print(json.dumps(reopened(given.sizes[0], given.reopen, given.storage, given.hnsw)))
        return
    results = []
    for size in given.sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            results.append(measure(size, Path(folder), given.storage, given.hnsw))
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=1), encoding="ascii")
    if given.plot is not None:
        plot(results, given.plot)
    show(results)


if __name__ == "__main__":
    main()
