"""Carry a run's network in small files: python -m benchmarks.pieces split RUN OUT | join OUT RUN

The weights that are served travel in float16, in pieces of 15 MiB with their hashes; the joined checkpoint can be
exported and can teach, but not go on training.
"""

import argparse
import dataclasses
import hashlib
import io
import json
from pathlib import Path

import torch

from model.errors import RecipeError
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.training.recipe import Recipe

PIECE = 15 * 2**20
LIST = "pieces.json"


def split(run: Path, out: Path) -> None:
    """Write the run's served weights to `out`."""
    checkpoint = load_checkpoint(run)
    halves = {name: value.half() if value.is_floating_point() else value for name, value in checkpoint.served.items()}
    content = {**vars(checkpoint), "network": halves, "optimiser": {}, "averaged": None}
    buffer = io.BytesIO()
    torch.save({**content, "recipe": checkpoint.recipe.model_dump(mode="json")}, buffer)
    out.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for number, start in enumerate(range(0, buffer.tell(), PIECE)):
        piece = buffer.getbuffer()[start : start + PIECE]
        name = f"piece-{number:03d}"
        (out / name).write_bytes(piece)
        hashes[name] = hashlib.sha256(piece).hexdigest()
    (out / LIST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")


def join(out: Path, run: Path) -> None:
    """Write the checkpoint that `split` cut; raise `RecipeError` for a piece that is missing or damaged."""
    content = b""
    for name, expected in json.loads((out / LIST).read_text(encoding="utf-8")).items():
        piece = (out / name).read_bytes() if (out / name).exists() else b""
        if hashlib.sha256(piece).hexdigest() != expected:
            raise RecipeError(f"{out / name} is missing or damaged; fetch it again")
        content += piece
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    checkpoint = Checkpoint(**{**loaded, "recipe": Recipe.model_validate(loaded["recipe"])})
    whole = {name: value.float() if value.is_floating_point() else value for name, value in checkpoint.network.items()}
    run.mkdir(parents=True, exist_ok=True)
    save_checkpoint(dataclasses.replace(checkpoint, network=whole), run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["split", "join"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    {"split": split, "join": join}[arguments.action](arguments.source, arguments.target)


if __name__ == "__main__":
    main()
