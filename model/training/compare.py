"""Training runs side by side: what differs in their recipes, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment

from model.errors import RecipeError
from model.training import charts
from model.training.checkpoint import load_checkpoint
from model.training.difference import Difference, difference
from model.training.journal import Row, read_history
from model.training.recipe import Recipe, differing

FIGURES = ("rank1", "mAP", "mINP")


@dataclass(frozen=True)
class Run:
    """One run's name, recipe, and validations in the order of their steps."""

    name: str
    recipe: Recipe
    validations: tuple[Row, ...]

    @property
    def last(self) -> Row:
        """Return the newest validation."""
        return self.validations[-1]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read runs' recipes and histories, each under a name of its own.

    Raises `RecipeError` for fewer than two, a folder that is no run, or one that was not validated yet.
    """
    if len(folders) < 2:
        raise RecipeError(f"expected two runs or more to compare, found {len(folders)}")
    return [_read(folder, name) for folder, name in zip(folders, names_apart(folders), strict=True)]


def names_apart(folders: Sequence[Path]) -> list[str]:
    """Return the folders' last parts, as many as tell them apart; raise `RecipeError` where one is given twice."""
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise RecipeError(f"expected runs that differ, found {', '.join(map(str, folders))}")
    depth = 1
    while len(names := ["/".join(path.parts[-depth:]) for path in resolved]) > len(set(names)):
        depth += 1
    return names


def against_first(runs: Sequence[Run]) -> list[Difference | str]:
    """Return by how much each run's mAP is over the first one's, or why that is not known."""
    return [difference(run.last.people, runs[0].last.people) for run in runs]


def write_comparison(runs: Sequence[Run], path: Path) -> None:
    """Write the runs to one HTML page."""
    template = Environment(autoescape=True).from_string(
        (resources.files("model.training") / "compare.html").read_text(encoding="utf-8")
    )
    curves = [
        charts.lines({run.name: _curve(run, figure) for run in runs}, "epoch", f"held-out {figure}, %")
        for figure in FIGURES
    ]
    changed = differing([run.recipe for run in runs])
    page = template.render(runs=runs, figures=FIGURES, gains=against_first(runs), differences=changed, curves=curves)
    path.write_text(page, encoding="utf-8")


def _read(folder: Path, name: str) -> Run:
    validations = tuple(row for row in read_history(folder) if row.kind == "validation")
    if not validations:
        raise RecipeError(f"expected a run with a validation in {folder}, found none yet; let it train on")
    return Run(name, load_checkpoint(folder).recipe, validations)


def _curve(run: Run, figure: str) -> tuple[list[float], list[float]]:
    return [row.epoch for row in run.validations], [100 * row.values[figure] for row in run.validations]
