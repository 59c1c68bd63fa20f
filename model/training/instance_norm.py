"""IBN-a: half of the channels of a ResNet's early blocks are normalised by image, which takes style out of them.

Pan, Luo, Shi, Tang. "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018.
"""

from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn


class IBN(nn.Module):
    """Normalise the first half of the channels by image, the second by batch; named as in IBN-Net's own weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, C, H, W)` normalised."""
        half = self.IN.num_features
        return torch.cat((self.IN(x[:, :half].contiguous()), self.BN(x[:, half:].contiguous())), dim=1)


def use_instance_norm(resnet: torchvision.models.ResNet) -> None:
    """Put IBN in place of the first norm of each block of the first three layers."""
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3):
        for block in layer:
            block.bn1 = IBN(block.bn1.num_features)


def split_norms(backbone: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a plain network's weights for one that may have IBN: each half takes its half of the norm's weights.

    IBN-Net's own weights pass as they are.
    """
    found = dict(state)
    for name, module in backbone.named_modules():
        if not isinstance(module, IBN) or f"{name}.weight" not in state:
            continue
        half = module.IN.num_features
        for key in ("weight", "bias", "running_mean", "running_var"):
            whole = found.pop(f"{name}.{key}")
            found[f"{name}.BN.{key}"] = whole[half:]
            if key in ("weight", "bias"):
                found[f"{name}.IN.{key}"] = whole[:half]
        found.pop(f"{name}.num_batches_tracked", None)
    return found
