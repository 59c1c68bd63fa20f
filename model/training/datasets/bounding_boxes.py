"""Three folders of boxes whose names tell identity and camera: Market-1501's layout, which others took over."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from model.errors import DatasetError
from model.training.datasets.dataset import Dataset, Release
from model.training.datasets.images import JUNK, LabelledImages, label_files, no_images

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
PARTS = frozenset({TRAIN, QUERY, GALLERY})
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class BoundingBoxes:
    """A data set in this layout; `roots` are where its three folders may be, seen from the folder that was given."""

    name: str
    roots: tuple[str, ...]
    example: str
    pattern: re.Pattern[str]  # group 1: identity, group 2: camera
    terms: str
    release: Release

    @property
    def looks(self) -> str:
        """What a person would see."""
        return f"the folders {TRAIN}, {QUERY} and {GALLERY} of files such as {self.example}"

    def fits(self, root: Path) -> bool:
        """Return whether the folders are there and a file has a name of this data set's."""
        folder = self._folder(root)
        files = (path for split in PARTS for path in (folder / split).glob("*")) if folder else ()
        return any(self.pattern.fullmatch(path.name) for path in files)

    def read(self, root: Path) -> Dataset:
        """Read the three splits' file lists."""
        train, query, gallery = (self.read_split(root, split) for split in (TRAIN, QUERY, GALLERY))
        return Dataset(self.name, self.terms, "re-identification", train, query, gallery, self.release)

    def read_split(self, root: Path, split: str) -> LabelledImages:
        """Read one split's file list, by name; junk images (identity -1) are left out.

        Nothing to train on is no error, for what is only measured needs none, and neither is nothing to measure, where
        there are neither queries nor a gallery. Raises `DatasetError` when the folder or its names are not what they
        should be.
        """
        folder = self.find(root) / split
        if not folder.is_dir():
            return replace(no_images(f"{self.name}/{split}"), folder=folder)
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files and split != TRAIN:
            raise DatasetError(f"expected JPEG or PNG files in {folder}, found none; unpack the data set again")
        images = label_files(f"{self.name}/{split}", files, [self.parse(path) for path in files])
        return replace(images.subset(images.identities != JUNK), folder=folder)

    def find(self, root: Path) -> Path:
        """Return the folder that holds the three splits, or that to train on alone."""
        folder = self._folder(root)
        if folder is None:
            places = " or ".join(str(root / name) for name in self.roots)
            raise DatasetError(
                f"{self.name}: expected the folders {TRAIN}, {QUERY} and {GALLERY} in {places}; "
                "give the folder that holds them"
            )
        return folder

    def parse(self, path: Path) -> tuple[int, int]:
        """Return identity and camera."""
        match = self.pattern.fullmatch(path.name)
        if match is None:
            raise DatasetError(f"expected a name such as {self.example}, found {path}; rename or remove the file")
        return int(match[1]), int(match[2])

    def _folder(self, root: Path) -> Path | None:
        for candidate in (root / name for name in self.roots):
            there = {split for split in PARTS if (candidate / split).is_dir()}
            if there in ({TRAIN}, PARTS):
                return candidate
        return None
