"""A data set: its splits, the terms that it comes with, and how it is measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.errors import DatasetError
from model.training.datasets.images import LabelledImages, join_images

Protocol = Literal["re-identification", "single-shot", "retrieval"]


@dataclass(frozen=True)
class Count:
    """What a split of a release holds; `images` is None where that is not fixed."""

    images: int | None
    identities: int

    def __str__(self) -> str:
        identities = f"{self.identities} identities"
        return identities if self.images is None else f"{self.images} images of {identities}"


@dataclass(frozen=True)
class Release:
    """What the published data set holds, junk left out."""

    train: Count
    query: Count
    gallery: Count

    @property
    def counts(self) -> dict[str, Count]:
        """The counts by the splits' names."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}


@dataclass(frozen=True)
class Dataset:
    """The three splits of a data set. One that is not there is empty.

    `re-identification` drops gallery images of the query's identity and camera. `single-shot` does so too, and keeps
    one image per identity of what is left. `retrieval` has no cameras: every image has one of its own, so that where
    query and gallery are the same images the re-identification rule drops the query itself and nothing else.
    """

    name: str
    terms: str
    protocol: Protocol
    train: LabelledImages
    query: LabelledImages
    gallery: LabelledImages
    release: Release | None = None

    @property
    def splits(self) -> dict[str, LabelledImages]:
        """The splits by their names."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}

    def require(self, split: str) -> LabelledImages:
        """Return the split `train`, `query` or `gallery`; raise `DatasetError` when it is empty."""
        images = self.splits[split]
        if not len(images):
            advice = f"say which images are for {split}" if images.folder is None else "put them there"
            raise DatasetError(f"expected {split} images in {images.folder or self.name}, found none; {advice}")
        return images

    @property
    def everything(self) -> LabelledImages:
        """All images, each once, although it may be query and gallery."""
        return join_images(self.name, tuple(self.splits.values()))


@dataclass(frozen=True)
class Layout:
    """How a data set lies on a disk: what a person would see, which names tell it from others, and its readers."""

    name: str
    looks: str
    parts: frozenset[str]
    fits: Callable[[Path], bool]
    readers: tuple[Callable[[Path], Dataset], ...]  # one for each way to split it
