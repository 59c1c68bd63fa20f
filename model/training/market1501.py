"""Market-1501: its files, what their names say, and what can be wrong with them.

Zheng, Shen, Tian, Wang, Wang, Tian. "Scalable Person Re-identification: A Benchmark", ICCV 2015.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
JUNK, DISTRACTOR = -1, 0
TERMS = "Market-1501: research use only, not to be redistributed."
_NAME = re.compile(r"^(-1|\d{4})_c(\d)s\d_\d{6}_\d{2}(?:\.(?:jpg|jpeg|png))+$")  # some end in .jpg.jpg
_LEAST_IDENTITIES = 2


@dataclass(frozen=True)
class LabelledImages:
    """Images with identity and camera, in the order of their file names."""

    name: str
    paths: tuple[Path, ...]
    identities: NDArray[np.int64]  # (N,)
    cameras: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, keep: NDArray[np.bool_]) -> "LabelledImages":
        """Return the images where `keep` `(N,)` is true."""
        paths = tuple(path for path, kept in zip(self.paths, keep, strict=True) if kept)
        return LabelledImages(self.name, paths, self.identities[keep], self.cameras[keep])

    def first(self, count: int) -> "LabelledImages":
        """Return the first `count` images."""
        return self.subset(np.arange(len(self)) < count)

    def sha256(self) -> str:
        """Return a hash over the file names and sizes."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(f"{path.name}\t{path.stat().st_size}\n".encode())
        return digest.hexdigest()


def read_split(root: Path, split: str) -> LabelledImages:
    """Read one split's file list; junk images (identity -1) are left out.

    Raises `DatasetError` when the folder, its names, or its cameras are not what training and evaluation need.
    """
    folder = find_root(root) / split
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not files:
        raise DatasetError(f"expected JPEG files in {folder}, found none")
    labels = np.array([parse_name(path.name) for path in files], dtype=np.int64)  # (N, 2)
    images = LabelledImages(f"market1501/{split}", tuple(files), labels[:, 0], labels[:, 1])
    return images.subset(images.identities != JUNK)


def find_root(root: Path) -> Path:
    """Return the folder that holds the three splits: `root` itself or its `Market-1501-v15.09.15`."""
    for candidate in (root, root / "Market-1501-v15.09.15"):
        if all((candidate / split).is_dir() for split in (TRAIN, QUERY, GALLERY)):
            return candidate
    raise DatasetError(
        f"expected the folders {TRAIN}, {QUERY} and {GALLERY} in {root}; give the folder that holds them"
    )


def parse_name(name: str) -> tuple[int, int]:
    """Return identity and camera of a name such as `0002_c1s1_000451_03.jpg`."""
    match = _NAME.match(name)
    if match is None:
        raise DatasetError(f"expected a name such as 0002_c1s1_000451_03.jpg, found {name}")
    return int(match[1]), int(match[2])


def check_training(images: LabelledImages) -> None:
    """Raise `DatasetError` when identities or cameras make training or its validation meaningless."""
    identities = np.unique(images.identities)
    if len(identities) < _LEAST_IDENTITIES:
        raise DatasetError(f"expected at least two identities in {images.name}, found {len(identities)}")
    if len(np.unique(images.cameras)) == 1:
        raise DatasetError(
            f"every image of {images.name} has camera {images.cameras[0]}: the protocol drops matches on the "
            "query's own camera, so nothing could be right; give each camera an id of its own"
        )
    pairs = np.unique(np.stack([images.identities, images.cameras], axis=1), axis=0)
    if len(pairs) == len(identities):
        raise DatasetError(f"no identity of {images.name} is seen by two cameras: there is nothing to match across")


def hold_out(images: LabelledImages, identities: int, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Split off `identities` whole identities; return what is left for training, and the held-out images."""
    names = np.unique(images.identities)
    if identities >= len(names) - 1:
        raise DatasetError(f"cannot hold out {identities} of {len(names)} identities: give a smaller number")
    chosen = np.random.default_rng(seed).permutation(names)[:identities]
    held = np.isin(images.identities, chosen)
    return images.subset(~held), images.subset(held)
