"""MSMT17: 4,101 people under fifteen cameras. Version 2 is version 1 with the faces masked.

Wei, Zhang, Gao, Tian. "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018. The paper's
32,621 training images are `list_train.txt` and `list_val.txt` together. Persons are numbered from 0 in training and
from 0 again in the test.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from model.errors import DatasetError
from model.training.datasets.dataset import Count, Dataset, Layout, Release
from model.training.datasets.images import LabelledImages, label_list
from model.training.datasets.lists import read_lines

TERMS = "MSMT17: research use only, under the agreement with its owners; not to be redistributed."
RELEASE = Release(train=Count(32621, 1041), query=Count(11659, 3060), gallery=Count(82161, 3060))
TRAIN_LISTS, QUERY_LISTS, GALLERY_LISTS = ("list_train.txt", "list_val.txt"), ("list_query.txt",), ("list_gallery.txt",)
TRAIN_FROM, TEST_FROM = 1, 10_001  # what the first person of each numbering becomes
_LINE = re.compile(r"(\S+/\d+_\d+_(\d+)_\S+\.jpg)\s+(\d+)")  # file, camera, person
_EXAMPLE = "0000/0000_000_01_0303morning_0015_0.jpg 0"


@dataclass(frozen=True)
class Version:
    """One of the two releases, which differ in the names of their folders."""

    name: str
    inner: str
    train: str
    test: str

    @property
    def looks(self) -> str:
        """What a person would see."""
        return f"the folders {self.train} and {self.test}, and list_train.txt with lines such as {_EXAMPLE!r}"

    @property
    def parts(self) -> frozenset[str]:
        """The names of its folders and of the first list."""
        return frozenset({self.train, self.test, TRAIN_LISTS[0]})

    def fits(self, root: Path) -> bool:
        """Return whether the folders and a list are there."""
        return self._folder(root) is not None

    def read(self, root: Path) -> Dataset:
        """Read the four lists."""
        folder = self._folder(root)
        if folder is None:
            raise DatasetError(f"{self.name}: expected {self.looks}, in {root} or {root / self.inner}")
        return Dataset(
            self.name,
            TERMS,
            "re-identification",
            read_lists(f"{self.name}/train", folder, TRAIN_LISTS, folder / self.train, TRAIN_FROM),
            read_lists(f"{self.name}/query", folder, QUERY_LISTS, folder / self.test, TEST_FROM),
            read_lists(f"{self.name}/gallery", folder, GALLERY_LISTS, folder / self.test, TEST_FROM),
            RELEASE,
        )

    def _folder(self, root: Path) -> Path | None:
        for folder in (root, root / self.inner):
            parts = (folder / self.train, folder / self.test, folder / TRAIN_LISTS[0])
            if all(part.exists() for part in parts):
                return folder
        return None


def read_lists(name: str, folder: Path, lists: tuple[str, ...], pictures: Path, first: int) -> LabelledImages:
    """Read what the lists name, with the persons numbered from `first`."""
    paths, labels = [], []
    for path in (folder / listed for listed in lists):
        for number, line in enumerate(read_lines(path), start=1):
            match = _LINE.fullmatch(line)
            if match is None:
                raise DatasetError(f"{path} line {number}: expected a line such as {_EXAMPLE!r}, found {line!r}")
            paths.append(pictures / match[1])
            labels.append((first + int(match[3]), int(match[2])))
    return label_list(name, paths, labels)


VERSIONS = (
    Version("msmt17-v1", "MSMT17_V1", "train", "test"),
    Version("msmt17-v2", "MSMT17_V2", "mask_train_v2", "mask_test_v2"),
)
LAYOUTS = tuple(
    Layout(version.name, version.looks, version.parts, version.fits, (version.read,)) for version in VERSIONS
)
