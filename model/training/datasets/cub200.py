"""CUB-200-2011: 11,788 pictures of 200 species of birds.

Wah, Branson, Welinder, Perona, Belongie. "The Caltech-UCSD Birds-200-2011 Dataset", Caltech CNS-TR-2011-001. Its own
split, `train_test_split.txt`, is for classification and is not used. The terms are as its page is remembered.
"""

from pathlib import Path

from model.errors import DatasetError
from model.training.datasets.classes import split_classes
from model.training.datasets.dataset import Count, Dataset, Layout, Release
from model.training.datasets.lists import read_lines

TERMS = "CUB-200-2011: non-commercial research and education; the pictures belong to their photographers."
RELEASE = Release(train=Count(5864, 100), query=Count(5924, 100), gallery=Count(5924, 100))
LAST_TRAINED = 100
IMAGES, CLASSES = "images.txt", "image_class_labels.txt"
LOOKS = f"the folder images, and {IMAGES} and {CLASSES} with one numbered line for each picture"


def find(root: Path) -> Path | None:
    """Return the folder of the lists, if it is there."""
    for folder in (root, root / "CUB_200_2011"):
        if (folder / IMAGES).is_file() and (folder / CLASSES).is_file():
            return folder
    return None


def read(root: Path) -> Dataset:
    """Read the two lists, which belong together by the pictures' numbers."""
    folder = find(root)
    if folder is None:
        raise DatasetError(f"cub200: expected {LOOKS}, in {root} or {root / 'CUB_200_2011'}")
    files, classes = read_numbered(folder / IMAGES), read_numbered(folder / CLASSES)
    if files.keys() != classes.keys():
        raise DatasetError(
            f"expected the same pictures in {folder / IMAGES} and {CLASSES}, found {len(files)} and {len(classes)}, "
            f"{len(files.keys() & classes.keys())} of them in both; unpack the data set again"
        )
    paths = [folder / "images" / name for name in files.values()]
    labels = [_class(folder, classes[number]) for number in files]
    return split_classes("cub200", TERMS, RELEASE, paths, labels, LAST_TRAINED)


def read_numbered(path: Path) -> dict[str, str]:
    """Return what stands behind each number."""
    rows = {}
    for line_number, line in enumerate(read_lines(path), start=1):
        number, _, value = line.partition(" ")
        if not number.isdigit() or not value:
            raise DatasetError(f"{path} line {line_number}: expected a number and a value, found {line!r}")
        rows[number] = value
    return rows


def _class(folder: Path, text: str) -> int:
    if not text.isdigit():
        raise DatasetError(f"{folder / CLASSES}: expected a class number, found {text!r}")
    return int(text)


LAYOUT = Layout("cub200", LOOKS, frozenset({"images", IMAGES, CLASSES}), lambda root: find(root) is not None, (read,))
