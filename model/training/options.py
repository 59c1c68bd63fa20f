"""What several verbs of the training can be told."""

import os
from pathlib import Path
from typing import Annotated

import torch
import typer

from model.errors import RecipeError
from model.training.datasets.reading import NAMES

DataOption = Annotated[Path, typer.Option(help="the data set: its folder, or a CSV manifest")]
DatasetOption = Annotated[str, typer.Option(help=f"{', '.join(NAMES)}; name:N is the N-th of several splits")]
ModelOption = Annotated[str, typer.Option(help="a version such as mine@1, or its folder; default: the active one")]
RegistryOption = Annotated[
    Path,
    typer.Option(
        envvar="REID_REGISTRY_DIR",
        default_factory=lambda: Path(os.environ.get("REID_DATA_DIR") or "data", "models"),
        show_default="models in REID_DATA_DIR",
        help="where versions are registered",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="ImageNet weights, or what to start from: a version such as mine@1, or a run's or version's folder; "
        "default: torchvision's download"
    ),
]
CacheOption = Annotated[
    Path | None, typer.Option(envvar="REID_PICTURE_CACHE", help="keep decoded pictures in this folder for other runs")
]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda; the default is cuda where there is one")]


def choose_device(asked: str) -> str:
    """Return the device asked for, or the fastest there is; raise `RecipeError` when it is none, or not there."""
    if asked not in ("", "cpu", "cuda"):
        raise RecipeError(
            f"expected the device cpu or cuda, found {asked}; CUDA_VISIBLE_DEVICES=1 chooses a second GPU"
        )
    if asked == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            f"expected a GPU for --device cuda, found none that torch {torch.__version__} can use: install its driver, "
            "or give --device cpu"
        )
    return asked or ("cuda" if torch.cuda.is_available() else "cpu")
