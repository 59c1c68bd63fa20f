"""What HAP2S costs beside batch-hard: python -m benchmarks.losses

One forward and backward pass over embeddings of 512 dimensions, four images an identity, each loss in turn on the same
batch; the batch-hard of pytorch-metric-learning stands beside ours.
"""

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.machine import describe
from model.training.losses import build_loss
from model.training.recipe import LossRecipe

SIZES = (64, 512, 4096)
DIM = 512
LOSSES = {
    "batch-hard": LossRecipe.model_validate({"form": "extreme"}),
    "batch-hard of the library": LossRecipe.model_validate({"kind": "triplet"}),
    "HAP2S_E": LossRecipe.model_validate({"form": "exponential"}),
    "HAP2S_P": LossRecipe.model_validate({"form": "polynomial"}),
    "uniform": LossRecipe.model_validate({"form": "uniform"}),
}


def seconds(loss: nn.Module, size: int, device: str, rounds: int) -> float:
    """Return the least seconds of a pass."""
    identities = torch.arange(size, device=device) // 4
    embeddings = torch.randn(size, DIM, device=device, requires_grad=True)
    best = float("inf")
    for _ in range(rounds):
        embeddings.grad = None
        started = time.perf_counter()
        loss(embeddings, identities).backward()
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = parser.parse_args().device
    table = Table("", *(f"{size} embeddings" for size in SIZES), box=None)
    columns = []
    for size in SIZES:
        rounds = 5 if size > 1000 else 30
        took = {name: seconds(build_loss(recipe), size, device, rounds) for name, recipe in LOSSES.items()}
        columns.append([f"{1000 * s:.2f} ms, ×{s / took['batch-hard']:.2f}" for s in took.values()])
    for name, *cells in zip(LOSSES, *columns, strict=True):
        table.add_row(name, *cells)
    console = Console(width=110, highlight=False)
    console.print(f"{describe()}, {device}")
    console.print(table)


if __name__ == "__main__":
    main()
