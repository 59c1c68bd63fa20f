"""Pixels decoded a second time, without serving's code: they tell when serving's preprocessing is not training's."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.nn import functional

from model.card import InputContract
from model.errors import ExportError
from model.training.embedding import BATCH, prepared_batches

MOST_DIFFERENCE = 0.25  # grey levels, mean over a picture; bilinear and bicubic differ by 0.35 and more


def check_pixels(paths: tuple[Path, ...], contract: InputContract) -> None:
    """Compare the pictures as they are served with `plain_pixels`; raise `ExportError` for the first that differs.

    Pictures that are transparent or have 16 bits are passed over: what becomes of those is serving's own choice.
    """
    for path, served in zip(paths, _served(paths, contract), strict=True):
        expected = plain_pixels(path, contract.height, contract.width)
        if expected is None:
            continue
        if served.shape != expected.shape:
            raise ExportError(f"served pixels: expected {expected.shape} of {path.name}, found {served.shape}")
        found = float(np.abs(served.astype(np.int16) - expected).mean())
        if found > MOST_DIFFERENCE:
            raise ExportError(
                f"served pixels: expected those that the network is trained on to within {MOST_DIFFERENCE} grey "
                f"levels on average, found {found:.2f} at {path.name}; decoding, colours or resizing differ"
            )


def plain_pixels(path: Path, height: int, width: int) -> NDArray[np.uint8] | None:
    """Return `(height, width, 3)` RGB by Pillow's decoder and torch's antialiased bilinear resize.

    A large JPEG is decoded at a fraction of its size, as long as that leaves twice the target, as in training. None
    for a picture that is not opaque with 8 bits.
    """
    with Image.open(path) as picture:
        if picture.has_transparency_data or picture.mode.startswith(("I", "F")):
            return None
        turned = picture.getexif().get(0x0112, 1) >= 5
        picture.draft("", (2 * height, 2 * width) if turned else (2 * width, 2 * height))
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    pixels = torch.from_numpy(np.array(upright)).permute(2, 0, 1)[None]  # (1, 3, H, W)
    scaled = functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    return scaled[0].permute(1, 2, 0).numpy()


def _served(paths: tuple[Path, ...], contract: InputContract) -> Iterator[NDArray[np.uint8]]:
    for batch in prepared_batches(paths, contract, BATCH):
        yield from batch
