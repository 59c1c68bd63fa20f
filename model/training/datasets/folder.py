"""A folder of one's own pictures: one subfolder for each identity, alone or in the folders `train` and `test`.

It has no cameras, so that it is a data set of classes. Since nearly every tree would do, it is read only when named.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.errors import DatasetError
from model.training.datasets.bounding_boxes import SUFFIXES
from model.training.datasets.dataset import Dataset, Layout
from model.training.datasets.images import LabelledImages, label_list, no_images
from model.training.datasets.manifest import TERMS, number_names

logger = logging.getLogger(__name__)
_SUFFIXES = SUFFIXES | {".webp", ".bmp"}
LOOKS = "one subfolder of pictures for each identity, alone or in the folders train and test (read only when named)"


def read(root: Path) -> Dataset:
    """Read the pictures; identities are numbered from 1 in the order of their names."""
    parts = [root / part for part in ("train", "test")]
    split = all(part.is_dir() for part in parts)
    paths = [path for part in (parts if split else [root]) for path in find_pictures(part)]
    identities = number_names([path.parent.name for path in paths])
    images = label_list(root.name, paths, np.stack([identities, np.arange(len(paths))], axis=1))
    if not split:
        nothing = no_images(f"{root.name}/test")
        return Dataset(root.name, TERMS, "retrieval", replace(images, name=f"{root.name}/train"), nothing, nothing)
    train, test = (take_part(images, part) for part in parts)
    return Dataset(root.name, TERMS, "retrieval", train, test, test)


def take_part(images: LabelledImages, part: Path) -> LabelledImages:
    """Return the pictures under one of the two folders."""
    inside = np.array([path.is_relative_to(part) for path in images.paths], dtype=np.bool_)
    return replace(images.subset(inside), name=f"{images.name}/{part.name}")


def find_pictures(root: Path) -> list[Path]:
    """Return the pictures in the subfolders, in the order of their paths; raise `DatasetError` when there are none."""
    files = sorted(path for path in root.glob("*/*") if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise DatasetError(
            f"expected a subfolder of JPEG, PNG, WebP or BMP files for each identity in {root}, found none"
        )
    if others := len(files) - len(found):
        logger.warning("left out %d files in %s that are not named as JPEG, PNG, WebP or BMP pictures", others, root)
    return found


LAYOUT = Layout("folder", LOOKS, frozenset({"train", "test"}), lambda _: False, (read,))
