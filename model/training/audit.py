"""Likely wrong labels of a data set: images that look more like another identity than like their own.

An identity's prototype is the mean embedding of its images, the judged one left out; prototypes stay right as long as
most labels are (Northcutt, Jiang, Chuang. "Confident Learning", JAIR 2021, has the idea of judging labels by held-out
likeness).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from model.training.datasets.images import LabelledImages
from model.training.evaluation import Embedded
from model.training.thumbnails import Thumbnail, thumbnail

_BLOCK = 1024
_SHOWN = 5  # images of either identity


@dataclass(frozen=True)
class Suspect:
    """An image, the identity that it looks more like, and by how much, in cosine."""

    index: int
    identity: int
    suggested: int
    margin: float


def audit(images: Embedded, *, limit: int) -> list[Suspect]:
    """Return at most `limit` images that are nearer another identity's prototype than their own, the worst first.

    An image that is its identity's only one cannot be judged and is never listed.
    """
    names, numbers = np.unique(images.identities, return_inverse=True)
    sums = np.zeros((len(names), images.embeddings.shape[1]))
    np.add.at(sums, numbers, images.embeddings)
    counts = np.bincount(numbers)
    margins, suggested = np.empty(len(images)), np.empty(len(images), dtype=np.int64)
    for start in range(0, len(images), _BLOCK):
        part = slice(start, start + _BLOCK)
        margins[part], suggested[part] = _judge(images.embeddings[part].astype(np.float64), numbers[part], sums)
    margins[counts[numbers] < 2] = -np.inf
    order = np.argsort(-margins, kind="stable")[:limit]
    return [
        Suspect(index, int(images.identities[index]), int(names[suggested[index]]), float(margins[index]))
        for index in order[margins[order] > 0].tolist()
    ]


def _judge(
    x: NDArray[np.float64], own: NDArray[np.intp], sums: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return by how much another prototype is nearer than the own one, (b,), and which."""
    scores = x @ _unit(sums).T  # (b, identities)
    rows = np.arange(len(x))
    own_scores = (x * _unit(sums[own] - x)).sum(axis=1)
    scores[rows, own] = -np.inf
    best = scores.argmax(axis=1)
    return scores[rows, best] - own_scores, best


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return unit


@dataclass(frozen=True)
class _Sheet:
    suspect: Suspect
    picture: Thumbnail
    own: tuple[Thumbnail, ...]
    other: tuple[Thumbnail, ...]


def write_sheet(suspects: Sequence[Suspect], images: LabelledImages, path: Path) -> None:
    """Write an HTML page to look at: each suspect, images of its own identity, and of the suggested one."""
    template = Environment(autoescape=True).from_string(
        (resources.files("model.training") / "audit.html").read_text(encoding="utf-8")
    )
    sheets = [
        _Sheet(
            suspect,
            thumbnail(images, suspect.index),
            _some(images, suspect.identity, suspect.index),
            _some(images, suspect.suggested, suspect.index),
        )
        for suspect in suspects
    ]
    path.write_text(template.render(name=images.name, count=len(images), sheets=sheets), encoding="utf-8")


def write_list(suspects: Sequence[Suspect], images: LabelledImages, path: Path) -> None:
    """Write the suspects as CSV: path, identity, suggested, margin."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "identity", "suggested", "margin"])
        for suspect in suspects:
            writer.writerow(
                [images.paths[suspect.index], suspect.identity, suspect.suggested, round(suspect.margin, 6)]
            )


def _some(images: LabelledImages, identity: int, without: int) -> tuple[Thumbnail, ...]:
    """Return a few images of an identity, spread over its files."""
    found = np.flatnonzero(images.identities == identity)
    found = found[found != without]
    chosen = found[np.linspace(0, len(found) - 1, min(_SHOWN, len(found))).astype(np.intp)]
    return tuple(thumbnail(images, index) for index in chosen.tolist())
