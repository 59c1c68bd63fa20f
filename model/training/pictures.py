"""Pictures decoded once into one uint8 tensor."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.card import InputContract
from model.errors import DatasetError
from model.training.datasets.files import check_readable, prepare_file


def load_pictures(paths: tuple[Path, ...], height: int, width: int, *, threads: int = 2) -> Tensor:
    """Return the pictures as uint8 RGB `(N, 3, height, width)`; raise `DatasetError` naming all that are broken."""
    contract = InputContract(height=height, width=width)
    pictures = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index, picture in enumerate(pool.map(lambda path: prepare_file(path, contract), paths)):
                pictures[index] = picture
        except DatasetError:
            check_readable(paths)
            raise
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)  # channels last in memory
