"""A data set's pictures inside a page that needs no other file."""

import base64
from dataclasses import dataclass

from model.container import read_container
from model.training.datasets.images import LabelledImages


@dataclass(frozen=True)
class Thumbnail:
    """One picture as a data URI with its names; score and whether it is right where it answers a query."""

    uri: str
    title: str
    score: float | None
    right: bool | None


def thumbnail(images: LabelledImages, index: int, score: float | None = None, right: bool | None = None) -> Thumbnail:
    """Return an image of a data set, as its file is."""
    path = images.paths[index]
    data = path.read_bytes()
    kind = read_container(data).kind.lower()
    text = base64.b64encode(data).decode("ascii")
    title = f"identity {images.identities[index]}, camera {images.cameras[index]}, {path.name}"
    return Thumbnail(f"data:image/{kind};base64,{text}", title, score, right)
