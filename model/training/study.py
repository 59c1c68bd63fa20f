"""Studies: one set-up trained many times with one thing changed, over several seeds.

A study is a TOML file: a recipe, the series (the lines of the plot), the points (its x axis) and the seeds. Everything
but what a series or a point sets is the same, and a seed holds the same identities out in every cell.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Self

import torch
from jinja2 import Environment
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.disk import replace_file
from model.errors import RecipeError
from model.training import charts
from model.training.backbones import build_backbone
from model.training.checkpoint import NAME as CHECKPOINT
from model.training.evaluation import Retrieval
from model.training.losses import build_loss
from model.training.recipe import Recipe, override, parse_toml, read_recipe

RESULTS = "results.jsonl"
STUDY_PAGE = "study.html"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Series(_Section):
    """One line of the plot, and the settings that make it, dotted as in `loss.form`."""

    name: str
    set: dict[str, object] = {}


class Point(_Section):
    """One place on the x axis, and the settings that make it."""

    x: float
    set: dict[str, object] = {}


class Study(_Section):
    """What is trained: every series at every point with every seed."""

    name: str
    description: str
    x_label: str = ""
    recipe: str
    seeds: tuple[int, ...] = Field(min_length=1)
    series: tuple[Series, ...] = Field(min_length=1)
    points: tuple[Point, ...] = Field((Point(x=0),), min_length=1)

    @model_validator(mode="after")
    def _trainings_are_apart(self) -> Self:
        """Two of one name would share a folder and a result: the second would be shown without being trained."""
        for what, names in (
            ("seeds", [str(seed) for seed in self.seeds]),
            ("series", [series.name for series in self.series]),
            ("points", [f"{point.x:g}" for point in self.points]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} is there more than once; give each a name of its own")
        return self


@dataclass(frozen=True)
class Cell:
    """One training of a study."""

    series: str
    x: float
    seed: int

    @property
    def folder(self) -> str:
        """Where in the study's folder it trains."""
        return f"{self.series}/{self.x:g}/{self.seed}"


@dataclass(frozen=True)
class Result:
    """What a cell came to, in percent, and a hash of the recipe that it was trained by and of the data.

    Results of before the data was noted have no hash of it.
    """

    recipe: str
    rank1: float
    mAP: float
    mINP: float
    data: str = ""


@dataclass(frozen=True)
class Summary:
    """One series at one point: mean and standard deviation of mAP and rank-1 over the seeds, in percent."""

    series: str
    x: float
    seeds: int
    mAP: float
    mAP_deviation: float
    rank1: float
    rank1_deviation: float


Train = Callable[[Recipe, Path], Retrieval]


def bundled_studies() -> list[str]:
    """Return the names of the studies that come with the package."""
    folder = resources.files("model.training") / "studies"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def read_study(name: str) -> Study:
    """Read a bundled study by name, or one from a TOML file; raise `RecipeError` when it is not one."""
    bundled = resources.files("model.training") / "studies" / f"{name}.toml"
    path = bundled if name in bundled_studies() else Path(name)
    if not path.is_file():
        raise RecipeError(f"expected a study out of {', '.join(bundled_studies())} or a TOML file, found {name}")
    return parse_toml(Study, f"study {name}", path.read_text(encoding="utf-8"))


def cells(study: Study) -> Iterator[tuple[Cell, Recipe]]:
    """Give every training with its recipe, seed by seed, so that a study cut short has whole comparisons.

    Raises `RecipeError` for a setting that the recipe does not have.
    """
    base = read_recipe(study.recipe)
    for seed in study.seeds:
        for point in study.points:
            for series in study.series:
                changes = {**series.set, **point.set, "seed": seed, "name": f"{study.name} {series.name} {point.x:g}"}
                yield Cell(series.name, point.x, seed), override(base, changes)


