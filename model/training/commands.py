"""The verbs of the command line that need torch."""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from model.card import CARD_NAME, FILES, VERSION_PATTERN, Metrics, Precision, read_card
from model.errors import RecipeError
from model.labels import find_suspects
from model.registry import Registry
from model.runtime import Embedder
from model.training.audit import write_list, write_sheet
from model.training.class_retrieval import PROTOCOL as CLASSES
from model.training.class_retrieval import ClassRetrieval
from model.training.compare import FIGURES, differences, read_runs, write_comparison
from model.training.datasets.reading import AUTO, NAMES, read_dataset
from model.training.embedding import embed_images
from model.training.evaluate import Variants, as_metrics, evaluate_retrieval_set, evaluate_variants
from model.training.evaluation import Retrieval
from model.training.export import Running
from model.training.export import export as run_export
from model.training.parallel import joined, share
from model.training.recipe import Recipe, bundled_recipes, override, parse_settings, read_recipe
from model.training.report import REPORT
from model.training.study import STUDY_PAGE, bundled_studies, read_study, run_study
from model.training.telling import tell_progress
from model.training.train import train as run_training

DataOption = Annotated[Path, typer.Option(help="the data set: its folder, or a CSV manifest")]
DatasetOption = Annotated[str, typer.Option(help=f"{', '.join(NAMES)}; name:N is the N-th of several splits")]
ModelOption = Annotated[str, typer.Option(help="a version such as mine@1, or its folder; default: the active one")]
RegistryOption = Annotated[
    Path,
    typer.Option(
        envvar="REID_REGISTRY_DIR",
        default_factory=lambda: Path(os.environ.get("REID_DATA_DIR", "data"), "models"),
        show_default="models in REID_DATA_DIR",
        help="where versions are registered",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="ImageNet weights, or what to start from: a version such as mine@1, or a run's or version's folder; "
        "default: torchvision's download"
    ),
]
CacheOption = Annotated[
    Path | None, typer.Option(envvar="REID_PICTURE_CACHE", help="keep decoded pictures in this folder for other runs")
]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda; the default is cuda where there is one")]


def default_device() -> str:
    """Return the fastest device there is."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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
    teacher: Annotated[Path | None, typer.Option(help="the teacher's run folder, for a recipe that distils")] = None,
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
    images = read_dataset(data, dataset)
    device = device or default_device()
    with joined(device):
        result = run_training(
            plan,
            images,
            out,
            weights=find_weights(weights, registry),
            device=device,
            teacher=teacher,
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
        typer.echo(f"next: reid export --run {out} --data {data} --out {out}-export")


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
    images = read_dataset(data, dataset)
    found = find_weights(weights, registry)

    def train_cell(recipe: Recipe, folder: Path) -> Retrieval:
        return run_training(recipe, images, folder, weights=found, device=device or default_device(), cache=cache)

    asked = read_study(plan)
    rows = run_study(asked.model_copy(update={"recipe": recipe or asked.recipe}), out, train_cell)
    if json_output:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    table = Table("", "x", "mAP", "rank-1", "seeds")
    for row in rows:
        figures = (f"{row.mAP:.1f} ± {row.mAP_deviation:.1f}", f"{row.rank1:.1f} ± {row.rank1_deviation:.1f}")
        table.add_row(row.series, f"{row.x:g}", *figures, str(row.seeds))
    Console().print(table)
    typer.echo(f"page: {out / STUDY_PAGE}")


def evaluate(
    data: DataOption,
    registry: RegistryOption,
    model: ModelOption = "",
    precision: Annotated[Precision | None, typer.Option(help="int8 or fp32; default: the one that is served")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="also with embeddings averaged with the mirror image's")] = False,
    white_balance: Annotated[
        bool, typer.Option("--white-balance", help="also with each camera's red, green and blue up to a fifth off")
    ] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="also with k-reciprocal re-ranking")] = False,
    multi_query: Annotated[bool, typer.Option("--multi-query", help="also with queries pooled by camera")] = False,
    single_shot: Annotated[
        bool, typer.Option("--single-shot", help="also with one gallery image per identity")
    ] = False,
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Measure rank-1, mAP and mINP of a model version on a data set's test split, a row per variant.

    A data set without cameras is measured by Recall@K, NMI and F1 instead.
    """
    tell_progress()
    embedder, found = open_version(model, registry, precision)
    images = read_dataset(data, dataset)
    if images.protocol == "retrieval":
        print_classes(embedder.version, images.name, evaluate_retrieval_set(embedder, images), json_output=json_output)
        return
    single_shot = single_shot or images.protocol == "single-shot"
    variants = Variants(
        flip=flip, white_balance=white_balance, rerank=rerank, multi_query=multi_query, single_shot=single_shot
    )
    metrics = [
        as_metrics(row.result, precision=found, command=this_command(), protocol=row.protocol)
        for row in evaluate_variants(embedder, images, variants)
    ]
    if json_output:
        typer.echo(json.dumps({"version": embedder.version, "metrics": [row.model_dump() for row in metrics]}))
    else:
        print_metrics(f"{embedder.version} on {images.name}", metrics)


