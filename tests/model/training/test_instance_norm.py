from pathlib import Path

import torch
from torch import nn

from model.training.instance_norm import IBN
from model.training.network import ReidNetwork, load_imagenet
from model.training.recipe import NetworkRecipe


def test_half_is_normalised_by_image_and_half_by_batch() -> None:
    x = torch.randn(3, 6, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    norm = IBN(6).double().train()
    found = norm(x)
    for channel in range(6):
        parts = [x[i, channel] for i in range(3)] if channel < 3 else [x[:, channel]]
        expected = torch.cat(
            [((part - part.mean()) / (part.var(correction=0) + 1e-5).sqrt()).flatten() for part in parts]
        )
        assert torch.allclose(found[:, channel].flatten(), expected, atol=1e-8)


def test_plain_weights_are_split_between_the_halves(weights: Path) -> None:
    network = ReidNetwork(NetworkRecipe(backbone="resnet18", instance_norm=True), identities=3)
    assert sum(isinstance(module, IBN) for module in network.modules()) == 6
    state = torch.load(weights, weights_only=True)
    state["layer1.0.bn1.weight"] = torch.arange(64.0)
    state["layer1.0.bn1.running_mean"] = torch.arange(64.0)
    changed = weights.with_name("changed.pth")
    torch.save(state, changed)
    load_imagenet(network, "resnet18", changed)
    norm = network.backbone.get_submodule("layer1.0.bn1")
    assert isinstance(norm, IBN)
    assert torch.equal(norm.IN.weight, torch.arange(32.0))
    assert torch.equal(norm.BN.weight, torch.arange(32.0, 64.0))
    assert norm.BN.running_mean is not None
    assert torch.equal(norm.BN.running_mean, torch.arange(32.0, 64.0))
    assert isinstance(network.backbone.get_submodule("layer4.0.bn1"), nn.BatchNorm2d)


def test_weights_made_for_ibn_pass_as_they_are(tmp_path: Path) -> None:
    source = ReidNetwork(NetworkRecipe(backbone="resnet18", instance_norm=True), identities=3)
    path = tmp_path / "ibn.pth"
    torch.save(source.backbone.state_dict(), path)
    network = ReidNetwork(NetworkRecipe(backbone="resnet18", instance_norm=True), identities=3)
    load_imagenet(network, "resnet18", path)
    assert all(
        torch.equal(a, b) for a, b in zip(source.backbone.parameters(), network.backbone.parameters(), strict=True)
    )