def run_study(study: Study, out: Path, train: Train, *, data: str) -> list[Summary]:
    """Train what is not done yet, and write page and results; a study that was stopped goes on where it was.

    A cell's checkpoint is removed when its result is on the disk. `data` is the hash of the training images. Raises
    `RecipeError` for a cell that is there and was trained by another recipe or on other images.
    """
    plan = list(cells(study))  # every recipe is checked before the first hour is spent
    require_buildable([recipe for _, recipe in plan])
    out.mkdir(parents=True, exist_ok=True)
    done = read_results(out)
    _require_same(plan, done, data, out)
    for cell, recipe in plan:
        if cell in done:
            continue
        folder = out / cell.folder
        done[cell] = _result(recipe, train(recipe, folder), data)
        _note(out / RESULTS, json.dumps({**asdict(cell), **asdict(done[cell])}))
        (folder / CHECKPOINT).unlink(missing_ok=True)
        write_page(study, summarise(study, done), out / STUDY_PAGE)
    return summarise(study, done)


def read_results(out: Path) -> dict[Cell, Result]:
    """Return what every cell that is done came to; a line that was cut off counts as not done."""
    path = out / RESULTS
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        cell = Cell(row.pop("series"), row.pop("x"), row.pop("seed"))
        found[cell] = Result(**row)
    return found


def summarise(study: Study, done: Mapping[Cell, Result]) -> list[Summary]:
    """Return mean and deviation of each series at each point that has a result."""
    rows = []
    for series in study.series:
        for point in study.points:
            found = [done[cell] for seed in study.seeds if (cell := Cell(series.name, point.x, seed)) in done]
            if found:
                rows.append(_summary(series.name, point.x, found))
    return rows


def write_page(study: Study, rows: list[Summary], path: Path) -> None:
    """Write table and plot to one HTML page."""
    template = Environment(autoescape=True).from_string(
        (resources.files("model.training") / "study.html").read_text(encoding="utf-8")
    )
    bars = {
        series.name: [(row.x, row.mAP, row.mAP_deviation) for row in rows if row.series == series.name]
        for series in study.series
    }
    plot = charts.error_bars(bars, study.x_label, "held-out mAP, %")
    replace_file(path, template.render(study=study, rows=rows, plot=plot).encode())


def require_buildable(recipes: Sequence[Recipe]) -> None:
    """Raise `RecipeError` for a loss or a backbone that cannot be made; no memory is taken for them."""
    for loss in {repr(recipe.loss): recipe.loss for recipe in recipes}.values():
        build_loss(loss)
    with torch.device("meta"):
        for network in {repr(recipe.network): recipe.network for recipe in recipes}.values():
            build_backbone(network)


def _require_same(plan: list[tuple[Cell, Recipe]], done: Mapping[Cell, Result], data: str, out: Path) -> None:
    for cell, recipe in plan:
        if cell in done and done[cell].data not in ("", data):
            raise RecipeError(
                f"expected {out} to be empty or a study on the same data, found {cell.folder} trained on other images: "
                "give that data, or another folder as --out"
            )
        if cell in done and done[cell].recipe != fingerprint(recipe):
            raise RecipeError(
                f"expected {out} to be empty or a study by the same recipe, found {cell.folder} trained by another: "
                "give another folder as --out"
            )


def fingerprint(recipe: Recipe) -> str:
    """Hash what a training depends on, which its name is not, nor what is said of it.

    A setting that came later is left out where it has the value that the results of before were made by.
    """
    left_out: dict[str, bool | set[str]] = {"name": True, "description": True}
    if recipe.network.embedding == "neck":
        left_out["network"] = {"embedding"}
    return hashlib.sha256(recipe.model_dump_json(exclude=left_out).encode()).hexdigest()[:16]


def _note(path: Path, line: str) -> None:
    """Add a line to the results, below one that was cut off: on it, both would be lost."""
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + line + "\n")


def _result(recipe: Recipe, found: Retrieval, data: str) -> Result:
    return Result(fingerprint(recipe), 100 * found.rank(1), 100 * found.mAP, 100 * found.mINP, data)


def _summary(series: str, x: float, found: list[Result]) -> Summary:
    mAP, rank1 = [row.mAP for row in found], [row.rank1 for row in found]
    return Summary(series, x, len(found), *_mean_and_deviation(mAP), *_mean_and_deviation(rank1))


def _mean_and_deviation(values: list[float]) -> tuple[float, float]:
    """Return the mean, and the sample standard deviation, which one value does not have: then 0."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
