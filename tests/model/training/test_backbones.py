from typing import get_args

import pytest
import torch
import torchvision
from torch import Tensor

from model.errors import RecipeError
from model.training.backbones import VisionTransformer, build_backbone, without_classifier
from model.training.network import ReidNetwork
from model.training.recipe import NetworkRecipe

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
NAMES = get_args(NetworkRecipe.model_fields["backbone"].annotation)


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_embeds_and_learns(name: str) -> None:
    net = ReidNetwork(NetworkRecipe.model_validate({"backbone": name, "embedding_dim": 16}), identities=3).train()
    _, logits = net(IMAGES)
    assert torch.equal(logits, net(IMAGES)[1])  # nothing is drawn, or a resumed run would differ
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.backbone_parameters())
    embeddings = net.eval().embed(IMAGES)
    assert embeddings.shape == (2, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_last_stride_keeps_the_last_stage_large(name: str) -> None:
    images = IMAGES.repeat(1, 1, 2, 2)  # 128×64
    maps = [
        build_backbone(NetworkRecipe.model_validate({"backbone": name, "last_stride": stride}))[0](images).shape
        for stride in (1, 2)
    ]
    assert maps[1][2:] == (4, 2)
    assert maps[0][2] >= 7  # a kernel of 2 without a stride takes one row off


@pytest.mark.parametrize("name", NAMES)
def test_imagenet_weights_fit_but_for_the_classifier(name: str) -> None:
    state = torchvision.models.get_model(name, weights=None).state_dict()
    backbone, _ = build_backbone(NetworkRecipe.model_validate({"backbone": name}))
    kept = without_classifier(state)
    assert kept.keys() == backbone.state_dict().keys()
    assert 0 < len(state) - len(kept) <= 6


def test_transformer_at_its_own_size_computes_what_torchvision_does() -> None:
    torch.manual_seed(0)
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    ).eval()
    torch.nn.init.normal_(vit.encoder.pos_embedding)
    torch.nn.init.normal_(vit.class_token)
    seen: list[Tensor] = []
    vit.encoder.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = torch.randn(2, 3, 32, 32)
    vit(images)
    tokens = VisionTransformer(vit)(images)
    assert torch.allclose(tokens.flatten(2).transpose(1, 2), seen[0][:, 1:], atol=1e-5)
    assert VisionTransformer(vit)(torch.randn(1, 3, 48, 16)).shape == (1, 16, 6, 2)


def test_instance_norm_is_for_resnets() -> None:
    with pytest.raises(RecipeError, match="expected a ResNet, found vit_b_16"):
        build_backbone(NetworkRecipe(backbone="vit_b_16", instance_norm=True))
