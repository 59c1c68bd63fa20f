"""What a version is worth where cameras differ more than those it learnt from: python -m benchmarks.robustness DATA

The held-out people of the version's card, shown as they are, and then as they would be had each camera a gamma, an
exposure, a white balance, a saturation or a sharpness of its own, or had every other camera no colour. Only what a
camera does is drawn, three times, and the mean is told; the pictures and the people stay the same.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from model.registry import Registry
from model.runtime import Embedder
from model.training.datasets.images import LabelledImages, hold_out
from model.training.datasets.reading import read_dataset
from model.training.embedding import embed_images
from model.training.evaluation import Retrieval, evaluate_retrieval

Pictures = NDArray[np.float64]  # (n, H, W, 3) in [0, 1], of one camera
SEEDS = (0, 1, 2)


def gamma(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Raise to a power between e^-0.5 and e^0.5."""
    exponent = float(np.exp(random.uniform(-0.5, 0.5)))
    return np.power(pictures, exponent)


def exposure(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Multiply by e^-0.4 to e^0.4."""
    return pictures * float(np.exp(random.uniform(-0.4, 0.4)))


def white_balance(pictures: Pictures, random: np.random.Generator, by: float) -> Pictures:
    """Multiply each channel by a number of its own."""
    gains: Pictures = np.exp(random.uniform(-by, by, size=3))
    return pictures * gains


def saturation(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Have 0.4 to 1.6 times the saturation."""
    grey: Pictures = pictures.mean(axis=3, keepdims=True)
    return grey + random.uniform(0.4, 1.6) * (pictures - grey)


def no_colour(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Lose all colour, or none."""
    return np.repeat(pictures.mean(axis=3, keepdims=True), 3, axis=3) if random.random() < 0.5 else pictures


def sharpness(pictures: Pictures, random: np.random.Generator) -> Pictures:
    """Lose the detail of a picture one to three times smaller."""
    height, width = pictures.shape[1:3]
    times = random.uniform(1, 3)
    small = (round(width / times), round(height / times))
    shown = (255 * pictures).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize(small).resize((width, height))) / 255 for each in shown])


CHANGES: dict[str, Callable[[Pictures, np.random.Generator], Pictures]] = {
    "white balance, a fifth off": partial(white_balance, by=0.2),
    "white balance, two fifths off": partial(white_balance, by=0.4),
    "gamma": gamma,
    "exposure": exposure,
    "saturation": saturation,
    "every other camera without colour": no_colour,
    "sharpness": sharpness,
}


@dataclass(frozen=True)
class OtherCameras:
    """A view of pictures: each camera changes them in a way of its own, the same for all of its pictures."""

    change: Callable[[Pictures, np.random.Generator], Pictures]
    seed: int

    def __call__(self, pictures: NDArray[np.uint8], cameras: NDArray[np.int64]) -> NDArray[np.uint8]:
        changed = pictures.copy()
        for camera in np.unique(cameras).tolist():
            random = np.random.default_rng([self.seed, camera])
            taken = cameras == camera
            changed[taken] = (255 * self.change(pictures[taken] / 255, random)).round().clip(0, 255)
        return changed


def measure(embedder: Embedder, images: LabelledImages, view: OtherCameras | None) -> Retrieval:
    """Rank the images against each other."""
    embedded = embed_images(embedder, images, view=view)
    return evaluate_retrieval(embedded, embedded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data that the versions were trained on")
    parser.add_argument("--models", type=Path, default=Path("data/models"), help="the registry")
    parser.add_argument("--version", action="append", help="one of several; default: the active one")
    given = parser.parse_args()
    registry = Registry(given.models)
    versions = given.version or [registry.active()]
    train = read_dataset(given.data).require("train")
    console = Console(width=110, highlight=False)
    console.print(describe())
    table = Table("rank-1 · mAP", *versions, box=None)
    columns = []
    for version in versions:
        card = registry.card(version)
        _, held_out = hold_out(train, card.recipe["held_out_identities"], card.seed)
        embedder = registry.open(version)
        rows = [[measure(embedder, held_out, None)]]
        rows += [[measure(embedder, held_out, OtherCameras(each, seed)) for seed in SEEDS] for each in CHANGES.values()]
        columns.append(
            [f"{100 * fmean(r.rank(1) for r in row):.1f} · {100 * fmean(r.mAP for r in row):.1f}" for row in rows]
        )
    for name, *cells in zip(("as they are", *CHANGES), *columns, strict=True):
        table.add_row(name, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
