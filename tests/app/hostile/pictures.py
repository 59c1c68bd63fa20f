"""Pictures that are cut, bent, inflated or something else, and the codes each may get; `200` for a good one."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from model.synthetic import render

Case: TypeAlias = tuple[str, bytes, str]
_TRUNCATED, _UNDECODABLE = "422 image_truncated", "422 image_undecodable"
_SMALL, _MANY, _MEDIA = "422 image_too_small", "413 too_many_pixels", "415 unsupported_media"
_ANY = f"200 | {_TRUNCATED} | {_UNDECODABLE} | {_SMALL} | {_MANY} | {_MEDIA}"
_DAMAGED = f"200 | {_TRUNCATED} | {_UNDECODABLE}"
_RGB = Image.fromarray(render(0, 0, 0))


def pictures() -> Iterator[Case]:
    """Yield name, bytes and codes."""
    for group in (_cut, _flipped, _bombs, _others, _polyglots, _modes, _lies, _sizes):
        yield from group()


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's options
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG of these chunks between its header and its end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IEND", b"")])


def pixels(width: int, height: int) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x50" * (3 * width)) * height))


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """Write another size into a JPEG's frame header."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


JPEG, PNG = saved(_RGB, "JPEG", quality=85), saved(_RGB, "PNG")
WEBP, BMP = saved(_RGB, "WEBP"), saved(_RGB, "BMP")
_WHOLE = {"jpeg": JPEG, "png": PNG, "webp": WEBP, "bmp": BMP}
_KNOWN_FROM = {"jpeg": 3, "png": 8, "webp": 12, "bmp": 18}  # bytes that tell the kind


