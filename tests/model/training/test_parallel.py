import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from model.errors import RecipeError
from model.training.checkpoint import load_checkpoint
from model.training.journal import read_history
from model.training.parallel import Share, distribute, gather
from tests.model.training.conftest import RECIPE

STEPS = 24


@pytest.fixture(scope="module")
def float32_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six epochs of four steps, by an optimiser that does not divide gradients by their own size."""
    path = tmp_path_factory.mktemp("recipe") / "parallel.toml"
    text = RECIPE.replace('"adamw"\nrate = 3e-4', '"sgd"\nrate = 3e-3').replace("epochs = 1\n", "epochs = 3\n")
    text = text.replace('"layer1"]', '"layer1", "layer2"]')  # every layer more lets rounding grow
    path.write_text(f'precision = "float32"\n{text}', encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def calm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights whose residual branches start at zero, so that rounding does not grow from step to step."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None, zero_init_residual=True).state_dict(), path)
    return path


def run(processes: int, recipe: Path, market: Path, out: Path, weights: Path) -> Path:
    script = Path(__file__).with_name("parallel_run.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    subprocess.run([*torchrun, script, recipe, market, out, weights], check=True)
    return out


def test_two_processes_train_as_one(float32_recipe: Path, market: Path, calm_weights: Path, tmp_path: Path) -> None:
    one = run(1, float32_recipe, market, tmp_path / "one", calm_weights)
    two = run(2, float32_recipe, market, tmp_path / "two", calm_weights)

    losses = [[row for row in read_history(folder) if row.kind == "training"] for folder in (one, two)]
    assert len(losses[0]) == len(losses[1]) == STEPS
    for alone, shared in zip(*losses, strict=True):
        assert shared.values == pytest.approx(alone.values, rel=1e-5), alone.step
    network, other = load_checkpoint(one).network, load_checkpoint(two).network
    assert network.keys() == other.keys()
    assert network["backbone.layer4.1.bn2.weight"].abs().max() > 1e-3  # it was 0
    for name, value in network.items():
        assert torch.allclose(other[name].float(), value.float(), rtol=1e-4, atol=1e-6), name


def test_batch_is_shared_out_evenly() -> None:
    assert [Share(rank, 4).slice(64) for rank in (0, 3)] == [slice(0, 16), slice(48, 64)]
    with pytest.raises(RecipeError, match="3 processes can share evenly, found 64 images"):
        Share(0, 3).slice(64)


def test_alone_nothing_is_wrapped() -> None:
    network = torch.nn.Linear(2, 2)
    assert distribute(network) is network
    assert gather(network.weight) is network.weight
