"""What a picture is like, cheaply: measured on what the model takes, for the drift of cameras."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.card import InputContract
from model.container import read_container
from model.preprocess import prepare


@dataclass(frozen=True, slots=True)
class Quality:
    """One picture's measures."""

    height: float  # pixels, as it was sent
    brightness: float  # mean of the green channel, 0 to 255
    contrast: float  # its standard deviation
    sharpness: float  # log2 of the Laplacian's variance


def measure(pixels: NDArray[np.uint8], height: int) -> Quality:
    """Measure a prepared picture (H, W, 3) that was so many pixels high when it was sent."""
    green = pixels[..., 1].astype(np.float32)
    laplacian = green[:-2, 1:-1] + green[2:, 1:-1]
    laplacian += green[1:-1, :-2]
    laplacian += green[1:-1, 2:]
    laplacian -= 4 * green[1:-1, 1:-1]
    mean = float(green.mean())
    contrast = _deviation(green, mean)
    variance = _deviation(laplacian, float(laplacian.mean())) ** 2
    return Quality(float(height), mean, contrast, float(np.log2(1 + variance)))


def measure_picture(data: bytes, contract: InputContract) -> Quality:
    """Measure a picture as it was sent, by what the model takes of it; raise `ImageError`."""
    return measure(prepare(data, contract), read_container(data).height)


def _deviation(values: NDArray[np.float32], mean: float) -> float:
    flat = values.ravel()
    return float(np.sqrt(max(0.0, float(flat @ flat) / len(flat) - mean * mean)))
