"""Pictures decoded once into one uint8 tensor."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.errors import DatasetError, ImageError
from model.preprocess import read_image, resize


def load_pictures(paths: tuple[Path, ...], height: int, width: int, *, threads: int = 2) -> Tensor:
    """Return the pictures as uint8 RGB `(N, 3, height, width)`; raise `DatasetError` naming one that is broken."""

    def load(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        try:
            return resize(read_image(path.read_bytes()), height, width)
        except (ImageError, OSError) as exc:
            raise DatasetError(f"{path}: {exc}; repair or remove the file") from exc

    pictures = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        for index, picture in enumerate(pool.map(load, paths)):
            pictures[index] = picture
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)  # channels last in memory
