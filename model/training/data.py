"""The verb that looks a data set over before hours go into training on it. It needs no torch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from model.training.datasets.check import count_cameras
from model.training.datasets.dataset import Dataset
from model.training.datasets.files import check_duplicates, check_readable
from model.training.datasets.images import LabelledImages
from model.training.datasets.reading import AUTO, NAMES, read_dataset
from model.training.telling import tell_progress


@dataclass(frozen=True)
class Summary:
    """What a split holds; cameras per identity are a mean."""

    images: int
    identities: int
    cameras: int
    cameras_per_identity: float


def data(
    path: Annotated[Path, typer.Argument(help="the data set: its folder, or a CSV manifest")],
    dataset: Annotated[str, typer.Option(help=f"{', '.join(NAMES)}; name:N is the N-th of several splits")] = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the counts as JSON")] = False,
) -> None:
    """Check a data set: its counts, its labels, every picture, and what is there twice."""
    tell_progress()
    found = read_dataset(path, dataset)
    check_readable(found.everything.paths)
    check_duplicates(found.everything, published=found.release is not None)
    summaries = {split: summarise(images) for split, images in found.splits.items() if len(images)}
    if json_output:
        splits = {split: asdict(summary) for split, summary in summaries.items()}
        typer.echo(json.dumps({"name": found.name, "protocol": found.protocol, "terms": found.terms, "splits": splits}))
    else:
        print_summaries(found, summaries)


def summarise(images: LabelledImages) -> Summary:
    """Count a split that is not empty."""
    per_identity = count_cameras(images)
    mean = round(float(per_identity.mean()), 2)
    return Summary(len(images), len(per_identity), len(np.unique(images.cameras)), mean)


def print_summaries(dataset: Dataset, summaries: dict[str, Summary]) -> None:
    """Print the counts as a table; a data set without cameras shows none."""
    cameras = dataset.protocol != "retrieval"
    table = Table("split", "images", "identities", *(("cameras", "cameras per identity") if cameras else ()))
    for split, summary in summaries.items():
        counts = (summary.images, summary.identities, summary.cameras, summary.cameras_per_identity)
        table.add_row(split, *map(str, counts[: 4 if cameras else 2]))
    Console(markup=False).print(f"{dataset.name}, for {dataset.protocol}. {dataset.terms}", table)
