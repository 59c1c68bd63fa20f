"""Whether as many strangers are taken for somebody as `false_alarm_rate` says: python -m benchmarks.strangers DATA

Some of the people of a data set's queries are enrolled, all their pictures; those of all others are searched for. The
threshold is drawn as the service does it, from the enrolled people alone. Ten draws of who is enrolled, mean ± sd. Then
all are enrolled: how many strangers the card's thresholds take for somebody, and how many known people each line finds.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app import false_alarms, open_set, recalibration
from app.engine import Engine, open_engine
from app.settings import load_settings
from benchmarks.machine import describe
from index.gallery import GalleryStore
from index.records import Embedding, NewSample
from model.training.datasets.images import LabelledImages
from model.training.datasets.reading import read_dataset
from model.training.embedding import embed_images

RATES = (0.1, 0.05, 0.01)
DRAWS = 10
GALLERY = "people"


def enrol(store: GalleryStore, version: str, images: LabelledImages, embeddings: Embedding) -> None:
    """Enrol embeddings (N, D) in a new gallery."""
    store.put_gallery(GALLERY, retention_days=None, store_images=False)
    samples = [
        NewSample(identity=str(identity), embedding=embedding, picture=path.name.encode(), camera=str(camera))
        for identity, camera, embedding, path in zip(
            images.identities, images.cameras, embeddings, images.paths, strict=True
        )
    ]
    store.enrol(GALLERY, samples, model_version=version)


def let_in(store: GalleryStore, version: str, enrolled: int, others: Embedding) -> list[float | None]:
    """Return the share of pictures of others (N, D) that reach the threshold of each rate; None where none is known."""
    known = false_alarms.measure(store, GALLERY, version, enrolled)
    found = store.search(GALLERY, others, model_version=version, top_k=1, samples_per_identity=1)
    best = np.array([ranking.identities[0].score for ranking in found])
    thresholds = [known.threshold(rate) for rate in RATES]
    return [None if line is None else float((best >= line).mean()) for line in thresholds]


def measure(
    store: GalleryStore, version: str, images: LabelledImages, embeddings: Embedding, people: int
) -> list[list[float | None]]:
    """Draw who is enrolled, again and again; return for each draw which share of strangers each rate lets in."""
    everybody = np.unique(images.identities)
    rows = []
    for draw in track(range(DRAWS), f"{people} people", console=Console(stderr=True)):
        drawn = np.random.default_rng(draw).choice(everybody, people, replace=False)
        known = np.isin(images.identities, drawn)
        enrol(store, version, images.subset(known), embeddings[known])
        rows.append(let_in(store, version, int(known.sum()), embeddings[~known]))
        store.delete_gallery(GALLERY)
    return rows


def cell(shares: list[float | None]) -> str:
    """Return mean and deviation of what a rate let in."""
    told = [100 * share for share in shares if share is not None]
    return f"{fmean(told):.1f} ± {stdev(told):.1f} %" if len(told) == len(shares) else "too few to tell"


def show_all(console: Console, engine: Engine) -> None:
    """Print what the card's thresholds let in of a gallery's own people as strangers, and what each line finds."""
    version = engine.embedder.version
    drawn = recalibration.measure(engine.gallery, recalibration.Choice(GALLERY), version).drawn
    searched = open_set.search(engine.gallery, drawn, version)
    console.print(searched.protocol)
    assert engine.model.card.calibration is not None
    for each in engine.model.card.calibration.thresholds:
        rate = searched.let_through(each.threshold)
        console.print(f"false match rate {each.false_match_rate:g}, at {each.threshold:.3f}: {rate:.1%} let in")
    found = searched.open_set()
    for line in found.rates if found else ():
        rate, known = line.false_alarm_rate, line.detection_rate
        console.print(f"{rate:.0%} let in at {line.threshold:.3f}: {known:.1%} of the known found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set that the model was not trained on, or its test split")
    parser.add_argument("--people", type=int, nargs="+", default=[50, 200, 400], help="how many are enrolled")
    given = parser.parse_args()
    images = read_dataset(given.data).require("query")
    console = Console(highlight=False)
    console.print(describe())
    table = Table("enrolled", *(f"let in at {rate:g}" for rate in RATES), box=None)
    with tempfile.TemporaryDirectory(prefix="reid-strangers-") as folder:
        settings = load_settings(data_dir=Path(folder))
        with open_engine(settings) as engine:
            version = engine.embedder.version
            embeddings = embed_images(engine.embedder, images).embeddings
            for people in given.people:
                rows = measure(engine.gallery, version, images, embeddings, people)
                cells = [cell([row[place] for row in rows]) for place in range(len(RATES))]
                table.add_row(f"{people} people", *cells)
            console.print(table)
            enrol(engine.gallery, version, images, embeddings)
            show_all(console, engine)


if __name__ == "__main__":
    main()