def export(
    run: Annotated[Path, typer.Option(help="a training run's folder")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="the version's new folder; then `reid models import` it")],
    registry: RegistryOption,
    version: Annotated[
        str, typer.Option(help="name@number; default: the run's name and its next number", metavar="NAME@N")
    ] = "",
    terms: Annotated[
        str, typer.Option(help="terms of use, beside those of the data")
    ] = "Weights: as their source says.",
    int8_only: Annotated[
        bool, typer.Option("--int8-only", help="keep no fp32 file, which is four times as large; its figures stay")
    ] = False,
    with_weights: Annotated[
        bool | None,
        typer.Option(
            "--with-weights/--without-weights",
            help="put the weights in that `reid train --weights VERSION` goes on from; default: where fp32 is kept",
        ),
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="also measure this version on the data, for `reid models check`; active, none or a name")
    ] = "active",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the card")] = False,
) -> None:
    """Export a run to ONNX, fp32 and int8, with parity, thresholds and figures in its card."""
    tell_progress()
    version = version or next_version(run, registry)
    images = read_dataset(data, dataset)
    keep: tuple[Precision, ...] = ("int8",) if int8_only else ("int8", "fp32")
    card = run_export(
        run,
        images,
        out,
        version=version,
        terms=terms,
        command=this_command(),
        keep=keep,
        weights=with_weights,
        baseline=find_baseline(baseline, registry),
    )
    if json_output:
        typer.echo(card.model_dump_json())
    else:
        print_metrics(f"{version} on {images.name}", card.metrics)
        if card.baseline is not None:
            print_metrics(f"{card.baseline.version} on {images.name}", card.baseline.metrics)
        typer.echo(f"next: reid models import {out}")


