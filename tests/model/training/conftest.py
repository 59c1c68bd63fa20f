from pathlib import Path

import pytest
import torch
import torchvision

from model.synthetic import write_market

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
