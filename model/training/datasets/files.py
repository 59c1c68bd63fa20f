"""The files of a data set: which cannot be read, and which are the same picture twice."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from model.card import InputContract
from model.errors import DatasetError, ImageError
from model.preprocess import prepare
from model.training.datasets.images import LabelledImages, shown

_SMALL = InputContract(height=128, width=64)
logger = logging.getLogger(__name__)


def prepare_file(path: Path, contract: InputContract) -> NDArray[np.uint8]:
    """Read one picture and prepare it `(H, W, 3)` for the model."""
    try:
        return prepare(path.read_bytes(), contract)
    except (ImageError, OSError) as exc:
        raise DatasetError(f"{path}: {exc}; repair or remove the file") from exc


def check_readable(paths: tuple[Path, ...]) -> None:
    """Decode every picture, and raise one `DatasetError` for all that are broken."""
    with ThreadPoolExecutor() as pool:
        reasons = track(
            pool.map(_fault, paths), "reading pictures", len(paths), console=Console(stderr=True), transient=True
        )
        broken = [(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason]
    if broken:
        raise DatasetError(
            f"{len(broken)} of {len(paths)} pictures cannot be read: {shown([path for path, _ in broken])}; "
            f"repair or remove the files; the first: {broken[0][1]}"
        )


def check_duplicates(images: LabelledImages, *, published: bool) -> None:
    """Look for pictures that are there twice: tell copies, and raise `DatasetError` for one of two identities.

    Of a published data set that is told too: it cannot be mended without making it another one.
    """
    groups = find_duplicates(images.paths)
    doubtful = [group for group in groups if len(set(images.identities[group].tolist())) > 1]
    copies = sum(len(group) - 1 for group in groups if group not in doubtful)
    if copies:
        logger.warning("%s: copies of other files, of the same identity: %d", images.name, copies)
    if not doubtful:
        return
    example = shown([images.paths[position] for position in doubtful[0]])
    message = f"{images.name}: pictures that are there under several identities: {len(doubtful)}, among them {example}"
    if not published:
        raise DatasetError(f"{message}; remove the copies, or give them one identity")
    logger.warning("%s; the data set was published like that, or its files were mixed up", message)


def find_duplicates(paths: tuple[Path, ...]) -> list[list[int]]:
    """Return the positions of files with the same bytes; only files of one size are read."""
    return [
        same
        for size in _group(range(len(paths)), lambda position: paths[position].stat().st_size)
        for same in _group(size, lambda position: hashlib.sha256(paths[position].read_bytes()).digest())
    ]


def _fault(path: Path) -> str | None:
    try:
        prepare(path.read_bytes(), _SMALL)
    except (ImageError, OSError) as exc:
        return str(exc)
    return None


def _group(positions: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Return the groups of two and more positions whose keys are equal."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for position in positions:
        groups[key(position)].append(position)
    return [group for group in groups.values() if len(group) > 1]
