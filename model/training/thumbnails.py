"""A data set's pictures inside a page that needs no other file."""

import base64
import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from model.container import read_container
from model.training.datasets.images import LabelledImages

_MOST_BYTES = 20_000  # of a picture as its file is: a page may show hundreds
_SIDE = 256


@dataclass(frozen=True)
class Thumbnail:
    """One picture as a data URI with its names; score and whether it is right where it answers a query."""

    uri: str
    title: str
    score: float | None
    right: bool | None


def thumbnail(images: LabelledImages, index: int, score: float | None = None, right: bool | None = None) -> Thumbnail:
    """Return an image of a data set, as its file is, or smaller where that is large."""
    path = images.paths[index]
    data = path.read_bytes()
    kind = read_container(data).kind.lower()
    if len(data) > _MOST_BYTES:
        data, kind = _smaller(data), "jpeg"
    text = base64.b64encode(data).decode("ascii")
    title = f"identity {images.identities[index]}, camera {images.cameras[index]}, {path.name}"
    return Thumbnail(f"data:image/{kind};base64,{text}", title, score, right)


def _smaller(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG")
    return buffer.getvalue()
