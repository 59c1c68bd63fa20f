"""CUHK03 as its owners release it: pictures and test sets in one MATLAB 7.3 file, `cuhk-03.mat`, which is HDF5.

`labeled` and `detected` hold five pairs of views, each a cell array of people × 10 pictures, the first five by the
pair's first view; a cell may be empty. `testsets` holds 20 lists of people, by pair and number in it. MATLAB's axes
come in the reverse order. Which of the six cameras makes up which pair is not told, so that a camera is a view here.

The pictures are unpacked once, as PNG files named pair, person, view and number (`1_001_1_01.png`), as the widely
shared unpacked copies and the lists of the new protocol name them.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from model.errors import DatasetError

Stored = Any  # h5py has no types
Boxes = Literal["labeled", "detected"]
BOXES: tuple[Boxes, ...] = ("labeled", "detected")
TERMS = "CUHK03: research use only; its pictures are its owners'."
SPLITS = 20
EXAMPLE = "1_001_1_01.png"
_PLACES = ("cuhk03_release/cuhk-03.mat", "cuhk-03.mat")
_NAME = re.compile(r"(\d)_(\d{3})_([12])_\d{2}\.png")
_FIRST_VIEW = 5
logger = logging.getLogger(__name__)


def find_release(root: Path) -> Path | None:
    """Return the release's file, if it is there."""
    return next((root / place for place in _PLACES if (root / place).is_file()), None)


def parse_name(path: Path) -> tuple[int, int, int]:
    """Return pair, person and view."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"expected a name such as {EXAMPLE}, found {path}; rename or remove the file")
    return int(match[1]), int(match[2]), int(match[3])


def picture_folder(root: Path, boxes: Boxes) -> Path:
    """Return the folder of the unpacked pictures; unpack them when there is none yet."""
    folder, release = root / f"images_{boxes}", find_release(root)
    if not folder.is_dir():
        if release is None:
            raise DatasetError(f"cuhk03: expected the folder {folder} or the file {root / _PLACES[0]}, found neither")
        logger.info("unpacking the %s pictures of %s into %s", boxes, release, folder)
        unpack(release, boxes, folder)
    return folder


def read_test_sets(release: Path) -> list[frozenset[tuple[int, int]]]:
    """Return the people of each split's test, as pair and number."""
    with _opened(release) as file:
        return [_people(file[reference]) for reference in file["testsets"][0]]


def unpack(release: Path, boxes: Boxes, folder: Path) -> None:
    """Write the pictures as PNG files; the folder appears when it is complete, and of several processes' the first."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as own, _opened(release) as file:
        part = Path(own) / folder.name
        part.mkdir()
        pairs = list(enumerate(file[boxes][0], start=1))
        for pair, reference in track(pairs, f"unpacking {boxes}", console=Console(stderr=True), transient=True):
            for name, picture in _pictures(file, file[reference], pair):
                Image.fromarray(picture).save(part / name)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _pictures(file: Stored, cells: Stored, pair: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield name and picture `(H, W, 3)` of each cell that is not empty."""
    for person, references in enumerate(cells[:].T, start=1):  # (people, 10)
        for number, reference in enumerate(references, start=1):
            stored = file[reference]
            if stored.ndim == 3:  # an empty cell stores its two sizes
                view = 1 if number <= _FIRST_VIEW else 2
                yield f"{pair}_{person:03d}_{view}_{number:02d}.png", np.ascontiguousarray(stored[:].T)


def _people(stored: Stored) -> frozenset[tuple[int, int]]:
    return frozenset((int(pair), int(person)) for pair, person in stored[:].T)


@contextmanager
def _opened(release: Path) -> Iterator[Stored]:
    """Open the file for reading; what it should hold and does not is a `DatasetError`."""
    import h5py  # here, because the other data sets do not need it

    try:
        with h5py.File(release, "r") as file:
            missing = [name for name in (*BOXES, "testsets") if name not in file]
            if missing:
                raise DatasetError(f"{release}: expected the variable {missing[0]}, found {', '.join(file)}")
            yield file
    except (LookupError, OSError, RuntimeError, TypeError, ValueError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:  # the system's, such as a full disk
            raise
        raise DatasetError(f"{release}: expected CUHK03's MATLAB 7.3 file: {exc}; fetch it again") from exc
