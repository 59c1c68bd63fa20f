"""The verbs of the command line that need torch."""

import json
import logging
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.logging import RichHandler

from model.training.recipe import bundled_recipes, read_recipe

DataOption = Annotated[Path, typer.Option(help="Market-1501: the folder with bounding_box_train, query, …")]
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
    json_output: Annotated[bool, typer.Option("--json", help="print the held-out metrics as JSON")] = False,
) -> None:
    """Train a network with the HAP2S loss."""
    from model.training.train import train as run

    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=Console(stderr=True))])
    result = run(read_recipe(recipe), data, out, weights=weights, device=device or default_device())
    metrics = {"rank1": result.rank(1), "mAP": result.mAP, "mINP": result.mINP}
    if json_output:
        typer.echo(json.dumps(metrics))
    else:
        figures = "  ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        typer.echo(f"held-out identities: {figures}\nnext: reid export --run {out}")
