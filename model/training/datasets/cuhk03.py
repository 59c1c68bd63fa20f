"""CUHK03 by its first protocol: 20 splits of 1,367 people for training and 100 for the test.

Li, Zhao, Xiao, Wang. "DeepReID: Deep Filter Pairing Neural Network for Person Re-identification", CVPR 2014. A split is
a data set of its own, since each trains on other people; the figures reported are means over the 20. The paper counts
1,360 people and 13,164 pictures, the released file 1,467 people.
"""

from functools import partial
from pathlib import Path

import numpy as np

from model.errors import DatasetError
from model.training.datasets.cuhk03_release import (
    BOXES,
    EXAMPLE,
    SPLITS,
    TERMS,
    Boxes,
    find_release,
    parse_name,
    picture_folder,
    read_test_sets,
)
from model.training.datasets.dataset import Count, Dataset, Layout, Release
from model.training.datasets.images import LabelledImages, label_files

RELEASE = Release(train=Count(None, 1367), query=Count(None, 100), gallery=Count(None, 100))
PEOPLE = 1000  # no pair of views has as many


def read_split(root: Path, boxes: Boxes, split: int) -> Dataset:
    """Read one of the splits, from 1; query and gallery are both all of the test's pictures."""
    name = f"cuhk03-{boxes}:{split}"
    release = find_release(root)
    if release is None:
        raise DatasetError(f"{name}: expected cuhk-03.mat in {root} or {root / 'cuhk03_release'}, found none")
    test_sets = read_test_sets(release)
    if len(test_sets) != SPLITS:
        raise DatasetError(f"{release}: expected {SPLITS} test sets, found {len(test_sets)}; fetch it again")
    images = read_pictures(name, picture_folder(root, boxes))
    tested = np.isin(images.identities, [pair * PEOPLE + person for pair, person in test_sets[split - 1]])
    test = images.subset(tested)
    return Dataset(name, TERMS, "single-shot", images.subset(~tested), test, test, RELEASE)


def read_pictures(name: str, folder: Path) -> LabelledImages:
    """Read the unpacked pictures; the identity is the pair's number and the person's in it."""
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise DatasetError(f"expected files such as {EXAMPLE} in {folder}, found none; remove the folder")
    parsed = [parse_name(path) for path in paths]
    return label_files(name, paths, [(pair * PEOPLE + person, view) for pair, person, view in parsed])


LAYOUTS = tuple(
    Layout(
        f"cuhk03-{boxes}",
        f"cuhk-03.mat, alone or in cuhk03_release (cuhk03-{boxes}:N is its split N of {SPLITS})",
        frozenset({"cuhk-03.mat", "cuhk03_release"}),
        lambda root: find_release(root) is not None,
        tuple(partial(read_split, boxes=boxes, split=split) for split in range(1, SPLITS + 1)),
    )
    for boxes in BOXES
)
