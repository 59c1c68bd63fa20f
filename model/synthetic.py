"""Drawn pedestrians for those without a data set: identities, cameras and views by number, and a Market-1501 tree.

An identity is clothing, hair, skin, build and bag; a camera is light, tint, height, sharpness and background;
a view is the walk, the turn, the place in the box and the noise. The same numbers give the same picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from model.errors import DatasetError
from model.pedestrian import Look, Pose, draw_look, draw_person

_SUPERSAMPLING = 2
_MOST_IDENTITIES = 9999  # the names have four digits
_RANGES = {
    "train_identities": (0, _MOST_IDENTITIES),
    "test_identities": (0, _MOST_IDENTITIES),
    "cameras": (2, 9),
    "views": (2, 99),
    "seed": (0, 2**31),
}
_LOOK, _CAMERA, _VIEW, _TREE = range(4)  # streams of random numbers


@dataclass(frozen=True, slots=True)
class _Camera:
    gain: NDArray[np.float32]  # (3,) exposure and tint
    contrast: float
    haze: float
    light_from: float  # -1: left, 1: right
    facing: float  # which way people mostly go
    foreshortening: float
    sharpness: float  # the part of the resolution that the lens keeps
    noise: float


def render(identity: int, camera: int, view: int, *, height: int = 128, width: int = 64) -> NDArray[np.uint8]:
    """Draw a view of an identity by a camera, `(height, width, 3)` RGB; numbers are from 0."""
    rng = _stream(_VIEW, identity, camera, view)
    eye = _camera(camera)
    size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    look = _look(identity)
    pose = _pose(rng, eye, look, size)
    picture = _background(camera, size, int(rng.integers(64)))
    _drop_shadow(picture, pose)
    person = draw_person(size, look, pose)
    mask = person.getchannel("A")
    picture.paste(person, mask=mask)
    light = _light(mask.reduce(_SUPERSAMPLING), eye, rng)
    return np.array(_expose(picture.reduce(_SUPERSAMPLING), light, eye, rng))


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """Encode `(H, W, 3)` RGB as a JPEG of quality 92."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_market(
    root: Path, *, train_identities: int, test_identities: int, cameras: int = 6, views: int = 4, seed: int = 0
) -> Path:
    """Write a tree in Market-1501's layout and return its root.

    Every identity is seen by two cameras or more, `views` times by each. A test identity has one query per camera;
    the gallery has its other views, and distractors (0000) and junk (-1) besides.

    Raises `DatasetError` when there is something at `root` already, or a number is out of range.
    """
    given = (train_identities, test_identities, cameras, views, seed)
    for (name, (low, high)), value in zip(_RANGES.items(), given, strict=True):
        if not low <= value <= high:
            raise DatasetError(f"expected {name} to be from {low} to {high}, found {value}")
    if train_identities + test_identities > _MOST_IDENTITIES:
        raise DatasetError(
            f"expected at most {_MOST_IDENTITIES} identities, found {train_identities} + {test_identities}"
        )
    if root.exists() and any(root.iterdir()):
        raise DatasetError(f"expected an empty folder for the synthetic data set, found files in {root}")
    tree = _Tree(cameras, views, seed)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder, name, picture in tree.pictures(train_identities, test_identities):
        (root / folder / name).write_bytes(encode_jpeg(picture))
    return root


@dataclass(frozen=True, slots=True)
class _Tree:
    cameras: int
    views: int
    seed: int

    def pictures(self, train: int, test: int) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
        """Yield folder, file name and picture."""
        for person in range(1, train + 1):
            for camera, view in self._seen(person):
                yield (
                    "bounding_box_train",
                    self._name(person, camera, person * 100 + view),
                    self._render(person, camera, view),
                )
        for person in range(train + 1, train + test + 1):
            for camera, view in self._seen(person):
                folder = "query" if view == 0 else "bounding_box_test"
                yield folder, self._name(person, camera, person * 100 + view), self._render(person, camera, view)
        for stranger in range(train + test + 1, train + 2 * test + 1):
            camera = stranger % self.cameras
            yield "bounding_box_test", self._name(0, camera, stranger), self._render(stranger, camera, 0)
            yield "bounding_box_test", self._name(-1, camera, stranger), self._junk(stranger, camera)

    def _seen(self, person: int) -> Iterator[tuple[int, int]]:
        rng = _stream(_TREE, self.seed, person)
        count = int(rng.integers(2, self.cameras + 1))
        for camera in sorted(rng.permutation(self.cameras)[:count].tolist()):
            for view in range(self.views):
                yield camera, view

    def _render(self, person: int, camera: int, view: int) -> NDArray[np.uint8]:
        return render(self.seed * 1_000_000 + person, camera, view)

    def _junk(self, person: int, camera: int) -> NDArray[np.uint8]:
        """Draw what a detector gets wrong: a box that has only a part of a person."""
        whole = render(self.seed * 1_000_000 + person, camera, 1, height=256, width=128)
        return np.ascontiguousarray(whole[100:228, 40:104])

    @staticmethod
    def _name(person: int, camera: int, frame: int) -> str:
        label = "-1" if person < 0 else f"{person:04d}"
        return f"{label}_c{camera + 1}s1_{frame:06d}_01.jpg"


def _stream(*numbers: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))


@lru_cache(maxsize=1024)
def _look(identity: int) -> Look:
    return draw_look(_stream(_LOOK, identity))


