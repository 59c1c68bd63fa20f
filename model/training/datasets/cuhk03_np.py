"""CUHK03 by the new protocol: 767 people for training and 700 for the test, measured as Market-1501 is.

Zhong, Zheng, Cao, Li. "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. It comes in two
ways: as three folders for each kind of boxes, or as the released pictures with
`cuhk03_new_protocol_config_{labeled,detected}.mat`, whose indices count from 1.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import DatasetError
from model.training.datasets.bounding_boxes import PARTS, BoundingBoxes
from model.training.datasets.cuhk03_release import BOXES, TERMS, Boxes, find_release, parse_name, picture_folder
from model.training.datasets.dataset import Count, Dataset, Layout, Release
from model.training.datasets.images import LabelledImages, label_list
from model.training.datasets.matlab import read_matlab

RELEASES: dict[Boxes, Release] = {
    "labeled": Release(train=Count(7368, 767), query=Count(1400, 700), gallery=Count(5328, 700)),
    "detected": Release(train=Count(7365, 767), query=Count(1400, 700), gallery=Count(5332, 700)),
}
FOLDERS = {
    boxes: BoundingBoxes(
        name=f"cuhk03-np-{boxes}",
        roots=(boxes,),
        example="0001_c1_1.png",
        pattern=re.compile(r"(\d{4})_c([12])_\d+\.png"),
        terms=TERMS,
        release=RELEASES[boxes],
    )
    for boxes in BOXES
}
_LISTS = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")


def config_file(root: Path, boxes: Boxes) -> Path:
    """Return where the protocol's lists are."""
    return root / f"cuhk03_new_protocol_config_{boxes}.mat"


def fits(root: Path, boxes: Boxes) -> bool:
    """Return whether the data set lies there in one of its two ways."""
    pictures = (root / f"images_{boxes}").is_dir() or find_release(root) is not None
    return FOLDERS[boxes].fits(root) or (pictures and config_file(root, boxes).is_file())


def read(root: Path, boxes: Boxes) -> Dataset:
    """Read the three folders, or the protocol's lists."""
    config = config_file(root, boxes)
    if not config.is_file():
        return FOLDERS[boxes].read(root)
    files, labels, *splits = read_config(config)
    folder, name = picture_folder(root, boxes), FOLDERS[boxes].name
    train, query, gallery = (
        read_list(f"{name}/{split}", folder, files[chosen], labels[chosen])
        for split, chosen in zip(("train", "query", "gallery"), splits, strict=True)
    )
    return Dataset(name, TERMS, "re-identification", train, query, gallery, RELEASES[boxes])


def read_config(path: Path) -> tuple[NDArray[Any], ...]:
    """Return files, labels, and the indices of training, query and gallery, from 0."""
    files, *numbers = (np.atleast_1d(values) for values in read_matlab(path, *_LISTS))
    labels, *splits = (values.astype(np.int64) for values in numbers)
    every = np.concatenate(splits)
    if len(labels) != len(files) or not np.isin(every, np.arange(1, len(files) + 1)).all():
        raise DatasetError(
            f"{path}: expected one label for each file and indices from 1 to their number, found {len(files)} files, "
            f"{len(labels)} labels and indices from {every.min()} to {every.max()}; fetch it again"
        )
    return files, labels, *(split - 1 for split in splits)


def read_list(name: str, folder: Path, files: NDArray[Any], labels: NDArray[np.int64]) -> LabelledImages:
    """Return the pictures of a list; the camera is the view that the file's name tells."""
    paths = [folder / str(file) for file in files]
    views = [parse_name(path)[2] for path in paths]
    return label_list(name, paths, list(zip(labels, views, strict=True)))


LAYOUTS = tuple(
    Layout(
        f"cuhk03-np-{boxes}",
        f"in the folder {boxes} {FOLDERS[boxes].looks}, or cuhk03_new_protocol_config_{boxes}.mat beside "
        f"images_{boxes} or cuhk-03.mat",
        PARTS | {boxes, f"cuhk03_new_protocol_config_{boxes}.mat", f"images_{boxes}", "cuhk-03.mat"},
        partial(fits, boxes=boxes),
        (partial(read, boxes=boxes),),
    )
    for boxes in BOXES
)
