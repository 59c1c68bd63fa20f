"""Images with their labels: what every data set is read into."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.errors import DatasetError

JUNK = -1
_SHOWN = 3
_LEAST_HELD_OUT = 2  # and as many to train on


@dataclass(frozen=True)
class LabelledImages:
    """Images with identity and camera, in the data set's own order.

    `listed` says that the labels come from a list beside the files, not from the files' names; `folder` is where the
    files were looked for, if that is one folder.
    """

    name: str
    paths: tuple[Path, ...]
    identities: NDArray[np.int64]  # (N,)
    cameras: NDArray[np.int64]  # (N,)
    listed: bool = False
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, keep: NDArray[np.bool_]) -> "LabelledImages":
        """Return the images where `keep` `(N,)` is true."""
        paths = tuple(path for path, kept in zip(self.paths, keep, strict=True) if kept)
        return replace(self, paths=paths, identities=self.identities[keep], cameras=self.cameras[keep])

    def first(self, count: int) -> "LabelledImages":
        """Return the first `count` images."""
        return self.subset(np.arange(len(self)) < count)

    def sha256(self) -> str:
        """Return a hash over the file names and sizes, and over the labels that the names do not tell."""
        digest = hashlib.sha256()
        for path, identity, camera in zip(self.paths, self.identities, self.cameras, strict=True):
            label = f"\t{identity}\t{camera}" if self.listed else ""
            digest.update(f"{path.name}\t{path.stat().st_size}{label}\n".encode())
        return digest.hexdigest()


def label_files(name: str, paths: list[Path], labels: ArrayLike) -> LabelledImages:
    """Return files labelled by their own names; `labels` `(N, 2)` are identity and camera."""
    table = np.array(labels, dtype=np.int64).reshape(len(paths), 2)
    return LabelledImages(name, tuple(paths), table[:, 0], table[:, 1])


def label_list(name: str, paths: list[Path], labels: ArrayLike) -> LabelledImages:
    """Return files labelled by a list; raise `DatasetError` when the list names files that are not there."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{name}: {len(missing)} of the {len(paths)} listed files are missing, among them {shown(missing)}; "
            "unpack the data set again, or correct the list"
        )
    return replace(label_files(name, paths, labels), listed=True)


def no_images(name: str) -> LabelledImages:
    """Return a split that has nothing in it."""
    return label_files(name, [], [])


def join_images(name: str, parts: tuple[LabelledImages, ...]) -> LabelledImages:
    """Return the images of several splits, each file once."""
    paths = [path for part in parts for path in part.paths]
    labels = np.concatenate([np.stack([part.identities, part.cameras], axis=1) for part in parts])
    keep = sorted({path: position for position, path in enumerate(paths)}.values())
    return label_files(name, [paths[position] for position in keep], labels[keep])


def shown(items: list[Path]) -> str:
    """Return the first few of many paths, for a message of one line."""
    return ", ".join(map(str, items[:_SHOWN])) + (", …" if len(items) > _SHOWN else "")


def hold_out(images: LabelledImages, identities: int, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Split off `identities` whole identities; return what is left for training, and the held-out images."""
    names = np.unique(images.identities)
    if len(names) < 2 * _LEAST_HELD_OUT:
        raise DatasetError(
            f"{images.name}: expected at least {2 * _LEAST_HELD_OUT} identities, two to train on and two to hold out, "
            f"found {len(names)}; add images of others"
        )
    if identities >= len(names) - 1:
        raise DatasetError(
            f"cannot hold out {identities} of {len(names)} identities: give a smaller number, such as "
            f"--set held_out_identities={max(_LEAST_HELD_OUT, len(names) // 5)}"
        )
    chosen = np.random.default_rng(seed).permutation(names)[:identities]
    held = np.isin(images.identities, chosen)
    return images.subset(~held), images.subset(held)
