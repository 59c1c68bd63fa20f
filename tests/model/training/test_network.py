import lzma
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision

from model.errors import RecipeError
from model.training.network import GeM, ReidNetwork, load_imagenet
from model.training.recipe import NetworkRecipe

IMAGES = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def network(**changes: object) -> ReidNetwork:
    torch.manual_seed(0)
    return ReidNetwork(NetworkRecipe.model_validate({"backbone": "resnet18", **changes}), identities=5)


@pytest.mark.parametrize(
    ("changes", "dim"),
    [({}, 512), ({"embedding_dim": 16}, 16), ({"embedding_dim": 16, "hidden_dim": 64, "bottleneck": False}, 16)],
)
def test_shapes_and_unit_length(changes: dict[str, object], dim: int) -> None:
    net = network(**changes)
    feature, logits = net(IMAGES)
    assert feature.shape == (3, dim)
    assert logits.shape == (3, 5)
    assert net.dim == dim
    assert torch.allclose(net.eval().embed(IMAGES).norm(dim=1), torch.ones(3), atol=1e-5)


def test_logits_are_computed_in_float32_where_the_rest_is_not() -> None:
    net = network().eval()
    with torch.autocast("cpu", torch.bfloat16):
        feature, logits = net(IMAGES)
    assert torch.equal(logits, net.classifier(net.neck(feature)))


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("stride", "rows"), [(1, 4), (2, 2)])
def test_last_stride(backbone: str, stride: int, rows: int) -> None:
    assert network(backbone=backbone, last_stride=stride).backbone(IMAGES).shape[2] == rows


def test_gem_lies_between_mean_and_maximum() -> None:
    features = torch.rand(2, 4, 6, 3)
    assert torch.allclose(GeM(exponent=1.0)(features), features.mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(GeM(exponent=200.0)(features), features.amax(dim=(2, 3)), rtol=0.05)
    expected = features.double().pow(3).mean(dim=(2, 3)).pow(1 / 3)
    assert torch.allclose(GeM()(features).double(), expected, atol=1e-6)


def test_frozen_modules_do_not_change() -> None:
    net = network(frozen=["conv1", "bn1", "layer1"]).train()
    before = {name: value.clone() for name, value in net.backbone.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(IMAGES)[1].square().sum().backward()
    optimiser.step()
    after = net.backbone.state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"layer2", "layer3", "layer4"}


def test_modules_open_at_their_epoch() -> None:
    net = network(frozen=["conv1"], opened={"layer1": 1, "layer2": 2.5}).train()
    open_at = {}
    for epoch in (0, 1, 2, 3):
        changed = net.freeze(epoch)
        names = {name.split(".")[1] for name, p in net.named_parameters() if p.requires_grad and "layer" in name}
        assert all(
            net.backbone.get_submodule(f"{name}.0.bn1").training == (name in names) for name in ("layer1", "layer2")
        )
        open_at[epoch] = (changed, "layer1" in names, "layer2" in names)
    assert open_at == {
        0: (False, False, False),
        1: (True, True, False),
        2: (False, True, False),
        3: (True, True, True),
    }
    trained = {id(p) for p in net.backbone_parameters()}
    assert {id(p) for p in net.backbone.layer1.parameters()} <= trained  # type: ignore[union-attr]
    assert not {id(p) for p in net.backbone.conv1.parameters()} & trained  # type: ignore[union-attr]


def test_neck_has_no_trained_bias() -> None:
    net = network(embedding_dim=8)
    assert isinstance(net.neck, torch.nn.BatchNorm1d)
    assert not net.neck.bias.requires_grad


@pytest.mark.parametrize("bottleneck", [True, False])
def test_the_embedding_is_the_feature_half_whitened_after_the_neck_or_as_it_is(bottleneck: bool) -> None:
    kinds = ("whitened", "neck", "feature")
    nets = {kind: network(embedding_dim=8, embedding=kind, bottleneck=bottleneck) for kind in kinds}
    for net in nets.values():
        if isinstance(net.neck, torch.nn.BatchNorm1d):
            torch.manual_seed(1)
            net.neck.weight.data.uniform_(0.5, 2)
            net.neck.get_buffer("running_mean").normal_()
            net.neck.get_buffer("running_var").uniform_(0.5, 2)
        net.eval()
    features = nets["neck"](IMAGES)[0].detach().double().numpy()
    for kind, net in nets.items():
        found = net.embed(IMAGES).detach().numpy()
        for row, feature in zip(found, features, strict=True):
            expected = feature
            if isinstance(net.neck, torch.nn.BatchNorm1d) and kind != "feature":
                mean, scale = net.neck.get_buffer("running_mean").numpy(), net.neck.weight.detach().numpy()
                deviation = np.sqrt(net.neck.get_buffer("running_var").numpy() + 1e-5)
                length = np.sqrt(sum(mean**2) + sum(deviation**2))
                expected = {
                    "neck": (feature - mean) / deviation * scale,
                    "whitened": (feature / np.linalg.norm(feature) * length - 0.8 * mean) / np.sqrt(deviation),
                }[kind]
            assert row == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_unknown_frozen_module_is_named() -> None:
    with pytest.raises(RecipeError, match="layer9"):
        network(frozen=["layer9"])


@pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.xz", ".pth"])
def test_weights_are_read_from_each_format(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    state = torchvision.models.resnet18(weights=None).state_dict()
    path = tmp_path / f"w{suffix}"
    content = safetensors.torch.save({name: value.half() for name, value in state.items()})
    if suffix == ".pth":
        torch.save(state, path)
    else:
        path.write_bytes(lzma.compress(content, preset=0) if suffix.endswith("xz") else content)
    net = network()
    load_imagenet(net, "resnet18", path)
    loaded = net.backbone.state_dict()["layer3.0.conv1.weight"]
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded, state["layer3.0.conv1.weight"], atol=1e-3)


def test_foreign_weights_are_refused(tmp_path: Path, weights: Path) -> None:
    for backbone in ("resnet34", "resnet50"):
        with pytest.raises(RecipeError, match=backbone):
            load_imagenet(network(backbone=backbone), backbone, weights)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not weights")
    for path in (broken, tmp_path / "missing.pth"):
        with pytest.raises(RecipeError, match="cannot read weights"):
            load_imagenet(network(), "resnet18", path)
