"""A run as one HTML page that needs no other file: recipe, curves, rankings of the held-out identities, thresholds.

The page shows pictures of the data set that it was made from; it is as private as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from numpy.typing import NDArray

from model.card import Calibration
from model.disk import replace_file
from model.errors import DatasetError
from model.training import charts
from model.training.calibration import calibrate, draw, pairs_of
from model.training.datasets.images import LabelledImages
from model.training.evaluation import Embedded, evaluate_retrieval
from model.training.journal import Row
from model.training.recipe import Recipe
from model.training.thumbnails import Thumbnail, thumbnail

REPORT = "report.html"
_QUERIES = 8  # of the worst, and as many at random
_SHOWN = 10  # ranks
_MOST_CAMERAS = 30


@dataclass(frozen=True)
class Ranked:
    """One query's average precision, and its first ranks."""

    average_precision: float
    pictures: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Trained:
    """What a report is made from: a run, and its embeddings of the held-out images."""

    recipe: Recipe
    history: list[Row]
    images: LabelledImages
    embedded: Embedded


def write_report(run: Trained, path: Path) -> None:
    """Write the page; what the held-out images are too few for is left out and said."""
    template = Environment(autoescape=True).from_string(
        (resources.files("model.training") / "report.html").read_text(encoding="utf-8")
    )
    result = evaluate_retrieval(run.embedded, run.embedded)
    page = template.render(
        recipe=run.recipe,
        sections=run.recipe.model_dump(mode="json"),
        result=result,
        identities=len(np.unique(run.embedded.identities)),
        images=len(run.embedded),
        curves=list(_curves(run.history)),
        cmc=charts.cmc({"held-out identities": result.cmc}),
        verification=_verification(run.embedded),
        map=charts.embedding_map(run.embedded, run.recipe.seed),
        cameras=_cameras(run.embedded),
        worst=list(_ranked(run, result.precisions, worst(result.precisions))),
        drawn=list(_ranked(run, result.precisions, drawn(result.precisions, run.recipe.seed))),
    )
    replace_file(path, page.encode())


def worst(precision: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the queries with the least average precision, the worst first."""
    return np.argsort(precision, kind="stable")[: min(_QUERIES, int(np.isfinite(precision).sum()))]


def drawn(precision: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return queries drawn at random among those that have a right answer."""
    return np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(precision)))[:_QUERIES]


def rank1_between_cameras(images: Embedded) -> tuple[list[int], NDArray[np.float64]]:
    """Return the cameras and rank-1 in percent of one's queries in the other's gallery, NaN without an answer."""
    cameras = np.unique(images.cameras).tolist()
    of_camera = [images.select(images.cameras == camera) for camera in cameras]
    table = np.full((len(cameras), len(cameras)), np.nan)
    for row, asked in enumerate(of_camera):
        for column, searched in enumerate(of_camera):
            try:
                found = evaluate_retrieval(asked, searched)
            except DatasetError:  # the diagonal, and cameras that share nobody
                continue
            table[row, column] = 100 * found.rank(1)
    return cameras, table


def _curves(history: list[Row]) -> Iterator[Markup]:
    """Draw what was noted while training, the losses together and every other figure alone."""
    for names, label in ((("metric", "identity"), "loss"), (("rate",), "learning rate")):
        rows = [row for row in history if row.kind == "training" and names[0] in row.values]
        if rows:
            epochs = [row.epoch for row in rows]
            series = {name: (epochs, [row.values[name] for row in rows]) for name in names}
            yield charts.lines(series, "epoch", label)
    rows = [row for row in history if row.kind == "validation"]
    series = {
        name: ([row.epoch for row in rows], [100 * row.values[name] for row in rows])
        for name in ("rank1", "mAP", "mINP")
    }
    yield charts.lines(series, "epoch", "held-out identities, %")


@dataclass(frozen=True)
class _Verification:
    calibration: Calibration
    roc: Markup
    scores: Markup


def _verification(images: Embedded) -> _Verification | str:
    try:
        calibration = calibrate(images)
    except DatasetError as exc:
        return str(exc)
    pairs = pairs_of(draw(images))
    positive, negative = pairs.scores[pairs.same], pairs.scores[~pairs.same]
    roc, scores = charts.roc(positive, negative), charts.scores(positive, negative, calibration.thresholds)
    return _Verification(calibration, roc, scores)


def _cameras(images: Embedded) -> Markup | None:
    if len(np.unique(images.cameras)) > _MOST_CAMERAS:  # without cameras each image counts as one
        return None
    names, table = rank1_between_cameras(images)
    return charts.camera_confusion([str(name) for name in names], table)


def _ranked(run: Trained, precision: NDArray[np.float64], queries: NDArray[np.int64]) -> Iterator[Ranked]:
    """Give each query with its first ranks by the protocol: its own identity on its own camera is dropped."""
    images = run.embedded
    for query in queries.tolist():
        scores = images.embeddings @ images.embeddings[query]
        same = images.identities == images.identities[query]
        kept = ~(same & (images.cameras == images.cameras[query]))
        order = [index for index in np.argsort(-scores, kind="stable").tolist() if kept[index]][:_SHOWN]
        shown = [thumbnail(run.images, query)]
        shown += [thumbnail(run.images, index, float(scores[index]), bool(same[index])) for index in order]
        yield Ranked(float(precision[query]), tuple(shown))
