"""From a picture's bytes to what the model takes; training's evaluation, export and serving all use it.

Colour profiles and gamma are not applied: the networks are trained on the values as stored.
"""

import struct
import zlib
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.card import InputContract
from model.container import Container, read_container
from model.errors import ImageError, ImageTooSmall, ImageTruncated, ImageUndecodable, TooManyPixels

MAX_PIXELS: Final = 40_000_000
MIN_SIDE: Final = 8

# What shows through transparent pixels: ImageNet's mean colour, which the normalisation turns to zero, so
# that a person cut out of the background brings no colour of ours into the embedding.
BACKDROP: Final = (124, 116, 104)

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow names no error of its own for a bad file: these are what its four decoders let through.
_DECODER_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP or BMP, EXIF-turned, to `(H, W, 3)` RGB.

    Alpha is laid over `BACKDROP`, 16-bit values are scaled to 8, an animation gives its first frame.

    Raises:
        ImageError: one of its kinds, which says what was expected and found.
    """
    return _decode(data, None)


def resize(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale `(H, W, 3)` to `(height, width, 3)`: bilinear, with antialiasing when it shrinks."""
    if rgb.shape[:2] == (height, width):
        return rgb
    scaled = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(scaled)


def prepare(data: bytes, contract: InputContract) -> NDArray[np.uint8]:
    """Decode and scale a picture to the model's `(height, width, 3)`; raise `ImageError`.

    A large JPEG is decoded at a half, quarter or eighth of its size as long as that leaves twice the target.
    """
    rgb = _decode(data, (2 * contract.width, 2 * contract.height))
    return resize(rgb, contract.height, contract.width)


def _decode(data: bytes, enough: tuple[int, int] | None) -> NDArray[np.uint8]:
    container = read_container(data)
    _check_size(container)
    if not container.complete:
        raise _truncated(container, data)
    try:
        with Image.open(BytesIO(container.pixels), formats=(container.kind,)) as picture:
            _check_agreement(container, picture)
            if enough is not None:
                turned = container.orientation >= 5
                picture.draft("", enough[::-1] if turned else enough)
            return _turn(_to_rgb(picture), container.orientation)
    except _DECODER_ERRORS as exc:
        raise _translate(exc, container, data) from exc


def _check_size(container: Container) -> None:
    width, height = container.width, container.height
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"expected at most {MAX_PIXELS} pixels, found {width} x {height} = {width * height}; "
            "send the person's crop, or a smaller picture"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageTooSmall(f"expected at least {MIN_SIDE} pixels a side, found {width} x {height}")


def _check_agreement(container: Container, picture: Image.Image) -> None:
    """Refuse a file with two sizes, of which only one was checked."""
    if picture.size != (container.width, container.height):
        raise ImageUndecodable(
            f"expected {container.width} x {container.height} pixels as the {container.kind} header says, "
            f"found {picture.width} x {picture.height}"
        )


def _to_rgb(picture: Image.Image) -> Image.Image:
    picture.load()
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips
        values = np.asarray(picture).astype(np.int64)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        flat = Image.new("RGB", layer.size, BACKDROP)
        flat.paste(layer, mask=layer.getchannel("A"))
        return flat
    return picture.convert("RGB")


def _turn(picture: Image.Image, orientation: int) -> NDArray[np.uint8]:
    turn = _TURNS.get(orientation)
    return np.array(picture if turn is None else picture.transpose(turn))


def _translate(exc: Exception, container: Container, data: bytes) -> ImageError:
    reason = str(exc)
    if "truncated" in reason or "not enough image data" in reason:
        return _truncated(container, data)
    return ImageUndecodable(
        f"expected a {container.kind} picture of {container.width} x {container.height} pixels, "
        f"found data that do not decode ({len(data)} bytes)"
    )


def _truncated(container: Container, data: bytes) -> ImageTruncated:
    return ImageTruncated(
        f"expected a whole {container.kind} picture of {container.width} x {container.height} pixels, "
        f"found its end missing after {len(data)} bytes; send it again"
    )
