"""How much of the bare network's speed training keeps: python -m benchmarks.training [--recipe cpu]

Images a second of `reid train` itself, on drawn people, beside forward and backward passes of the same network on
tensors that are ready, for each stage of the recipe in turn: before the training, and again after it.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from model.synthetic import write_market
from model.training import train as training
from model.training.datasets.reading import read_dataset
from model.training.journal import HISTORY
from model.training.memory import keep_freed_memory
from model.training.network import ReidNetwork
from model.training.precision import use_bfloat16
from model.training.recipe import Recipe, Stage, read_recipe

IDENTITIES = 40
LOGGED_STEPS = 10


def bare(recipe: Recipe, stage: Stage, steps: int, device: str) -> float:
    """Return images/s of forward and backward passes over one ready batch."""
    network = ReidNetwork(recipe.network, IDENTITIES).to(device).to(memory_format=torch.channels_last).train()
    batch = recipe.batch.identities * recipe.batch.images
    images = torch.randn(batch, 3, stage.height, stage.width, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    autocast = torch.autocast(device, torch.bfloat16, enabled=use_bfloat16(recipe, device))
    started = 0.0
    for step in range(steps + 2):
        if step == 2:  # warm
            _wait(device)
            started = time.perf_counter()
        network.zero_grad(set_to_none=True)
        with autocast:
            feature, logits = network(images)
        (feature.square().mean() + logits.square().mean()).backward()
    _wait(device)
    return batch * steps / (time.perf_counter() - started)


def trained(recipe: Recipe, stage: Stage, steps: int, device: str, folder: Path) -> float:
    """Return images/s of training in one stage, from its tenth step on."""
    data = read_dataset(folder / "market")
    batch = recipe.batch.identities * recipe.batch.images
    per_epoch = max(1, (len(data.require("train")) - 2 * 24) // batch)
    epochs = -(-(steps + LOGGED_STEPS) // per_epoch)
    changes = {
        "stages": (stage.model_copy(update={"epochs": epochs}),),
        "held_out_identities": 2,
        "validate_every": epochs,
        "optimiser": recipe.optimiser.model_copy(update={"warmup_epochs": 0.0}),
    }
    weights = folder / "weights.pth"
    torch.save(torchvision.models.get_model(recipe.network.backbone, weights=None).state_dict(), weights)
    out = Path(tempfile.mkdtemp(dir=folder))
    training.train(recipe.model_copy(update=changes), data, out, weights=weights, device=device)
    rows = [json.loads(line) for line in (out / HISTORY).read_text(encoding="utf-8").splitlines()]
    times = {row["step"]: row["time"] for row in rows if row["kind"] == "training"}
    last = max(times)
    return float(batch * (last - LOGGED_STEPS) / (times[last] - times[LOGGED_STEPS]))


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    recipe, steps, device = read_recipe(arguments.recipe), arguments.steps, arguments.device
    keep_freed_memory()
    training.LOGGED_STEPS = LOGGED_STEPS
    table = Table("input", "bare forward + backward", "training", "ratio", box=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_market(folder / "market", train_identities=IDENTITIES, test_identities=2)
        for stage in recipe.stages:
            before = bare(recipe, stage, steps, device)
            ours = trained(recipe, stage, steps, device, folder)
            alone = statistics.fmean((before, bare(recipe, stage, steps, device)))
            figures = (f"{alone:.1f} images/s", f"{ours:.1f} images/s", f"{ours / alone:.2f}")
            table.add_row(f"{stage.height}×{stage.width}", *figures)
    console = Console(width=110, highlight=False)
    console.print(f"{describe()}, {device}, {torch.get_num_threads()} threads, {recipe.network.backbone}")
    console.print(table)


if __name__ == "__main__":
    main()