def _cut() -> Iterator[Case]:
    for kind, data in _WHOLE.items():
        heads = (0, 1, 2, 3, 8, 12, 18, 24, 33, 54)
        for end in sorted({*heads, *(len(data) * part // 8 for part in range(1, 8)), len(data) - 1}):
            yield f"{kind} cut at {end}", data[:end], _TRUNCATED if end >= _KNOWN_FROM[kind] else _MEDIA


def _flipped() -> Iterator[Case]:
    dice = random.Random(1503)
    for kind, data in _WHOLE.items():
        for flips in (1, 1, 1, 4, 16, 256):
            bent = bytearray(data)
            for _ in range(flips):
                bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
            yield f"{kind} with {flips} bits flipped, {bent[-9:].hex()}", bytes(bent), _ANY
        head = bytearray(data)
        for place in range(12, 40):
            head[place] ^= 1 << dice.randrange(8)
        yield f"{kind} with a bent head", bytes(head), _ANY


def _bombs() -> Iterator[Case]:
    text = zlib.compress(b"a" * 50_000_000, 9)
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1), (2**32 - 1, 2**32 - 1), (1, 2**32 - 1)):
        yield f"png of {width} x {height}", png(width, height, pixels(16, 16)), _MANY
    yield "jpeg of 65535 x 65535", resized(JPEG, 65_535, 65_535), _MANY
    yield "jpeg of 6000 x 6000, data for few", resized(JPEG, 6_000, 6_000), _DAMAGED
    for width, height in ((2**31 - 1, 2**31 - 1), (-(2**31), -(2**31)), (100_000, -100_000)):
        yield f"bmp of {width} x {height}", BMP[:18] + struct.pack("<ii", width, height) + BMP[26:], _MANY
    big = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff" * 6
    yield "webp of 2^24 x 2^24", b"RIFF" + struct.pack("<I", 22) + b"WEBP" + big, _MANY
    for name, data in (
        (b"zTXt", b"a\0\0" + text),
        (b"iCCP", b"a\0\0" + text),
        (b"iTXt", b"a\0\1\0\0\0" + text),
    ):
        yield f"png with a {name.decode()} bomb", png(16, 16, chunk(name, data), pixels(16, 16)), "200"
    yield "png whose rows never end", png(16, 16, chunk(b"IDAT", text)), _DAMAGED
    yield "png of 36 MP in a few bytes", saved(Image.new("1", (6_000, 6_000)), "PNG"), "200"
    drops = b"".join(chunk(b"IDAT", bytes([each])) for each in zlib.compress((b"\0" + b"a" * 48) * 16, 0))
    yield "png in chunks of a byte", png(16, 16, drops), "200"
    scan = JPEG.index(b"\xff\xda")
    progressive = saved(_RGB, "JPEG", progressive=True)
    scan = progressive.index(b"\xff\xda")
    yield "jpeg of a thousand scans", progressive[:scan] + progressive[scan:-2] * 1000 + progressive[-2:], _UNDECODABLE
    yield "jpeg of a million fill bytes", JPEG[:2] + b"\xff" * 1_000_000 + JPEG[2:], _DAMAGED
    yield "jpeg of ten thousand comments", _often(JPEG, 10_000), "200"


def _often(jpeg: bytes, times: int) -> bytes:
    return jpeg[:2] + b"\xff\xfe\x00\x02" * times + jpeg[2:]


def _others() -> Iterator[Case]:
    for kind in ("GIF", "TIFF", "PPM", "ICO", "TGA", "PCX", "SGI"):
        yield f"a {kind}", saved(_RGB, kind), _MEDIA
    for name, data in (
        ("nothing", b""),
        ("zeros", bytes(4096)),
        ("a newline", b"\n"),
        ("an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'),
        ("a page", b"<html><script>alert(1)</script></html>"),
        ("a PDF", b"%PDF-1.7\n1 0 obj\n"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 128\n"),
        ("a program", b"\x7fELF\x02\x01\x01" + bytes(64)),
        ("an archive", b"PK\x03\x04" + bytes(64)),
        ("a pickle", b"\x80\x04\x95\x0b\x00\x00\x00"),
        ("an AVIF", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"),
        ("text", "Gesicht".encode("utf-16")),
        ("a JPEG's start in a PNG's place", b"\x89PNG" + JPEG),
        ("RIFF that is sound", b"RIFF\x24\0\0\0WAVEfmt " + bytes(32)),
        ("BM and a page", b"BM<html><body>" + b" " * 64),
        ("noise", random.Random(7).randbytes(5000)),
    ):
        yield name, data, _MEDIA


def _polyglots() -> Iterator[Case]:
    page = b"<script>alert(1)</script>"
    yield "jpeg and archive", JPEG + b"PK\x03\x04" + bytes(200), "200"
    yield "jpeg with a page in a comment", with_segment(JPEG, 0xFE, page), "200"
    yield "jpeg with a page for EXIF", with_segment(JPEG, 0xE1, b"Exif\0\0" + page), "200"
    yield "png with a page in its text", png(16, 16, chunk(b"tEXt", b"a\0" + page), pixels(16, 16)), "200"
    yield "png with a page behind", PNG + page, "200"
    yield "gif and jpeg", b"GIF89a" + JPEG, _MEDIA
    yield "bmp with a jpeg inside", BMP[:14] + struct.pack("<I", 40) + BMP[18:54] + JPEG, _TRUNCATED
    yield "two jpegs", JPEG + JPEG, "200"
    yield "two pngs", PNG + PNG, "200"
    yield "webp that holds a png", b"RIFF" + struct.pack("<I", len(PNG) + 4) + b"WEBP" + PNG, _UNDECODABLE


def _modes() -> Iterator[Case]:
    many = [_RGB, _RGB.rotate(90), _RGB.rotate(180)]
    clear = Image.new("RGBA", (64, 128), (255, 0, 0, 0))
    wide = Image.fromarray(np.linspace(0, 65_535, 64 * 128).reshape(128, 64).astype(np.uint16))
    yield "animated webp", saved(_RGB, "WEBP", save_all=True, append_images=many), "200"
    yield "animated png", saved(_RGB, "PNG", save_all=True, append_images=many), "200"
    yield "CMYK jpeg", saved(_RGB.convert("CMYK"), "JPEG"), "200"
    yield "grey jpeg", saved(_RGB.convert("L"), "JPEG"), "200"
    yield "progressive jpeg", saved(_RGB, "JPEG", progressive=True), "200"
    yield "16-bit png", saved(wide, "PNG"), "200"
    yield "palette with alpha", saved(clear.quantize(8), "PNG", transparency=0), "200"
    yield "nothing but transparent", saved(clear, "PNG"), "200"
    yield "grey with alpha", saved(clear.convert("LA"), "PNG"), "200"
    yield "one bit", saved(_RGB.convert("1"), "PNG"), "200"
    yield "palette bmp", saved(_RGB.quantize(16), "BMP"), "200"
    yield "lossless webp with alpha", saved(clear, "WEBP", lossless=True), "200"
    yield "16-bit colour png", png(16, 16, chunk(b"IDAT", zlib.compress(bytes(97 * 16))), depth=16), "200"


def _lies() -> Iterator[Case]:
    for value in (0, 1, 6, 8, 9, 65_535):
        exif = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, value, 0) + bytes(4)
        yield f"EXIF orientation {value}", with_segment(JPEG, 0xE1, b"Exif\0\0" + exif), "200"
    for name, exif in (
        ("cut", b"MM\0*"),
        ("that points at itself", b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + b"\x08\0\0\0"),
        ("that points away", b"II*\0\xff\xff\xff\xff"),
        ("of 65535 entries", b"II*\0\x08\0\0\0\xff\xff" + bytes(50)),
        ("of no byte order", b"XX*\0\x08\0\0\0"),
    ):
        yield f"EXIF {name}", with_segment(JPEG, 0xE1, b"Exif\0\0" + exif), "200"
        yield f"png with EXIF {name}", png(16, 16, chunk(b"eXIf", exif), pixels(16, 16)), "200"
    yield "png without pixels", png(16, 16), _DAMAGED
    yield "png with wrong sums", PNG[:29] + b"\0\0\0\0" + PNG[33:], _DAMAGED
    yield "png of depth 3", png(16, 16, pixels(16, 16), depth=3), _UNDECODABLE
    yield "png of colour type 5", png(16, 16, pixels(16, 16), colour=5), _UNDECODABLE
    yield "png of indices without a palette", png(16, 16, pixels(16, 16), colour=3), _DAMAGED
    yield "png with a chunk of 4 GB", PNG[:33] + b"\xff\xff\xff\xffIDAT" + PNG[41:], f"{_TRUNCATED} | {_UNDECODABLE}"
    yield "png with half its rows", png(16, 16, pixels(16, 8)), _DAMAGED
    yield "jpeg without a frame", JPEG.replace(b"\xff\xc0", b"\xff\xe0"), f"{_SMALL} | {_UNDECODABLE}"
    yield "jpeg by arithmetic coding", JPEG.replace(b"\xff\xc0", b"\xff\xc9"), _DAMAGED
    yield "jpeg of height 0", resized(JPEG, 64, 0), _SMALL
    yield "jpeg of twice the height", resized(JPEG, 64, 256), _DAMAGED
    yield "jpeg without tables", JPEG.replace(b"\xff\xdb", b"\xff\xec"), _DAMAGED
    yield "jpeg that ends at once", b"\xff\xd8\xff\xd9", _UNDECODABLE
    yield "jpeg with a segment of length 0", JPEG[:2] + b"\xff\xe3\0\0" + JPEG[2:], f"{_UNDECODABLE} | {_TRUNCATED}"
    yield "bmp whose pixels lie far away", BMP[:10] + b"\xff\xff\xff\x7f" + BMP[14:], _TRUNCATED
    yield "bmp whose pixels lie in its head", BMP[:10] + bytes(4) + BMP[14:], _DAMAGED
    yield "bmp of 7 bits", BMP[:28] + b"\x07\0" + BMP[30:], f"{_UNDECODABLE} | {_TRUNCATED}"
    yield "bmp of compression 99", BMP[:30] + b"\x63\0\0\0" + BMP[34:], f"{_UNDECODABLE} | {_TRUNCATED}"
    yield "bmp of run lengths that are none", BMP[:28] + b"\x08\0\x01\0\0\0" + BMP[34:], _DAMAGED
    yield "webp of length 0", WEBP[:4] + bytes(4) + WEBP[8:], _DAMAGED
    yield "webp of length 4 GB", WEBP[:4] + b"\xff\xff\xff\xff" + WEBP[8:], _TRUNCATED
    yield "webp of an unknown chunk", WEBP[:12] + b"XXXX" + WEBP[16:], _UNDECODABLE
    yield "webp of zeros", WEBP[:30] + bytes(len(WEBP) - 30), _DAMAGED


def _sizes() -> Iterator[Case]:
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        yield f"{kind} of 1 x 1", saved(Image.new("RGB", (1, 1)), kind), _SMALL
        yield f"{kind} of 7 x 500", saved(Image.new("RGB", (7, 500)), kind), _SMALL
        yield f"{kind} of 8 x 8", saved(_RGB.resize((8, 8)), kind), "200"
    yield "8 x 16000", saved(Image.new("RGB", (8, 16_000), (9, 99, 199)), "PNG"), "200"
    yield "16000 x 8", saved(Image.new("RGB", (16_000, 8), (9, 99, 199)), "JPEG"), "200"
    yield "0 x 0", png(0, 0, pixels(1, 1)), _SMALL
    yield "over 10 MB", JPEG + bytes(10_000_000), "413 file_too_large"
