"""Likely wrong labels of a data set as a sheet to look at and a list; `model.labels` finds them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment

from model.labels import Suspect
from model.training.datasets.images import LabelledImages
from model.training.thumbnails import Thumbnail, thumbnail

_SHOWN = 5  # images of either identity


@dataclass(frozen=True)
class _Sheet:
    suspect: Suspect
    picture: Thumbnail
    own: tuple[Thumbnail, ...]
    other: tuple[Thumbnail, ...]


def write_sheet(suspects: Sequence[Suspect], images: LabelledImages, path: Path, *, found: int) -> None:
    """Write an HTML page to look at: each suspect, images of its own identity, and of the suggested one.

    `found` is how many there are, of which the suspects may be the worst.
    """
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
    page = template.render(name=images.name, count=len(images), found=found, sheets=sheets)
    path.write_text(page, encoding="utf-8")


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
