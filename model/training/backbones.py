"""torchvision's networks up to their last feature map, with the changes that re-identification makes to them."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torchvision
from torch import Tensor, nn
from torch.nn import functional

from model.errors import RecipeError
from model.training.instance_norm import use_instance_norm
from model.training.recipe import NetworkRecipe

_CLASSIFIERS = ("fc.", "classifier.", "heads.")


def build_backbone(recipe: NetworkRecipe) -> tuple[nn.Module, int]:
    """Return the network `(N, 3, H, W) -> (N, C, h, w)`, its modules named as torchvision does, and C.

    `last_stride` 1 keeps the last stage at twice the size (Luo et al., 2019); a transformer has no stages and ignores
    it. Raises `RecipeError` for a module that the network does not have, and for instance norm outside a ResNet.
    """
    if recipe.instance_norm and not recipe.backbone.startswith("resnet"):
        raise RecipeError(f"network.instance_norm: expected a ResNet, found {recipe.backbone}; set it to false")
    backbone, channels = _BUILDERS[recipe.backbone](recipe)
    unknown = sorted(set(recipe.openings) - {name for name, _ in backbone.named_modules()})
    if unknown:
        raise RecipeError(f"network.frozen or opened: {recipe.backbone} has no module named {', '.join(unknown)}")
    return backbone, channels


def without_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ImageNet weights without those of its thousand classes."""
    return {name: value for name, value in state.items() if not name.startswith(_CLASSIFIERS)}


def _resnet(recipe: NetworkRecipe) -> tuple[nn.Module, int]:
    resnet = torchvision.models.get_model(recipe.backbone, weights=None)
    channels = resnet.fc.in_features
    if recipe.last_stride == 1:
        block = resnet.layer4[0]
        (block.conv2 if hasattr(block, "conv3") else block.conv1).stride = (1, 1)
        block.downsample[0].stride = (1, 1)
    if recipe.instance_norm:
        use_instance_norm(resnet)
    del resnet.avgpool, resnet.fc
    return nn.Sequential(OrderedDict(resnet.named_children())), channels


def _mobilenet(recipe: NetworkRecipe) -> tuple[nn.Module, int]:
    features = torchvision.models.get_model(recipe.backbone, weights=None).features
    return nn.Sequential(OrderedDict(features=_keep_last_size(features, recipe))), features[-1].out_channels


def _convnext(recipe: NetworkRecipe) -> tuple[nn.Module, int]:
    features = torchvision.models.convnext_tiny(weights=None, stochastic_depth_prob=0.0).features  # it draws by itself
    channels = features[-1][-1].block[0].out_channels
    return nn.Sequential(OrderedDict(features=_keep_last_size(features, recipe))), channels


def _keep_last_size(features: nn.Sequential, recipe: NetworkRecipe) -> nn.Sequential:
    """Take the stride out of the last convolution that has one; a kernel of 2 is padded by nothing."""
    if recipe.last_stride == 1:
        strided = [module for module in features.modules() if isinstance(module, nn.Conv2d) and module.stride != (1, 1)]
        strided[-1].stride = (1, 1)
    return features


def _vit(_recipe: NetworkRecipe) -> tuple[nn.Module, int]:
    vit = torchvision.models.vit_b_16(weights=None)
    return VisionTransformer(vit), vit.hidden_dim


class VisionTransformer(nn.Module):
    """A ViT whose patch tokens are the feature map, at any input size that is a multiple of the patch.

    Its position embedding, learned on a square, is interpolated to the input's grid (Dosovitskiy et al., ICLR 2021,
    section 3.2). torchvision has no ViT-S, so this is its ViT-B.
    """

    def __init__(self, vit: torchvision.models.VisionTransformer) -> None:
        super().__init__()
        self.conv_proj = vit.conv_proj
        self.class_token = vit.class_token
        self.encoder = vit.encoder
        self.patch = vit.patch_size

    def forward(self, images: Tensor) -> Tensor:
        """Return the last tokens of the patches `(N, C, H / patch, W / patch)`."""
        patches = self.conv_proj(images)  # (N, C, h, w)
        size = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2)  # (N, h·w, C)
        tokens = functional.pad(tokens, (0, 0, 1, 0)) + functional.pad(self.class_token, (0, 0, 0, size.numel()))
        x = self.encoder.dropout(tokens + self._positions(size[0], size[1]).to(tokens.dtype))
        x = self.encoder.ln(self.encoder.layers(x))
        features: Tensor = x[:, 1:]
        return features.transpose(1, 2).reshape(len(x), -1, *size)

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the position embedding `(1, 1 + height·width, C)`."""
        learned: Tensor = self.encoder.pos_embedding
        side = round((learned.shape[1] - 1) ** 0.5)
        if (height, width) == (side, side):
            return learned
        grid = learned[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = functional.interpolate(grid.float(), (height, width), mode="bicubic", antialias=True)
        return functional.pad(grid.flatten(2).transpose(1, 2), (0, 0, 1, 0)) + functional.pad(
            learned[:, :1], (0, 0, 0, height * width)
        )


_BUILDERS: Mapping[str, Callable[[NetworkRecipe], tuple[nn.Module, int]]] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50"), _resnet),
    **dict.fromkeys(("mobilenet_v3_small", "mobilenet_v3_large"), _mobilenet),
    "convnext_tiny": _convnext,
    "vit_b_16": _vit,
}
