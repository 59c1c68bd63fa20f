"""The verbs of the command line that make training runs and work on them."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from model.card import VERSION_PATTERN
from model.errors import RecipeError
from model.registry import Registry
from model.training.checkpoint import require_run
from model.training.compare import FIGURES, against_first, read_runs, write_comparison
from model.training.datasets.reading import AUTO, read_dataset
from model.training.difference import Difference
from model.training.evaluate import WHITE_BALANCE
from model.training.evaluation import Retrieval
from model.training.interpolate import Line
from model.training.options import (
    CacheOption,
    DataOption,
    DatasetOption,
    DeviceOption,
    RegistryOption,
    WeightsOption,
    choose_device,
)
from model.training.parallel import joined, share
from model.training.recipe import Recipe, bundled_recipes, differing, override, parse_settings, read_recipe
from model.training.report import REPORT
from model.training.study import STUDY_PAGE, bundled_studies, read_study, run_study
from model.training.telling import next_step, tell_progress
from model.training.train import train as run_training


def train(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="the run's folder; a run found there goes on where it was")],
    registry: RegistryOption,
    recipe: Annotated[str, typer.Option(help=f"{', '.join(bundled_recipes())}, or a TOML file")] = "cpu",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="change a setting of the recipe, such as loss.alpha=5"),
    ] = None,
    weights: WeightsOption = None,
    teacher: Annotated[
        str | None, typer.Option(help="for a recipe that distils: a version such as mine@1, or a run's folder")
    ] = None,
    cache: CacheOption = None,
    mlflow: Annotated[
        str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="also record the run on this MLflow server")
    ] = None,
    device: DeviceOption = "",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the held-out metrics as JSON")] = False,
) -> None:
    """Train a network with the HAP2S loss.

    On several GPUs or machines: torchrun --nproc-per-node 2 -m app.cli train …
    """
    tell_progress()
    plan = override(read_recipe(recipe), parse_settings(settings or ()))
    begin = find_weights(weights, registry)
    device = choose_device(device)
    images = read_dataset(data, dataset)
    with joined(device):
        result = run_training(
            plan,
            images,
            out,
            weights=begin,
            device=device,
            teacher=find_weights(teacher, registry),
            cache=cache,
            mlflow=mlflow,
        )
        if not share().first:
            return
    metrics = {"rank1": result.rank(1), "mAP": result.mAP, "mINP": result.mINP}
    if json_output:
        typer.echo(json.dumps(metrics))
    else:
        figures = "  ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        typer.echo(f"held-out identities: {figures}\nreport: {out / REPORT}")
        _tell_next(out, data, dataset)


def study(
    plan: Annotated[str, typer.Argument(help=f"{', '.join(bundled_studies())}, or a TOML file")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="the study's folder; one found there goes on where it was")],
    registry: RegistryOption,
    recipe: Annotated[str, typer.Option(help="the common set-up, instead of the study's own")] = "",
    weights: WeightsOption = None,
    cache: CacheOption = None,
    device: DeviceOption = "",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Train one set-up many times with one thing changed, over several seeds, and plot what it makes of it."""
    tell_progress()
    asked = read_study(plan)
    found = find_weights(weights, registry)
    device = choose_device(device)
    images = read_dataset(data, dataset)

    def train_cell(recipe: Recipe, folder: Path) -> Retrieval:
        return run_training(recipe, images, folder, weights=found, device=device, cache=cache)

    found_plan = asked.model_copy(update={"recipe": recipe or asked.recipe})
    rows = run_study(found_plan, out, train_cell, data=images.require("train").sha256())
    if json_output:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    table = Table("", "x", "mAP", "rank-1", "seeds")
    for row in rows:
        figures = (f"{row.mAP:.1f} ± {row.mAP_deviation:.1f}", f"{row.rank1:.1f} ± {row.rank1_deviation:.1f}")
        table.add_row(row.series, f"{row.x:g}", *figures, str(row.seeds))
    Console(markup=False).print(table)
    typer.echo(f"page: {out / STUDY_PAGE}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="two training runs' folders or more")],
    out: Annotated[Path | None, typer.Option(help="also write an HTML page with the curves")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Put training runs side by side: their held-out figures, and what differs in their recipes.

    In brackets is the 95 % interval of a difference: where it holds 0, neither run is shown to be better.
    """
    found = read_runs(runs)
    if out is not None:
        write_comparison(found, out)
    gains = against_first(found)
    if json_output:
        rows = [
            {"run": run.name, "epoch": run.last.epoch, **run.last.values, **_told("difference", gain)}
            for run, gain in zip(found, gains, strict=True)
        ]
        typer.echo(json.dumps({"runs": rows, "differences": differing([run.recipe for run in found])}))
        return
    table = Table("", *(run.name for run in found))
    for figure in FIGURES:
        table.add_row(figure, *(f"{100 * run.last.values[figure]:.1f}" for run in found))
    table.add_row(f"mAP over {found[0].name}", "–", *map(str, gains[1:]))
    for name, values in differing([run.recipe for run in found]).items():
        table.add_row(name, *values)
    Console(markup=False).print(table)


def interpolate(
    first: Annotated[Path, typer.Argument(help="a run's folder")],
    second: Annotated[Path, typer.Argument(help="the folder of a run that began from it: reid train --weights FIRST")],
    data: DataOption,
    part: Annotated[
        float | None,
        typer.Option("--share", min=0, max=1, help="of SECOND's weights; default: a table of eleven shares"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="with --share: the new run's folder, to export")] = None,
    cache: CacheOption = None,
    device: DeviceOption = "",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure the weights between two runs on the held-out people, or write those of one share as a run of its own.

    Where SECOND learnt something new and lost of what FIRST could, what lies between keeps most of both. In brackets is
    the 95 % interval of a difference: a share where it holds 0 is not shown to be worse than the best.
    """
    tell_progress()
    if (part is None) != (out is None):
        raise RecipeError("expected --share and --out together, or neither to see what each share is worth")
    for run in (first, second):
        require_run(run)
    device = choose_device(device)
    line = Line.read(first, second, read_dataset(data, dataset), device=device, cache=cache)
    rows = list(line.measure([part] if part is not None else [tenth / 10 for tenth in range(11)]))
    if part is not None and out is not None:
        line.write(part, out)
    plain = line.against_best([row.plain for row in rows])
    balanced = line.against_best([row.balanced for row in rows])
    if json_output:
        content = [
            {
                "share": row.share,
                "mAP": row.plain.mAP,
                "rank1": row.plain.rank(1),
                "white_balance_mAP": row.balanced.mAP,
                **_told("difference", to_best),
                **_told("white_balance_difference", balanced_to_best),
            }
            for row, to_best, balanced_to_best in zip(rows, plain, balanced, strict=True)
        ]
        typer.echo(json.dumps(content))
        return
    names = ("share", "rank-1", "mINP", "mAP", "to the best", f"mAP, {WHITE_BALANCE}", "to the best")
    table = Table(*(Column(name, no_wrap=name == "to the best") for name in names), box=None)
    for row, to_best, balanced_to_best in zip(rows, plain, balanced, strict=True):
        *figures, shifted = (row.plain.rank(1), row.plain.mINP, row.plain.mAP, row.balanced.mAP)
        shown = (f"{100 * value:.1f}" for value in figures)
        table.add_row(f"{row.share:g}", *shown, str(to_best), f"{100 * shifted:.1f}", str(balanced_to_best))
    Console(markup=False).print(table)
    if out is not None:
        _tell_next(out, data, dataset)


def _tell_next(run: Path, data: Path, dataset: str) -> None:
    named = () if dataset == AUTO else ("--dataset", dataset)
    typer.echo(next_step("reid", "export", "--run", run, "--data", data, *named, "--out", f"{run}-export"))


def _told(name: str, found: Difference | str) -> dict[str, object]:
    """Return a difference for JSON, or under another name why there is none."""
    return {name: asdict(found)} if isinstance(found, Difference) else {f"no_{name}": found}


def find_weights(weights: str | None, registry: Path) -> Path | None:
    """Return where the weights lie that are named by path or by version; raise `RegistryError` as the registry does."""
    if weights is None or Path(weights).exists() or not re.fullmatch(VERSION_PATTERN, weights):
        return None if weights is None else Path(weights)
    return Registry(registry).weights(weights)
