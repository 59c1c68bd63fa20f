"""A drawn pedestrian: who they are (`Look`), how they stand (`Pose`), and the drawing of one on a layer.

Lengths are in units of the person's height, with x = 0 on the body's axis and y = 0 at the crown, 1 at the soles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

Color: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

# What people wear, more or less as often as they wear it: the dark and the plain are common.
CLOTH: tuple[Color, ...] = (
    (24, 24, 28), (24, 24, 28), (46, 48, 54), (92, 94, 98), (150, 152, 154), (228, 228, 224), (232, 230, 226),
    (28, 36, 66), (52, 74, 118), (96, 128, 168), (150, 186, 214), (122, 30, 38), (196, 44, 48), (232, 120, 130),
    (226, 124, 44), (240, 200, 70), (38, 84, 56), (88, 142, 84), (104, 106, 70), (186, 164, 124), (112, 78, 54),
    (94, 58, 118), (172, 142, 198), (36, 136, 140),
)  # fmt: skip
LOWER: tuple[Color, ...] = (
    (22, 22, 26), (22, 22, 26), (44, 46, 52), (34, 42, 70), (48, 66, 104), (84, 108, 142), (132, 154, 178),
    (110, 110, 112), (178, 158, 122), (88, 92, 66), (222, 220, 214), (96, 70, 52), (138, 44, 50),
)  # fmt: skip
HAIR: tuple[Color, ...] = (
    (20, 18, 18), (20, 18, 18), (44, 30, 24), (82, 54, 36), (128, 90, 56), (190, 154, 98), (142, 140, 138),
)  # fmt: skip
SKIN: tuple[Color, ...] = ((238, 204, 180), (226, 186, 156), (204, 158, 124), (164, 116, 84), (104, 70, 52))
PATTERNS = ("plain", "plain", "plain", "hoops", "pinstripes", "checks", "block", "print", "open")


@dataclass(frozen=True, slots=True)
class Look:
    """What stays the same about a person from camera to camera."""

    stature: float  # relative to the mean
    build: float  # relative width
    skin: Color
    hair: Color
    haircut: str
    upper: Color
    accent: Color
    pattern: str
    sleeves: str
    lower: Color
    legwear: str
    shoes: Color
    bag: str
    bag_color: Color


@dataclass(frozen=True, slots=True)
class Pose:
    """What changes from picture to picture: facing in radians (0: towards the camera) and the walk's phase."""

    facing: float
    phase: float
    stride: float
    center: Point  # of the body, in pixels
    height: float  # in pixels
    foreshortening: float  # how much a camera above shortens the legs


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a person at random."""

    def pick(options: Sequence[Color]) -> Color:
        red, green, blue = options[int(rng.integers(len(options)))] + rng.integers(-12, 13, 3)
        return (int(red), int(green), int(blue))

    def name(*options: str) -> str:
        return options[int(rng.integers(len(options)))]

    return Look(
        stature=float(rng.uniform(0.92, 1.04)),
        build=float(rng.uniform(0.86, 1.22)),
        skin=pick(SKIN),
        hair=pick(HAIR),
        haircut=name("short", "short", "short", "long", "long", "tail", "bald", "cap"),
        upper=pick(CLOTH),
        accent=pick(CLOTH),
        pattern=name(*PATTERNS),
        sleeves=name("long", "long", "short", "short", "none"),
        lower=pick(LOWER),
        legwear=name("trousers", "trousers", "trousers", "shorts", "skirt", "dress"),
        shoes=pick(CLOTH),
        bag=name("none", "none", "backpack", "backpack", "shoulder", "hand"),
        bag_color=pick(CLOTH),
    )


def draw_person(size: tuple[int, int], look: Look, pose: Pose) -> Image.Image:
    """Draw a person on a transparent layer of `size` (width, height)."""
    layer = Image.new("RGBA", size, (*look.upper, 0))
    _Drawing(layer, look, pose).draw()
    return layer


class _Drawing:
    """One person being drawn, from what is farthest to what is nearest."""

    def __init__(self, layer: Image.Image, look: Look, pose: Pose) -> None:
        self._layer = layer
        self._pen = ImageDraw.Draw(layer)
        self._look, self._pose = look, pose
        self._front = math.cos(pose.facing)  # 1: we see the chest, -1: the back
        self._side = math.sin(pose.facing)
        self._broad = (0.58 + 0.42 * abs(self._front)) * look.build
        self._near = 1 if self._side >= 0 else -1

    def draw(self) -> None:
        look, behind = self._look, self._front < 0
        self._arm(-self._near, 0.82)
        if look.bag == "backpack" and not behind:
            self._backpack()
        if look.haircut == "long" and not behind:
            self._hair_fall()
        for side, light in ((-self._near, 0.84), (self._near, 1.0)):
            self._leg(side, light)
        self._torso()
        if look.legwear in ("skirt", "dress"):
            self._skirt()
        self._head()
        if look.bag == "backpack":
            if behind:
                self._backpack()
            else:
                self._straps()
        if behind and look.haircut in ("long", "tail"):
            self._hair_fall()
        self._arm(self._near, 1.0)
        if look.bag in ("shoulder", "hand"):
            self._bag()

    def _at(self, x: float, y: float) -> Point:
        pose = self._pose
        y += pose.foreshortening * y * (1 - y)
        return pose.center[0] + x * pose.height, pose.center[1] + (y - 0.5) * pose.height

    def _polygon(self, points: Sequence[Point], color: Color) -> None:
        self._pen.polygon([self._at(*point) for point in points], fill=(*color, 255))

    def _ellipse(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        (left, top), (right, bottom) = self._at(x - rx, y - ry), self._at(x + rx, y + ry)
        self._pen.ellipse((left, top, max(right, left), max(bottom, top)), fill=(*color, 255))

    def _limb(self, start: Point, end: Point, r0: float, r1: float, color: Color) -> None:
        """Draw a tapered limb with round ends."""
        length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
        nx, ny = (start[1] - end[1]) / length, (end[0] - start[0]) / length
        self._polygon(
            [
                (start[0] + nx * r0, start[1] + ny * r0),
                (end[0] + nx * r1, end[1] + ny * r1),
                (end[0] - nx * r1, end[1] - ny * r1),
                (start[0] - nx * r0, start[1] - ny * r0),
            ],
            color,
        )
        self._ellipse(*start, r0, r0, color)
        self._ellipse(*end, r1, r1, color)

    def _leg(self, side: int, light: float) -> None:
        look, build = self._look, self._look.build
        swing = side * self._pose.stride * math.sin(self._pose.phase)
        bend = max(0.0, -swing) * 0.9
        hip = (side * 0.048 * build * abs(self._front) + 0.004 * self._side, 0.5)
        knee = (hip[0] + self._side * math.sin(swing) * 0.23, 0.5 + 0.235 * math.cos(swing))
        shin = swing - bend
        lift = 0.05 * max(0.0, swing) * abs(self._front)
        ankle = (knee[0] + self._side * math.sin(shin) * 0.22, knee[1] + 0.215 * math.cos(shin) - lift)
        covered = _shade(look.lower, light)
        bare = _shade(look.skin, light)
        thigh = covered if look.legwear in ("trousers", "shorts") else bare
        calf = covered if look.legwear == "trousers" else bare
        toe = self._side * 0.045 + side * 0.012 * self._front
        self._limb(knee, ankle, 0.036 * build, 0.026 * build, calf)
        self._limb(hip, knee, 0.056 * build, 0.04 * build, thigh)
        self._limb(
            (ankle[0], ankle[1] + 0.012), (ankle[0] + toe, ankle[1] + 0.022), 0.024, 0.02, _shade(look.shoes, light)
        )

    def _arm(self, side: int, light: float) -> None:
        look, build = self._look, self._look.build
        swing = -side * self._pose.stride * 0.9 * math.sin(self._pose.phase)
        shoulder = (side * 0.118 * build * (0.12 + 0.88 * abs(self._front)), 0.215)
        elbow = (
            shoulder[0] + side * 0.022 * abs(self._front) + self._side * math.sin(swing) * 0.15,
            shoulder[1] + 0.145 * math.cos(swing),
        )
        fore = swing + 0.35
        hand = (elbow[0] + self._side * math.sin(fore) * 0.13, elbow[1] + 0.135 * math.cos(fore))
        cloth = look.accent if look.pattern == "block" else look.upper
        upper = look.skin if look.sleeves == "none" else cloth
        lower = cloth if look.sleeves == "long" else look.skin
        self._ellipse(*hand, 0.02, 0.024, _shade(look.skin, light))
        self._limb(elbow, hand, 0.026 * build, 0.019 * build, _shade(lower, 0.95 * light))
        self._limb(shoulder, elbow, 0.036 * build, 0.029 * build, _shade(upper, 0.95 * light))

    def _torso(self) -> None:
        look, broad = self._look, self._broad
        shoulder, waist, hip = 0.118 * broad, 0.088 * broad, 0.098 * broad
        self._polygon([(-waist, 0.45), (waist, 0.45), (hip, 0.55), (-hip, 0.55)], look.lower)
        outline = [
            (-0.04, 0.155), (0.04, 0.155), (shoulder, 0.19), (shoulder * 1.02, 0.24), (waist, 0.42),
            (hip, 0.505), (-hip, 0.505), (-waist, 0.42), (-shoulder * 1.02, 0.24), (-shoulder, 0.19),
        ]  # fmt: skip
        if look.pattern == "plain":
            self._polygon(outline, look.upper)
            return
        mask = Image.new("1", self._layer.size)
        ImageDraw.Draw(mask).polygon([self._at(*point) for point in outline], fill=1)
        cloth = Image.new("RGBA", self._layer.size, (*look.upper, 255))
        self._pattern(ImageDraw.Draw(cloth))
        self._layer.paste(cloth, mask=mask)

    def _pattern(self, pen: ImageDraw.ImageDraw) -> None:
        look, reach, accent = self._look, 0.13 * self._broad, (*self._look.accent, 255)

        def band(left: float, top: float, right: float, bottom: float) -> None:
            pen.rectangle((*self._at(left, top), *self._at(right, bottom)), fill=accent)

        if look.pattern in ("hoops", "checks"):
            for row in range(5):
                band(-reach, 0.2 + 0.066 * row, reach, 0.228 + 0.066 * row)
        if look.pattern in ("pinstripes", "checks"):
            for column in range(-3, 4):
                x = column * 0.036 * self._broad
                band(x - 0.006, 0.1, x + 0.006, 0.55)
        if look.pattern == "block":
            band(-reach, 0.1, reach, 0.29)
        if look.pattern == "print" and self._front > 0.2:
            band(-0.05 * self._front, 0.26, 0.05 * self._front, 0.35)
        if look.pattern == "open" and self._front > 0.2:
            band(-0.032 * self._front, 0.1, 0.032 * self._front, 0.55)

    def _skirt(self) -> None:
        look = self._look
        color = look.upper if look.legwear == "dress" else look.lower
        top, hem = 0.1 * self._broad, 0.135 * self._broad + 0.02 * abs(self._side)
        self._polygon([(-top, 0.46), (top, 0.46), (hem, 0.7), (-hem, 0.7)], color)

    def _head(self) -> None:
        look = self._look
        x = 0.012 * self._side
        self._limb((x * 0.5, 0.12), (0.0, 0.17), 0.03, 0.036, _shade(look.skin, 0.86))
        self._ellipse(x, 0.078, 0.05, 0.066, look.skin)
        if self._front > 0.35:
            self._face(x)
        if look.haircut == "bald":
            return
        crown = look.accent if look.haircut == "cap" else look.hair
        if self._front < -0.35:
            self._ellipse(x, 0.07, 0.053, 0.062, crown if look.haircut != "cap" else look.hair)
            if look.haircut == "cap":
                self._ellipse(x, 0.045, 0.054, 0.042, crown)
            return
        back = -0.02 * self._side
        self._ellipse(x + back, 0.04, 0.053, 0.038, crown)
        if abs(self._side) > 0.5:
            self._ellipse(x + 1.5 * back, 0.066, 0.036, 0.055, look.hair)
        if look.haircut == "cap":
            brim = 0.05 * self._side
            self._ellipse(x + brim, 0.055, 0.045, 0.013, crown)

    def _face(self, x: float) -> None:
        dark = _shade(self._look.skin, 0.45)
        for side in (-1, 1):
            self._ellipse(x + side * 0.019, 0.078, 0.007, 0.005, dark)
        self._ellipse(x, 0.112, 0.014, 0.004, _shade(self._look.skin, 0.66))

    def _hair_fall(self) -> None:
        width = 0.03 if self._look.haircut == "tail" else 0.056
        x = -0.02 * self._side
        self._limb((x, 0.07), (x, 0.2), width, width * 0.85, self._look.hair)

    def _backpack(self) -> None:
        x = -0.075 * self._side
        reach = 0.075 * abs(self._front) + 0.05
        color = self._look.bag_color
        self._polygon([(x - reach, 0.2), (x + reach, 0.2), (x + reach, 0.42), (x - reach, 0.42)], color)
        self._ellipse(x, 0.205, reach, 0.03, color)
        if self._front < 0:
            self._ellipse(x, 0.37, reach * 0.7, 0.035, _shade(color, 0.75))

    def _straps(self) -> None:
        for side in (-1, 1):
            x = side * 0.062 * self._broad
            self._limb((x, 0.185), (x * 1.1, 0.36), 0.011, 0.011, self._look.bag_color)

    def _bag(self) -> None:
        look, side = self._look, self._near
        x = side * 0.135 * self._broad
        if look.bag == "shoulder":
            self._limb((-x * 0.5, 0.18), (x, 0.44), 0.008, 0.008, _shade(look.bag_color, 0.8))
            self._polygon([(x - 0.055, 0.43), (x + 0.055, 0.43), (x + 0.06, 0.54), (x - 0.06, 0.54)], look.bag_color)
        else:
            self._limb((x, 0.48), (x, 0.54), 0.008, 0.008, _shade(look.bag_color, 0.8))
            self._polygon([(x - 0.05, 0.53), (x + 0.05, 0.53), (x + 0.062, 0.67), (x - 0.062, 0.67)], look.bag_color)


def _shade(color: Color, light: float) -> Color:
    red, green, blue = (int(max(0, min(255, value * light))) for value in color)
    return red, green, blue
