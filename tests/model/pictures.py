"""Picture files made to measure, also those that Pillow reads and does not write."""

import struct
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112


def scene(height: int = 80, width: int = 48) -> NDArray[np.uint8]:
    """Return a smooth picture without a symmetry, so that a lossy format changes it little and a turn much."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red, green = 255 * y / (height - 1), 255 * x / (width - 1)
    blue = 127 + 100 * np.sin(x / 9) * np.cos(y / 13)
    return np.stack([red, green, blue], axis=2).round().astype(np.uint8)


def encode(picture: Image.Image | NDArray[np.uint8], kind: str, **options: object) -> bytes:
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made.tobytes()


def tiff(order: str, kind: int, value: int) -> bytes:
    """Return a TIFF structure with one orientation entry of the given byte order and type."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    packed = struct.pack(order + ("I" if kind == 4 else "Hxx"), value)
    return head + struct.pack(order + "IHHHI", 8, 1, ORIENTATION, kind, 1) + packed + bytes(4)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values: NDArray[np.uint8] | NDArray[np.uint16], color: int, *extra: bytes) -> bytes:
    """Encode `(H, W, channels)` as a PNG of the given colour type, with extra chunks before the pixels."""
    height, width = values.shape[:2]
    depth = 8 * values.itemsize
    rows = values.astype(">u2" if depth == 16 else np.uint8)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def bmp_run_length(values: NDArray[np.uint8]) -> bytes:
    """Encode `(H, W)` grey levels as an RLE8 BMP."""
    height, width = values.shape
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    rows = b"".join(b"".join(bytes([1, v]) for v in row) + b"\0\0" for row in values[::-1]) + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + palette + rows


def announcing(kind: str, width: int, height: int) -> bytes:
    """Return a small file whose header announces the given size."""
    if kind == "PNG":
        return png(scene(8, 8), 2).replace(struct.pack(">II", 8, 8), struct.pack(">II", width, height))
    if kind == "JPEG":
        whole = encode(scene(9, 8), "JPEG")
        return whole.replace(struct.pack(">HH", 9, 8), struct.pack(">HH", height, width), 1)
    if kind == "BMP":
        whole = encode(scene(8, 8), "BMP")
        return whole[:18] + struct.pack("<ii", width, height) + whole[26:]
    body = b"VP8X" + struct.pack("<II", 10, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
