"""Checkpoints: everything a run needs to go on exactly where it was."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.errors import RecipeError
from model.training.recipe import Recipe

NAME = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A run after `step` steps; nothing random is kept since batches depend on seed and step alone.

    `parent` is the model version that it began from, if it was one; `teacher` the hash of the one it learns from.
    """

    recipe: Recipe
    data_sha256: str
    identities: int
    step: int
    network: dict[str, torch.Tensor]
    optimiser: dict[str, Any]
    averaged: dict[str, torch.Tensor] | None = None
    parent: str | None = None
    teacher: str | None = None

    @property
    def served(self) -> dict[str, torch.Tensor]:
        """The weights that are measured and exported: the averaged ones where the recipe keeps them."""
        return self.network if self.averaged is None else self.averaged


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the run's checkpoint in place of the last one, atomically and to the disk.

    Raises `RecipeError` when the disk does not take it, and leaves the last one.
    """
    temporary = folder / f"{NAME}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save({**vars(checkpoint), "recipe": checkpoint.recipe.model_dump(mode="json")}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    except (OSError, RuntimeError) as exc:
        fault = exc if isinstance(exc, OSError) else exc.__context__  # of a write that fails halfway, torch has its own
        if not isinstance(fault, OSError):
            raise
        raise RecipeError(
            f"cannot write {folder / NAME}: {fault.strerror}; the one before is whole: make room on the disk, then "
            "give the same command again"
        ) from exc
    finally:
        temporary.unlink(missing_ok=True)


def require_run(folder: Path) -> None:
    """Raise `RecipeError` where there is no run, before anything that takes long is read."""
    if not (folder / NAME).is_file():
        raise RecipeError(f"expected a training run with a {NAME} in {folder}, found none")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a run's checkpoint; raise `RecipeError` when there is none or it cannot be read."""
    require_run(folder)
    try:
        content = torch.load(folder / NAME, map_location="cpu", weights_only=True)
        return Checkpoint(**{**content, "recipe": Recipe.model_validate(content["recipe"])})
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as exc:
        raise RecipeError(f"{folder / NAME} is not a checkpoint of this program: {exc}") from exc
