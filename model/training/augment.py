"""Augmentation of whole batches on the device: colour jitter, flip, padded crop, random erasing.

Zhong, Zheng, Kang, Li, Yang. "Random Erasing Data Augmentation", AAAI 2020.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from model.training.parallel import ALONE, Share

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in [0, 1]
STD = (0.229, 0.224, 0.225)
_ERASED_AREA = (0.02, 0.4)  # of the picture
_ERASED_ASPECT = (0.3, 1 / 0.3)
_LUMA = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


@dataclass(frozen=True)
class Augmentation:
    """Chances of flipping, erasing and losing all colour, the crop's padding in pixels, and how far colours vary.

    `jitter` is the largest difference of exposure, contrast, saturation and each channel's gain (white balance), as a
    natural logarithm. What is drawn for a picture does not depend on how many processes share the batch.
    """

    flip: float
    pad: int
    erasing: float
    jitter: float = 0.0
    grayscale: float = 0.0
    share: Share = ALONE

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return normalised, augmented float images `(N, 3, H, W)` of uint8 ones; `generator` is on the CPU."""
        recolour, flip, crop, erase = self._draw(images, generator)
        x = _standardise(self._recolour(images, recolour), _on(images.device, MEAN), _on(images.device, STD))
        x = self._flip(x, flip)
        x = self._crop(x, crop)
        return self._erase(x, erase)

    def _draw(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return each change's uniform numbers `(count, N)` for the pictures of this share, sent all at once."""
        counts = [7 if self.jitter or self.grayscale else 0, 1, 2 if self.pad else 0, 5 if self.erasing else 0]
        whole = len(images) * self.share.size
        drawn = torch.rand(sum(counts), whole, generator=generator)[:, self.share.slice(whole)]
        if images.is_cuda:
            drawn = drawn.pin_memory()  # without it the copy waits for the step before
        return torch.split(drawn.to(images.device, non_blocking=True), counts)

    def _recolour(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Show each picture as another camera might: one linear map of its colours, clipped where a sensor would be."""
        if not len(drawn):
            return images
        device = images.device
        exposure, contrast, saturation, red, green, blue, chance = drawn
        exposure, contrast, saturation, *gains = (
            torch.exp(self.jitter * (2 * each - 1)) for each in (exposure, contrast, saturation, red, green, blue)
        )
        saturation = torch.where(chance < self.grayscale, 0, saturation)[:, None, None]
        luma = _on(device, _LUMA)
        towards_grey = saturation * torch.eye(3, device=device) + (1 - saturation) * luma.expand(3, 3)  # (N, 3, 3)
        colours = towards_grey * (torch.stack(gains, dim=1) * exposure[:, None])[:, None, :]
        x = images.float().flatten(2)  # (N, 3, H·W)
        mean = (luma @ (colours @ x.mean(dim=2, keepdim=True)))[:, None]  # grey level of each picture (N, 1, 1)
        contrast = contrast[:, None, None]
        return torch.baddbmm((1 - contrast) * mean, contrast * colours, x).clamp_(0, 255).view(images.shape)

    def _flip(self, x: Tensor, drawn: Tensor) -> Tensor:
        (chosen,) = drawn < self.flip
        return torch.where(chosen[:, None, None, None], x.flip(3), x)

    def _crop(self, x: Tensor, drawn: Tensor) -> Tensor:
        if not len(drawn):
            return x
        n, _, height, width = x.shape
        padded = functional.pad(x, [self.pad] * 4)
        down, right = (drawn * (2 * self.pad + 1)).long()
        rows = down[:, None] + torch.arange(height, device=x.device)  # (N, H)
        columns = right[:, None] + torch.arange(width, device=x.device)  # (N, W)
        picture = torch.arange(n, device=x.device)[:, None, None]
        return padded.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _erase(self, x: Tensor, drawn: Tensor) -> Tensor:
        """Blank one rectangle, to the mean colour, in the chosen pictures."""
        if not len(drawn):
            return x
        height, width = x.shape[2:]
        chance, area, aspect, top, left = drawn
        pixels = height * width * (_ERASED_AREA[0] + (_ERASED_AREA[1] - _ERASED_AREA[0]) * area)
        low, high = map(math.log, _ERASED_ASPECT)
        ratio = torch.exp(low + (high - low) * aspect)
        tall = (pixels * ratio).sqrt().clamp_max(height - 1)
        wide = (pixels / ratio).sqrt().clamp_max(width - 1)
        inside = (
            _between(top * (height - tall), tall, height)[:, :, None]
            & _between(left * (width - wide), wide, width)[:, None, :]
        )  # (N, H, W)
        erased = inside & (chance < self.erasing)[:, None, None]
        return x.masked_fill(erased[:, None], 0)


def _between(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return which of `size` positions lie in `[start, start + length)`, `(N, size)`."""
    position = torch.arange(size, device=start.device)
    return (position >= start[:, None]) & (position < (start + length)[:, None])


def normalise(images: Tensor) -> Tensor:
    """Return RGB `(N, 3, H, W)` of 0 to 255 as float32 with ImageNet's mean and deviation."""
    return _standardise(images, torch.tensor(MEAN, device=images.device), torch.tensor(STD, device=images.device))


def _standardise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (images.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@cache
def _on(device: torch.device, values: tuple[float, ...]) -> Tensor:
    """Return constants of training on the device, sent once: a copy in each step would wait for the step before."""
    return torch.tensor(values, device=device)
