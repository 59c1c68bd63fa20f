import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from model.card import InputContract
from model.errors import (
    ImageError,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
    TooManyPixels,
    UnsupportedMedia,
)
from model.preprocess import BACKDROP, prepare, read_image, resize
from tests.model.pictures import announcing, bmp_run_length, chunk, encode, exif, png, scene, tiff

RGB = scene()
GREY = np.asarray(Image.fromarray(RGB).convert("L"))
FILES = {
    "jpeg": encode(RGB, "JPEG", quality=95),
    "jpeg-progressive": encode(RGB, "JPEG", quality=95, progressive=True),
    "jpeg-grey": encode(GREY, "JPEG", quality=95),
    "jpeg-exif": encode(RGB, "JPEG", quality=95, exif=exif(1), comment=b"a comment"),
    "png": encode(RGB, "PNG"),
    "png-palette": encode(Image.fromarray(RGB).quantize(200), "PNG"),
    "webp": encode(RGB, "WEBP", quality=95),
    "webp-lossless": encode(RGB, "WEBP", lossless=True),
    "webp-exif": encode(RGB, "WEBP", lossless=True, exif=exif(1)),
    "webp-animated": encode(RGB, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "bmp": encode(RGB, "BMP"),
    "bmp-palette": encode(Image.fromarray(RGB).quantize(200), "BMP"),
    "bmp-run-length": bmp_run_length(GREY),
}
COLOR = ["jpeg", "jpeg-progressive", "jpeg-exif", "png", "webp", "webp-lossless", "webp-exif", "webp-animated", "bmp"]


def difference(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    assert found.shape == wanted.shape
    assert found.dtype == np.uint8
    return float(np.abs(found.astype(float) - wanted).mean())


@pytest.mark.parametrize("name", COLOR)
def test_each_kind_is_read(name: str) -> None:
    assert difference(read_image(FILES[name]), RGB) < (3 if name.startswith("jpeg") or name == "webp" else 0.01)


@pytest.mark.parametrize("name", ["png-palette", "bmp-palette"])
def test_palettes_become_their_colours(name: str) -> None:
    assert difference(read_image(FILES[name]), RGB) < 10


@pytest.mark.parametrize("name", ["jpeg-grey", "bmp-run-length"])
def test_grey_becomes_three_equal_channels(name: str) -> None:
    found = read_image(FILES[name])
    assert difference(found, np.repeat(GREY[..., None], 3, axis=2)) < 2
    assert (found == found[..., :1]).all()


def test_what_is_read_can_be_written_to() -> None:
    for found in (read_image(FILES["png"]), prepare(FILES["png"], InputContract(height=32, width=16))):
        found[0, 0] = 7
        assert found.flags.c_contiguous


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, this is no picture at all",
        b"BMW makes cars, and this is not a bitmap of one",
        b"RIFF\x10\0\0\0WAVEfmt and so on",
        b"%PDF-1.7 " + bytes(100),
        encode(RGB, "GIF"),
        encode(RGB, "TIFF"),
        encode(RGB, "ICO"),
        encode(RGB, "PPM"),
        encode(RGB, "JPEG2000"),
        encode(RGB, "AVIF"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_other_media_are_refused_by_content(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="expected a JPEG, PNG, WebP or BMP picture, found"):
        read_image(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (encode(RGB, "GIF"), "GIF, "),
        (encode(RGB, "TIFF"), "TIFF, "),
        (b"MM\0*" + bytes(9), "TIFF, 13 bytes"),
        (encode(RGB, "AVIF"), "AVIF, "),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, 24 bytes"),
        (b"\0\0\0\x18ftypisom", "a video or the like, 12 bytes"),
        (b"%PDF-1.7 ", "PDF, 9 bytes"),
        (b"hello, this", "11 bytes that begin with b'hello, t'"),
        (b"", "no bytes"),
    ],
)
def test_what_was_sent_instead_is_told_by_its_name(data: bytes, found: str) -> None:
    with pytest.raises(UnsupportedMedia, match=rf"found {re.escape(found)}"):
        read_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_too_many_pixels_are_refused_before_decoding(kind: str) -> None:
    with pytest.raises(TooManyPixels, match=r"at most 40000000 pixels, found 8001 x 5000 = 40005000"):
        read_image(announcing(kind, 8001, 5000))
    with pytest.raises((ImageTruncated, ImageUndecodable)):
        read_image(announcing(kind, 8000, 5000)[:-2])


@pytest.mark.parametrize("size", [(65535, 65535), (2_000_000_000, 2)])
@pytest.mark.parametrize("strict", [False, True])
def test_a_bomb_is_told_by_no_warning(size: tuple[int, int], strict: bool) -> None:
    with warnings.catch_warnings(record=not strict) as caught:
        warnings.simplefilter("error" if strict else "always")
        with pytest.raises(TooManyPixels):
            read_image(announcing("PNG", *size))
    assert not caught


def test_a_picture_of_forty_megapixels_is_read() -> None:
    large = encode(Image.new("L", (8000, 5000), 90), "JPEG")
    assert prepare(large, InputContract(height=32, width=16)).shape == (32, 16, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_small_pictures_are_refused(kind: str) -> None:
    for height, width in ((7, 80), (80, 7), (1, 1)):
        with pytest.raises(ImageTooSmall, match=f"at least 8 pixels a side, found {width} x {height}"):
            read_image(encode(Image.new("RGB", (width, height)), kind))
    assert read_image(encode(Image.new("RGB", (8, 8)), kind)).shape == (8, 8, 3)


def test_a_size_of_nothing_is_refused() -> None:
    for kind in ("JPEG", "PNG", "BMP"):
        with pytest.raises(ImageTooSmall):
            read_image(announcing(kind, 0, 100))


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_truncated(name: str) -> None:
    data = FILES[name]
    for size in sorted({*range(64), *range(64, len(data), 61), *range(len(data) - 16, len(data))}):
        with pytest.raises(ImageTruncated if size > 26 else (ImageTruncated, UnsupportedMedia)):
            read_image(data[:size])


def test_truncation_says_how_much_there_was() -> None:
    with pytest.raises(ImageTruncated, match="JPEG picture of 48 x 80 pixels, found its end missing after 700 bytes"):
        read_image(FILES["jpeg"][:700])


def test_pillow_is_left_strict() -> None:
    read_image(FILES["jpeg"])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_jpeg_without_its_end_marker_is_truncated() -> None:
    assert FILES["jpeg"].endswith(b"\xff\xd9")
    with pytest.raises(ImageTruncated):
        read_image(FILES["jpeg"][:-2])


def test_bytes_after_the_end_change_nothing() -> None:
    for name, data in FILES.items():
        np.testing.assert_array_equal(read_image(data + b"\xff\xda\xff trailing"), read_image(data), name)


def test_a_broken_png_is_undecodable() -> None:
    whole = FILES["png"]
    at = whole.index(b"IDAT") + 40
    with pytest.raises(ImageUndecodable, match="do not decode"):
        read_image(whole[:at] + bytes(60) + whole[at + 60 :])


def test_a_palette_picture_without_a_palette_is_undecodable() -> None:
    with pytest.raises(ImageUndecodable, match="do not decode"):
        read_image(png(GREY[..., None], 3))


def test_a_damaged_byte_that_looks_like_a_long_segment_is_not_taken_for_the_end() -> None:
    data = FILES["jpeg"]
    middle = (data.rindex(b"\xff\xda") + len(data)) // 2
    damaged = data[:middle] + b"\xff\xc4\xff\xff" + data[middle + 4 :]
    with pytest.raises(ImageError) as caught:
        read_image(damaged[:-2])
    assert isinstance(caught.value, ImageTruncated)
    try:
        read_image(damaged)
    except ImageError as exc:
        told: Exception | None = exc
    else:
        told = None
    assert not isinstance(told, ImageTruncated)


def test_a_header_without_a_picture_is_undecodable() -> None:
    for data in (b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + b"\xff\xd9"):
        with pytest.raises(ImageUndecodable):
            read_image(data)


def test_a_webp_of_two_sizes_is_undecodable() -> None:
    lossless = FILES["webp-lossless"]
    liar = announcing("WEBP", 100, 100)[12:]
    body = b"WEBP" + liar + lossless[12:]
    with pytest.raises(ImageUndecodable):
        read_image(b"RIFF" + len(body).to_bytes(4, "little") + body)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = FILES["jpeg-progressive"]
    start = data.rindex(b"\xff\xda")
    with pytest.raises(ImageUndecodable, match="at most 100 scans in a JPEG, found"):
        read_image(data[:start] + data[start:-2] * 200 + b"\xff\xd9")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_files_are_read_or_told(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[name])
    places = st.integers(0, min(len(damaged), 700) - 1) | st.integers(0, len(damaged) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        damaged[place] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_or_told(bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", b"RIFF\x40\0\0\0WEBPVP8 ", b"BM", b""]
    ),
    st.binary(max_size=300),
)
def test_random_bytes_are_read_or_told(start: bytes, rest: bytes) -> None:
    read_or_told(start + rest)


def read_or_told(data: bytes) -> None:
    try:
        picture = read_image(data)
    except ImageError as exc:
        told = str(exc)
    else:
        told = f"expected three channels, found {picture.shape[2]}"
        assert picture.shape[2] == 3
    assert re.search("expected .*found", told)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_turned_as_exif_says(kind: str, orientation: int) -> None:
    turned: list[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.rot90(a, -1),
        lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        lambda a: np.rot90(a),
    ]
    options = {} if kind == "PNG" else {"quality": 95}
    data = encode(RGB, kind, exif=exif(orientation), **options)
    assert difference(read_image(data), turned[orientation - 1](RGB)) < 3


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [3, 4])
def test_both_byte_orders_and_widths_of_the_orientation_are_read(order: str, kind: int) -> None:
    data = encode(RGB, "JPEG", exif=b"Exif\0\0" + tiff(order, kind, 6))
    assert read_image(data).shape == (48, 80, 3)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"MM\0*\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        tiff("<", 3, 0),
        tiff("<", 3, 9),
        tiff(">", 3, 6)[:-8],
        bytes(range(256)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_malformed_exif_is_harmless(kind: str, block: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = png(RGB, 2, chunk(b"eXIf", block)) if kind == "PNG" else encode(RGB, kind, exif=b"Exif\0\0" + block)
        assert read_image(data).shape == RGB.shape


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_over_the_backdrop(kind: str, mode: str) -> None:
    picture = Image.fromarray(RGB).convert(mode)
    alpha = np.zeros(RGB.shape[:2], np.uint8)
    alpha[:40], alpha[40:60] = 255, 128
    picture.putalpha(Image.fromarray(alpha))
    found = read_image(encode(picture, kind, lossless=True) if kind == "WEBP" else encode(picture, kind))
    opaque = RGB if mode == "RGBA" else np.repeat(GREY[..., None], 3, axis=2)
    assert difference(found[:40], opaque[:40]) < 1
    assert difference(found[60:], np.broadcast_to(np.array(BACKDROP, np.uint8), (20, 48, 3))) == 0
    half = (128 * opaque[40:60].astype(float) + 127 * np.array(BACKDROP)) / 255
    assert np.abs(found[40:60] - half).max() < 2


def test_a_transparent_palette_entry_and_colour_are_laid_over_the_backdrop() -> None:
    flat = Image.new("P", (16, 16), 1)
    flat.putpalette([255, 0, 0, 0, 255, 0])
    for data in (
        encode(flat, "PNG", transparency=1),
        png(np.full((16, 16, 3), 9, np.uint8), 2, chunk(b"tRNS", bytes([0, 9, 0, 9, 0, 9]))),
        png(np.full((16, 16, 1), 9, np.uint8), 0, chunk(b"tRNS", bytes([0, 9]))),
    ):
        assert (read_image(data) == BACKDROP).all()


def test_one_bit_is_black_and_white() -> None:
    bits = Image.fromarray(RGB).convert("1", dither=Image.Dither.NONE)
    wanted = np.repeat(np.where(np.asarray(bits), 255, 0)[..., None], 3, axis=2).astype(np.uint8)
    for kind in ("PNG", "BMP"):
        np.testing.assert_array_equal(read_image(encode(bits, kind)), wanted)


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_scaled_and_not_clipped(color: int, channels: int) -> None:
    ramp = np.linspace(0, 65535, 80 * 48).astype(np.uint16).reshape(80, 48, 1)
    values = np.repeat(ramp, channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65535
    wanted = np.repeat(ramp.astype(float) * 255 / 65535, 3, axis=2)
    assert np.abs(read_image(png(values, color)) - wanted).max() <= 1


def test_a_sixteen_bit_transparent_colour_stays_opaque() -> None:
    values = np.full((16, 16, 3), 0x1234, np.uint16)
    for transparent in (b"\x12\x34", b"\0\x12"):
        assert (read_image(png(values, 2, chunk(b"tRNS", transparent * 3))) == 0x12).all()


def test_cmyk_is_turned_to_rgb() -> None:
    data = encode(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert difference(read_image(data), RGB) < 4


def test_the_first_frame_of_several_is_read() -> None:
    second = Image.fromarray(255 - RGB)
    for data in (FILES["webp-animated"], encode(RGB, "PNG", save_all=True, append_images=[second])):
        np.testing.assert_array_equal(read_image(data), RGB)
    multiple = encode(RGB, "MPO", save_all=True, append_images=[second], quality=95)
    assert difference(read_image(multiple), RGB) < 3


def test_metadata_of_any_size_and_kind_is_passed_over() -> None:
    profile = bytes(200_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(read_image(encode(RGB, "JPEG", quality=95, icc_profile=profile)), RGB) < 3
        bomb = chunk(b"zTXt", b"x\0\0" + b"not zlib") + chunk(b"iCCP", b"x\0\0" + b"not zlib")
        np.testing.assert_array_equal(read_image(png(RGB, 2, bomb)), RGB)


def slow_bilinear(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Resize with a triangle as wide as the shrinking, row by row and column by column."""

    def weights(size: int, target: int) -> NDArray[np.float64]:
        scale = size / target
        reach = max(scale, 1.0)
        rows = np.zeros((target, size))
        for i in range(target):
            for j in range(size):
                rows[i, j] = max(0.0, 1 - abs((j + 0.5 - (i + 0.5) * scale) / reach))
        unit: NDArray[np.float64] = rows / rows.sum(axis=1, keepdims=True)
        return unit

    across = np.einsum("wj,ijc->iwc", weights(rgb.shape[1], width), rgb.astype(float))
    found: NDArray[np.float64] = np.einsum("hi,iwc->hwc", weights(rgb.shape[0], height), across)
    return found


@pytest.mark.parametrize(("height", "width"), [(32, 16), (128, 64), (80, 20), (100, 48)])
def test_resizing_is_bilinear_with_antialiasing(height: int, width: int) -> None:
    found = resize(RGB, height, width)
    assert np.abs(found - slow_bilinear(RGB, height, width)).max() < 1.1


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    contract = InputContract(height=80, width=48)
    np.testing.assert_array_equal(prepare(FILES["jpeg"], contract), read_image(FILES["jpeg"]))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(orientation: int) -> None:
    data = encode(scene(1280, 768), "JPEG", quality=95, exif=exif(orientation))
    contract = InputContract(height=64, width=32)
    whole = resize(read_image(data), 64, 32)
    assert difference(prepare(data, contract), whole) < 1.5


@pytest.mark.parametrize(
    ("size", "orientation", "decoded"),
    [
        ((255, 127), 1, (255, 127)),
        ((256, 128), 1, (128, 64)),
        ((1024, 512), 1, (128, 64)),
        ((128, 256), 6, (128, 64)),
        ((256, 128), 6, (128, 256)),
    ],
)
def test_a_jpeg_is_never_decoded_under_twice_the_target(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], orientation: int, decoded: tuple[int, int]
) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        seen.append(rgb.shape[:2])
        return resize(rgb, height, width)

    monkeypatch.setattr("model.preprocess.resize", watched)
    prepare(encode(scene(*size), "JPEG", exif=exif(orientation)), InputContract(height=64, width=32))
    assert seen == [decoded]


def test_threads_get_what_one_gets() -> None:
    def turns() -> Iterator[str]:
        for _ in range(30):
            yield from FILES

    wanted = {name: read_image(data) for name, data in FILES.items()}
    with ThreadPoolExecutor(8) as pool:
        for name, found in zip(turns(), pool.map(lambda name: read_image(FILES[name]), turns()), strict=True):
            np.testing.assert_array_equal(found, wanted[name])
