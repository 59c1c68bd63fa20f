"""What a picture file says about itself before a pixel of it is decoded: kind, size, end, orientation.

Read here rather than by Pillow, which allocates a canvas (WebP), parses and warns about metadata (JPEG) or
inflates text (PNG) while it opens a file. Only what the pixels need is handed on to it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model.errors import ImageTruncated, ImageUndecodable, UnsupportedMedia

Kind = Literal["JPEG", "PNG", "WEBP", "BMP"]

# A progressive file can hold any number of scans, each of which costs a pass over the whole picture.
MAX_SCANS = 100

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

# What people send as a picture besides, told by its name: its first bytes say nothing to them.
_OTHERS = {b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF", b"avis": "AVIF"}  # others: videos

# What is not one of these in a JPEG's head is metadata. APP14 (Adobe) tells how CMYK and RGB are stored.
_JPEG_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE})
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


@dataclass(frozen=True, slots=True)
class Container:
    """A picture file's own account of itself; `pixels` is the file without its metadata."""

    kind: Kind
    width: int  # as stored, before the EXIF turn
    height: int
    complete: bool  # whether the file goes to its own end
    exif: bytes  # the TIFF structure, or empty
    pixels: bytes

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8; 1 when there is none or it makes no sense."""
        return _orientation(self.exif)


def read_container(data: bytes) -> Container:
    """Read a picture's header; raise `UnsupportedMedia`, `ImageTruncated` or `ImageUndecodable`."""
    kind = sniff(data)
    try:
        return _READERS[kind](data)
    except (struct.error, IndexError) as exc:
        raise ImageTruncated(f"expected a whole {kind} header, found the file's end after {len(data)} bytes") from exc


def sniff(data: bytes) -> Kind:
    """Return the kind of picture that the first bytes announce; raise `UnsupportedMedia`."""
    if data[:3] == _JPEG_START + b"\xff":
        return "JPEG"
    if data[:8] == _PNG_START:
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    raise UnsupportedMedia(f"expected a JPEG, PNG, WebP or BMP picture, found {_described(data)}")


def _described(data: bytes) -> str:
    if not data:
        return "no bytes"
    known = _OTHERS.get(data[:4])
    if data[4:8] == b"ftyp":
        known = _BRANDS.get(data[8:12], "a video or the like")
    return f"{known}, {len(data)} bytes" if known else f"{len(data)} bytes that begin with {data[:8]!r}"


def _read_jpeg(data: bytes) -> Container:
    size, exif, kept = (0, 0), b"", [_JPEG_START]
    for marker, start, end in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            size = struct.unpack_from(">xHH", data, start + 4)
        elif marker == 0xE1 and not exif and data[start + 4 : start + 10] == b"Exif\0\0":
            exif = data[start + 10 : end]
        if marker == 0xDA:
            stop, scans = _jpeg_scans(data, end)
            if scans > MAX_SCANS:
                raise ImageUndecodable(f"expected at most {MAX_SCANS} scans in a JPEG, found {scans}")
            kept.append(data[start : stop or len(data)])
            return Container("JPEG", size[1], size[0], bool(stop), exif, b"".join(kept))
        if marker in _JPEG_FRAMES or marker in _JPEG_TABLES:
            kept.append(data[start:end])
    raise ImageUndecodable("expected a JPEG with a scan, found its end marker before any")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment; the last one yielded is the first scan's header."""
    position = 2
    while (marker := _jpeg_marker(data, position)) != 0xD9:
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        end = position + 2
        if marker != 0x01 and not 0xD0 <= marker <= 0xD8:  # the others stand alone
            end += struct.unpack_from(">H", data, position + 2)[0]
        if end > len(data):
            raise IndexError(end)
        yield marker, position, end
        position = end


def _jpeg_marker(data: bytes, position: int) -> int:
    if data[position] != 0xFF:
        raise ImageUndecodable(f"expected a JPEG marker (255) at byte {position}, found the value {data[position]}")
    while data[position] == 0xFF:
        position += 1
    return data[position]


def _jpeg_scans(data: bytes, position: int) -> tuple[int, int]:
    """Return where the picture ends (0: nowhere) and how many scans it has, from the first scan's data on."""
    scans, first = 1, position
    while match := _JPEG_MARKER_IN_SCAN.search(data, position):
        marker, position = data[match.end() - 1], match.end()
        if marker == 0xD9:
            return position, scans
        scans += marker == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    # A damaged byte can look like a segment that swallows the end marker.
    last = data.rfind(_JPEG_END, first)
    return (last + 2 if last > 0 else 0), scans


def _read_png(data: bytes) -> Container:
    width, height, depth = struct.unpack_from(">IIB", data, 16)
    exif, kept, complete = b"", [_PNG_START], False
    position = len(_PNG_START)
    while position + 12 <= len(data) and not complete:
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name == b"eXIf":
            exif = data[position + 8 : end - 4]
        # Pillow compares a 16-bit tRNS colour with 8-bit pixels, which would be wrong: they stay opaque.
        if name in _PNG_PIXELS and not (name == b"tRNS" and depth == 16):
            kept.append(data[position:end])
        complete = name == b"IEND" and end <= len(data)
        position = end
    return Container("PNG", width, height, complete, exif, b"".join(kept))


def _read_webp(data: bytes) -> Container:
    (declared,) = struct.unpack_from("<I", data, 4)
    return Container("WEBP", *_webp_size(data), len(data) >= declared + 8, _webp_exif(data), data)


def _webp_size(data: bytes) -> tuple[int, int]:
    name = data[12:16]
    if name == b"VP8X":
        width, height = data[24:27], data[27:30]
        if len(height) < 3:
            raise IndexError(len(data))
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 ":
        width16, height16 = struct.unpack_from("<HH", data, 26)
        return width16 & 0x3FFF, height16 & 0x3FFF
    if len(name) < 4:
        raise IndexError(len(data))
    raise ImageUndecodable(f"expected a WebP with a VP8, VP8L or VP8X chunk, found {name!r}")


def _webp_exif(data: bytes) -> bytes:
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            return data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
        position += 8 + length + length % 2
    return b""


def _read_bmp(data: bytes) -> Container:
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, bits = struct.unpack_from("<HHxxH", data, 18)
        compression = size = 0
    else:
        width, height, bits, compression, size = struct.unpack_from("<iixxHII", data, 18)
    width, height = abs(width), abs(height)  # a negative height: the rows go down
    if compression not in (1, 2):  # not run lengths, whose size only the header knows
        size = (width * bits + 31) // 32 * 4 * height
    needed = offset + size
    return Container("BMP", width, height, len(data) >= needed, b"", data)


_READERS = {"JPEG": _read_jpeg, "PNG": _read_png, "WEBP": _read_webp, "BMP": _read_bmp}


def _orientation(exif: bytes) -> int:
    order: str | None = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == 0x0112:
                (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # the metadata is damaged; the picture need not be
        pass
    return 1