def audit(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="an HTML page to look at; a CSV file is written beside it")],
    registry: RegistryOption,
    model: ModelOption = "",
    limit: Annotated[int, typer.Option(min=1, help="images listed at most")] = 200,
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List a data set's likely wrong labels, with a sheet of pictures to look at."""
    tell_progress()
    embedder, _ = open_version(model, registry, None)
    images = read_dataset(data, dataset).require("train")
    embedded = embed_images(embedder, images)
    suspects = find_suspects(embedded.embeddings, embedded.identities, limit=limit)
    write_sheet(suspects, images, out)
    write_list(suspects, images, out.with_suffix(".csv"))
    if json_output:
        rows = [{"path": str(images.paths[each.index]), **asdict(each)} for each in suspects]
        typer.echo(json.dumps({"images": len(images), "suspects": rows}))
    else:
        typer.echo(f"{len(suspects)} of {len(images)} images look like another identity: {out}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="two training runs' folders or more")],
    out: Annotated[Path | None, typer.Option(help="also write an HTML page with the curves")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Put training runs side by side: their held-out figures, and what differs in their recipes."""
    found = read_runs(runs)
    if out is not None:
        write_comparison(found, out)
    if json_output:
        rows = [{"run": run.name, "epoch": run.last.epoch, **run.last.values} for run in found]
        typer.echo(json.dumps({"runs": rows, "differences": differences(found)}))
        return
    table = Table("", *(run.name for run in found))
    for figure in FIGURES:
        table.add_row(figure, *(f"{100 * run.last.values[figure]:.1f}" for run in found))
    for name, values in differences(found).items():
        table.add_row(name, *values)
    Console().print(table)


def find_weights(weights: str | None, registry: Path) -> Path | None:
    """Return where the weights lie that are named by path or by version; raise `RegistryError` as the registry does."""
    if weights is None or Path(weights).exists() or not re.fullmatch(VERSION_PATTERN, weights):
        return None if weights is None else Path(weights)
    return Registry(registry).weights(weights)


def next_version(run: Path, registry: Path) -> str:
    """Return the version of a run's name after those that are registered; raise `RecipeError` when it is no name."""
    name = run.resolve().name
    numbers = [
        int(number)
        for known, _, number in (each.partition("@") for each in Registry(registry).versions())
        if known == name
    ]
    version = f"{name}@{max(numbers, default=0) + 1}"
    if not re.fullmatch(VERSION_PATTERN, version):
        raise RecipeError(
            f"{name!r} cannot be a version's name, of small letters, digits, . _ and -: give one as --version"
        )
    return version


def find_baseline(baseline: str, registry: Path) -> Running | None:
    """Open the version that an exported one is measured beside: a named one, the active one, or none."""
    return (
        None if baseline == "none" else Running(*open_version("" if baseline == "active" else baseline, registry, None))
    )


def open_version(model: str, registry: Path, precision: Precision | None) -> tuple[Embedder, Precision]:
    """Open a version by name, by folder or the active one; return it with the precision that it computes in."""
    if Path(model, CARD_NAME).is_file() and model:
        card, found = read_card(Path(model, CARD_NAME)), precision or "int8"
        path = Path(model, FILES[found])
        return Embedder(path, card.input, card.output, card.version), found
    versions = Registry(registry)
    version = model or versions.active()
    path = versions.file(version, precision)
    return versions.open(version, precision=precision), "int8" if path.name == FILES["int8"] else "fp32"


def print_metrics(title: str, rows: Sequence[Metrics]) -> None:
    """Print figures as a table, and below it the protocols that its rows name by number."""
    headings = ("", "precision", "rank-1", "rank-5", "rank-10", "mAP", "mINP", "queries", "gallery")
    table = Table(*headings, box=None)  # lines between them would cut words off in a narrow window
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    for row in rows:
        figures = (f"{value:.1f}" for value in (row.rank1, row.rank5, row.rank10, row.mAP, row.mINP))
        number = protocols.index(row.protocol) + 1
        table.add_row(str(number), row.precision, *figures, str(row.queries), str(row.gallery))
    console = Console()
    console.print(title, table)
    for number, protocol in enumerate(protocols, start=1):
        console.print(f"{number}  {protocol}", soft_wrap=True, markup=False, highlight=False)


def print_classes(version: str, dataset: str, result: ClassRetrieval, *, json_output: bool) -> None:
    """Print what a model is worth on a data set without cameras, in percent."""
    figures = {f"recall@{k}": 100 * value for k, value in result.recall.items()}
    figures |= {"nmi": 100 * result.nmi, "f1": 100 * result.f1}
    if json_output:
        counts = {"queries": result.queries, "skipped": result.skipped, "classes": result.classes}
        typer.echo(json.dumps({"version": version, "protocol": CLASSES, **figures, **counts}))
        return
    table = Table(*figures, "queries", "classes")
    table.add_row(*(f"{value:.1f}" for value in figures.values()), str(result.queries), str(result.classes))
    Console().print(f"{version} on {dataset}", table)
    Console().print(CLASSES, highlight=False)


def this_command() -> str:
    """Return the command line that is running, without its paths' folders."""
    return " ".join(["reid", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
