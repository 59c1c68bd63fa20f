"""What a training run begins from or learns from: a version's network, or another run's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from model.card import CARD_NAME, WEIGHTS, read_card
from model.errors import RecipeError
from model.training.checkpoint import load_checkpoint

_LARGEST_HALF = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Origin:
    """A trained network's weights, the images that it saw, its recipe, and the version that it is or began from."""

    weights: dict[str, Tensor]
    data_sha256: str
    recipe: dict[str, Any]  # as it was written, by this release or another
    version: str | None


def read_origin(folder: Path) -> Origin:
    """Read a version's folder or a run's; raise `RecipeError` for one without weights, `RegistryError` for no card."""
    if not (folder / CARD_NAME).exists():
        run = load_checkpoint(folder)
        return Origin(run.served, run.data_sha256, run.recipe.model_dump(mode="json"), run.parent)
    card = read_card(folder / CARD_NAME)
    try:
        weights = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    except (OSError, safetensors.SafetensorError) as exc:
        raise RecipeError(
            f"{card.version}: expected the network's weights in {WEIGHTS}, found none ({exc}); export it again with "
            "--with-weights, or give its run's folder"
        ) from exc
    return Origin(weights, card.data.file_list_sha256, card.recipe, card.version)


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write a network's weights for `read_origin`: matrices and filters as float16, the rest as it is.

    Statistics and factors of the norms stay exact; they are small, and a variance may be too small for float16.
    """
    # not save_file: it lets nobody but the writer read the file, and who serves may be another
    path.write_bytes(safetensors.torch.save({name: _stored(value) for name, value in weights.items()}))


def _stored(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    fits = value.is_floating_point() and value.ndim > 1 and float(value.abs().max()) < _LARGEST_HALF
    return value.half() if fits else value
