"""Data sets of classes without cameras: the first classes train, the others are searched among themselves.

Oh Song, Xiang, Jegelka, Savarese. "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from model.training.datasets.dataset import Dataset, Release
from model.training.datasets.images import label_list


def split_classes(
    name: str, terms: str, release: Release | None, paths: list[Path], classes: ArrayLike, last_trained: int
) -> Dataset:
    """Return classes up to `last_trained` for training and the others as query and gallery.

    Each image gets a camera of its own, so that a query is dropped from its own ranking and nothing else is.
    """
    labels = np.array(classes, dtype=np.int64)
    images = label_list(name, paths, np.stack([labels, np.arange(len(labels))], axis=1))
    train = replace(images.subset(images.identities <= last_trained), name=f"{name}/train")
    test = replace(images.subset(images.identities > last_trained), name=f"{name}/test")
    return Dataset(name, terms, "retrieval", train, test, test, release)
