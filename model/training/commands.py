"""The verbs of the command line that need torch."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from model.card import CARD_NAME, Metrics, read_card
from model.registry import FILES, Precision, Registry
from model.runtime import Embedder
from model.training.datasets.reading import AUTO, NAMES, read_dataset
from model.training.evaluate import as_metrics, evaluate_version
from model.training.export import export as run_export
from model.training.recipe import bundled_recipes, read_recipe
from model.training.telling import tell_progress
from model.training.train import train as run_training

DataOption = Annotated[Path, typer.Option(help="the data set: its folder, or a CSV manifest")]
DatasetOption = Annotated[str, typer.Option(help=f"{', '.join(NAMES)}; name:N is the N-th of several splits")]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda; the default is cuda where there is one")]


def default_device() -> str:
    """Return the fastest device there is."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def train(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="the run's folder; a run found there goes on where it was")],
    recipe: Annotated[str, typer.Option(help=f"{', '.join(bundled_recipes())}, or a TOML file")] = "cpu",
    weights: Annotated[
        Path | None, typer.Option(help="ImageNet weights; without it torchvision downloads them")
    ] = None,
    device: DeviceOption = "",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the held-out metrics as JSON")] = False,
) -> None:
    """Train a network with the HAP2S loss."""
    tell_progress()
    plan, images = read_recipe(recipe), read_dataset(data, dataset)
    result = run_training(plan, images, out, weights=weights, device=device or default_device())
    metrics = {"rank1": result.rank(1), "mAP": result.mAP, "mINP": result.mINP}
    if json_output:
        typer.echo(json.dumps(metrics))
    else:
        figures = "  ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        typer.echo(f"held-out identities: {figures}\nnext: reid export --run {out}")


def evaluate(
    data: DataOption,
    model: Annotated[
        str, typer.Option(help="a version such as market1501-r50@1, or its folder; default: the active one")
    ] = "",
    registry: Annotated[Path, typer.Option(envvar="REID_REGISTRY_DIR", help="where versions are registered")] = Path(
        "data/models"
    ),
    precision: Annotated[Precision | None, typer.Option(help="int8 or fp32; default: the one that is served")] = None,
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Measure rank-1, mAP and mINP of a model version on a data set's test split."""
    tell_progress()
    embedder, found = open_version(model, registry, precision)
    images = read_dataset(data, dataset)
    result = as_metrics(evaluate_version(embedder, images), precision=found, command=this_command())
    if json_output:
        typer.echo(json.dumps({"version": embedder.version, **result.model_dump()}))
    else:
        print_metrics(f"{embedder.version} on {images.name}", [result])


def export(
    run: Annotated[Path, typer.Option(help="a training run's folder")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="the version's new folder; then `reid models import` it")],
    version: Annotated[str, typer.Option(help="name@number", metavar="NAME@N")] = "market1501-r50@1",
    terms: Annotated[
        str, typer.Option(help="terms of use, beside those of the data")
    ] = "Weights: as their source says.",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the card")] = False,
) -> None:
    """Export a run to ONNX, fp32 and int8, with parity, thresholds and figures in its card."""
    tell_progress()
    images = read_dataset(data, dataset)
    card = run_export(run, images, out, version=version, terms=terms, command=this_command())
    if json_output:
        typer.echo(card.model_dump_json())
    else:
        print_metrics(f"{version} on {images.name}", card.metrics)
        typer.echo(f"next: reid models import {out}")


def open_version(model: str, registry: Path, precision: Precision | None) -> tuple[Embedder, Precision]:
    """Open a version by name, by folder or the active one; return it with the precision that it computes in."""
    if Path(model, CARD_NAME).is_file() and model:
        card, found = read_card(Path(model, CARD_NAME)), precision or "int8"
        path = Path(model, FILES[found])
        return Embedder(path, card.input, card.output, card.version), found
    versions = Registry(registry)
    version = model or versions.active()
    path = versions.file(version, precision)
    return versions.open(version, precision=precision), "int8" if path.name == FILES["int8"] else "fp32"


def print_metrics(title: str, rows: Sequence[Metrics]) -> None:
    """Print figures as a table."""
    table = Table("precision", "rank-1", "rank-5", "rank-10", "mAP", "mINP", "queries", "gallery", "protocol")
    for row in rows:
        figures = (row.rank1, row.rank5, row.rank10, row.mAP, row.mINP)
        table.add_row(
            row.precision, *(f"{value:.1f}" for value in figures), str(row.queries), str(row.gallery), row.protocol
        )
    Console().print(title, table)


def this_command() -> str:
    """Return the command line that is running, without its paths' folders."""
    return " ".join(["reid", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