@lru_cache(maxsize=64)
def _camera(camera: int) -> _Camera:
    rng = _stream(_CAMERA, camera)
    tint = rng.uniform(-0.09, 0.09)
    gain = rng.uniform(0.72, 1.18) * np.array([1 + tint, 1.0, 1 - tint])
    return _Camera(
        gain=gain.astype(np.float32),
        contrast=float(rng.uniform(0.78, 1.1)),
        haze=float(rng.uniform(0, 26)),
        light_from=float(rng.uniform(-1, 1)),
        facing=float(rng.uniform(-np.pi, np.pi)),
        foreshortening=float(rng.uniform(0.0, 0.16)),
        sharpness=float(rng.uniform(0.55, 1.0)),
        noise=float(rng.uniform(1.5, 5.0)),
    )


def _pose(rng: np.random.Generator, eye: _Camera, look: Look, size: tuple[int, int]) -> Pose:
    width, height = size
    turn = eye.facing + rng.normal(0, 0.35) + (np.pi if rng.random() < 0.3 else 0)
    return Pose(
        facing=float(turn),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0.15, 0.55)),
        center=(width * float(0.5 + rng.normal(0, 0.035)), height * float(0.5 + rng.normal(0, 0.015))),
        height=height * look.stature * float(rng.uniform(0.84, 0.95)),
        foreshortening=eye.foreshortening,
    )


@lru_cache(maxsize=64)
def _scenery(camera: int, size: tuple[int, int]) -> Image.Image:
    """Paint three widths of a camera's background, of which each view shows a piece."""
    rng = _stream(_CAMERA, camera, 1)
    width, height = size[0] * 3, size[1]
    horizon = int(height * rng.uniform(0.12, 0.5))
    ground, wall = (rng.integers(70, 190) + rng.integers(-22, 23, 3) for _ in range(2))
    canvas = Image.new("RGB", (width, height), _color(wall))
    pen = ImageDraw.Draw(canvas)
    _paint_wall(pen, rng, wall, width, horizon)
    pen.rectangle((0, horizon, width, height), fill=_color(ground))
    _paint_ground(pen, rng, ground, (width, height), horizon)
    texture = rng.normal(0, 9, (height // 4, width // 4, 1)).repeat(3, axis=2)
    grain = Image.fromarray((128 + texture).clip(0, 255).astype(np.uint8)).resize((width, height))
    values = np.asarray(canvas, np.float32) + np.asarray(grain, np.float32) - 128
    painted = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return painted.filter(ImageFilter.GaussianBlur(height / 128))


def _paint_wall(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, wall: NDArray[np.int64], width: int, horizon: int
) -> None:
    """Put windows, trunks, shrubs and the like along the horizon."""
    for _ in range(int(rng.integers(6, 14))):
        left, wide = int(rng.integers(-20, width)), int(rng.integers(width // 40, width // 8))
        top = int(rng.integers(0, max(1, horizon)))
        fill = _color(wall * rng.uniform(0.45, 1.3) + rng.integers(-25, 26, 3))
        if rng.random() < 0.6:
            pen.rectangle((left, top, left + wide, horizon), fill=fill)
        else:
            pen.ellipse((left, horizon - wide, left + wide, horizon + wide // 3), fill=fill)


def _paint_ground(
    pen: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    ground: NDArray[np.int64],
    size: tuple[int, int],
    horizon: int,
) -> None:
    """Lay tiles or stripes that widen towards the viewer."""
    width, height = size
    line = _color(ground * rng.uniform(0.75, 1.25))
    for row in range(1, int(rng.integers(3, 9))):
        y = horizon + (height - horizon) * (row / 8) ** 1.6
        pen.line((0, y, width, y), fill=line, width=2)
    lean = int(rng.integers(-height, height))
    for column in range(-4, int(rng.integers(0, 12))):
        x = column * width // 8
        pen.line((x, horizon, x + lean, height), fill=line, width=2)


def _background(camera: int, size: tuple[int, int], shift: int) -> Image.Image:
    left = shift * 2 * size[0] // 64
    return _scenery(camera, size).crop((left, 0, left + size[0], size[1]))


def _drop_shadow(picture: Image.Image, pose: Pose) -> None:
    x, y = pose.center[0], pose.center[1] + pose.height * 0.49
    wide, high = pose.height * 0.13, pose.height * 0.025
    mask = Image.new("L", (int(2 * wide) + 1, int(2 * high) + 1))
    ImageDraw.Draw(mask).ellipse((0, 0, 2 * wide, 2 * high), fill=110)
    picture.paste((20, 20, 24), (int(x - wide), int(y - high)), mask)


def _light(mask: Image.Image, eye: _Camera, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light the body under the mask from one side and fold the cloth; `(H, W)` factors."""
    width, height = mask.size
    folds = Image.fromarray(rng.normal(1, 0.09, (height // 6 + 1, width // 6 + 1)).astype(np.float32))
    light = np.asarray(folds.resize((width, height), Image.Resampling.BICUBIC))
    light = light * (1 + 0.35 * eye.light_from * np.linspace(-1, 1, width, dtype=np.float32))
    lit: NDArray[np.float32] = 1 + (light - 1) * (np.asarray(mask, np.float32) / 255)
    return lit


def _expose(picture: Image.Image, light: NDArray[np.float32], eye: _Camera, rng: np.random.Generator) -> Image.Image:
    """Take the lit picture through the camera's sensor and lens."""
    gain = eye.gain * np.float32(rng.uniform(0.92, 1.08) * eye.contrast)
    offset = gain * np.float32(112 / eye.contrast - 112 + eye.haze / eye.contrast)
    values = np.asarray(picture, np.float32) * (light[..., None] * gain) + offset
    values += rng.standard_normal((*light.shape, 1), np.float32) * np.float32(eye.noise)
    taken = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    width, height = picture.size
    seen = (max(4, round(width * eye.sharpness)), max(4, round(height * eye.sharpness)))
    return taken.resize(seen, Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.BICUBIC)


def _color(values: NDArray[Any]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(values, 0, 255))
    return red, green, blue
