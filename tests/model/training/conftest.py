from pathlib import Path

import pytest
import torch
import torchvision

from model.parity import TOLERANCES, Tolerance
from model.synthetic import write_market
from model.training.datasets.reading import read_dataset
from model.training.export import export
from model.training.recipe import read_recipe
from model.training.train import train

LOOSE = Tolerance(0.5, 0.5, 100, 100)  # ten images of an untrained network rank by chance

RECIPE = """
name = "tiny"
description = "what the tests train"
held_out_identities = 6
validate_every = 1

[network]
backbone = "resnet18"
embedding_dim = 32
frozen = ["conv1", "bn1", "layer1"]

[loss]
softplus = true

[batch]
identities = 4
images = 2

[optimiser]
name = "adamw"
rate = 3e-4
warmup_epochs = 0.5

[[stages]]
epochs = 1
height = 48
width = 24
pad = 2

[[stages]]
epochs = 1
height = 64
width = 32
erasing = 0.5
jitter = 0.2
grayscale = 0.1
"""


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic people in Market-1501's layout."""
    return write_market(tmp_path_factory.mktemp("market"), train_identities=14, test_identities=4, cameras=3, views=2)


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torchvision's layout."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def run(recipe_file: Path, market: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(read_recipe(str(recipe_file)), read_dataset(market), out, weights=weights, device="cpu")
    return out


@pytest.fixture(scope="session")
def folder(run: Path, market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("version")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOLERANCES, "int8", LOOSE)
        export(run, read_dataset(market), out, version="tiny@1", terms="none", command="reid export")
    return out
