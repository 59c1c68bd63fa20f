"""Pictures decoded once into one uint8 tensor, which a folder may keep from run to run."""

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from model.card import InputContract
from model.errors import DatasetError
from model.training.datasets.files import check_readable, prepare_file

THREADS = 2
FORMAT = b"1"  # of the entries: another number when decoding or resizing changes, so that old ones are not taken
logger = logging.getLogger(__name__)


def load_pictures(paths: tuple[Path, ...], height: int, width: int, *, cache: Path | None = None) -> Tensor:
    """Return the pictures as uint8 RGB `(N, 3, height, width)`; raise `DatasetError` naming all that are broken.

    With a `cache` folder they are decoded once and mapped into memory from then on, under the name of their content:
    files of other bytes, another order or another input make another entry.
    """
    contract = InputContract(height=height, width=width)
    if cache is None:
        return _as_tensor(_decode(paths, contract))
    entry = cache / f"{_content(paths, contract)}.npy"
    kept = _open(entry, (len(paths), height, width, 3))
    if kept is None:
        kept = _decode(paths, contract)
        _keep(kept, entry)
    return _as_tensor(kept)


def _as_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)  # channels last in memory


def _decode(paths: tuple[Path, ...], contract: InputContract) -> NDArray[np.uint8]:
    pictures = np.empty((len(paths), contract.height, contract.width, 3), dtype=np.uint8)
    with ThreadPoolExecutor(THREADS) as pool:
        decoded = pool.map(lambda path: prepare_file(path, contract), paths)
        try:
            for index, picture in enumerate(
                track(decoded, "decoding pictures", len(paths), console=Console(stderr=True), transient=True)
            ):
                pictures[index] = picture
        except DatasetError:
            check_readable(paths)
            raise
    return pictures


def _content(paths: tuple[Path, ...], contract: InputContract) -> str:
    """Return the name of these pictures prepared like this; raise `DatasetError` for a file that cannot be read."""
    digest = hashlib.sha256(FORMAT + contract.model_dump_json().encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as exc:
            raise DatasetError(f"{path}: {exc}; repair or remove the file") from exc
    return digest.hexdigest()


def _open(entry: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Map an entry, copied on writing; return None when there is none, or only a torn one."""
    try:
        pictures: NDArray[np.uint8] = np.load(entry, mmap_mode="c")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as exc:
        logger.warning("%s cannot be used (%s); the pictures are decoded again", entry, exc)
        return None
    if pictures.shape != shape or pictures.dtype != np.uint8:
        logger.warning("%s holds %s, not %s; the pictures are decoded again", entry, pictures.shape, shape)
        return None
    logger.info("pictures mapped from %s", entry)
    return pictures


def _keep(pictures: NDArray[np.uint8], entry: Path) -> None:
    """Write an entry in one step; where there is no room for it, training goes on without."""
    temporary: Path | None = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=entry.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.lib.format.write_array(file, pictures)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(entry)
    except OSError as exc:
        logger.warning("cannot keep the decoded pictures in %s: %s", entry, exc)
    else:
        logger.info("pictures kept in %s, %.0f MB", entry, pictures.nbytes / 1e6)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
