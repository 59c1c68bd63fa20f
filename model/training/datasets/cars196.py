"""Cars196: 16,185 pictures of 196 models of cars.

Krause, Stark, Deng, Fei-Fei. "3D Object Representations for Fine-Grained Categorization", ICCV Workshops 2013. What is
read is the whole set, `car_ims` with `cars_annos.mat`; the later packages (`cars_train`, `cars_test`) number the
pictures anew. The terms are as its page is remembered.
"""

from pathlib import Path

import numpy as np

from model.errors import DatasetError
from model.training.datasets.classes import split_classes
from model.training.datasets.dataset import Count, Dataset, Layout, Release
from model.training.datasets.matlab import read_matlab

TERMS = "Cars196: non-commercial research; the pictures belong to their owners."
RELEASE = Release(train=Count(8054, 98), query=Count(8131, 98), gallery=Count(8131, 98))
LAST_TRAINED = 98
ANNOTATIONS = "cars_annos.mat"
LOOKS = f"the folder car_ims of files such as 000001.jpg, and {ANNOTATIONS}"
_FIELDS = ("relative_im_path", "class")


def fits(root: Path) -> bool:
    """Return whether pictures and annotations are there."""
    return (root / ANNOTATIONS).is_file() and (root / "car_ims").is_dir()


def read(root: Path) -> Dataset:
    """Read the annotations."""
    path = root / ANNOTATIONS
    (annotations,) = read_matlab(path, "annotations")
    found = np.asarray(annotations).dtype.names or ()
    if not set(_FIELDS) <= set(found):
        raise DatasetError(
            f"{path}: expected annotations with the fields {' and '.join(_FIELDS)}, found {', '.join(found) or 'none'}"
        )
    rows = annotations.reshape(-1)
    paths = [root / str(name) for name in rows["relative_im_path"]]
    return split_classes("cars196", TERMS, RELEASE, paths, [int(label) for label in rows["class"]], LAST_TRAINED)


LAYOUT = Layout("cars196", LOOKS, frozenset({"car_ims", ANNOTATIONS}), fits, (read,))
