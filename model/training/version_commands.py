"""The verbs of the command line that make model versions and measure by them."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.card import CARD_NAME, FILES, VERSION_PATTERN, Metrics, Precision, read_card
from model.errors import DatasetError, RecipeError
from model.labels import find_suspects
from model.registry import Registry, check_hash
from model.runtime import Embedder
from model.training.checkpoint import NAME as CHECKPOINT
from model.training.checkpoint import require_run
from model.training.class_retrieval import PROTOCOL as CLASSES
from model.training.class_retrieval import ClassRetrieval
from model.training.datasets.reading import AUTO, read_dataset
from model.training.embedding import embed_images
from model.training.evaluate import Variants, as_metrics, evaluate_retrieval_set, evaluate_variants
from model.training.export import Running
from model.training.export import export as run_export
from model.training.options import DataOption, DatasetOption, ModelOption, RegistryOption
from model.training.recipe import EmbeddingKind
from model.training.suspects import write_list, write_sheet
from model.training.telling import next_step, tell_progress


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
    variants = Variants(
        flip=flip, white_balance=white_balance, rerank=rerank, multi_query=multi_query, single_shot=single_shot
    )
    if images.protocol == "retrieval":
        require_plain(variants, images.name)
        print_classes(embedder.version, images.name, evaluate_retrieval_set(embedder, images), json_output=json_output)
        return
    if images.protocol == "single-shot":
        variants = replace(variants, single_shot=True)
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
    fp32_only: Annotated[
        bool, typer.Option("--fp32-only", help="make no int8 file, where it loses too much or the GPU serves")
    ] = False,
    with_weights: Annotated[
        bool | None,
        typer.Option(
            "--with-weights/--without-weights",
            help="put the weights in that `reid train --weights VERSION` goes on from; default: where fp32 is kept",
        ),
    ] = None,
    embedding: Annotated[
        EmbeddingKind | None, typer.Option(help="instead of the recipe's: whitened, neck or feature; see `reid recipe`")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="also measure this version on the data, for `reid models check`; active, none or a name")
    ] = "active",
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print the card")] = False,
) -> None:
    """Export a run to ONNX, fp32 and int8, with parity, thresholds and figures in its card."""
    tell_progress()
    if int8_only and fp32_only:
        raise RecipeError("expected --int8-only or --fp32-only, found both: without either, both files are kept")
    keep: tuple[Precision, ...] = ("int8",) if int8_only else ("fp32",) if fp32_only else ("int8", "fp32")
    version = version or next_version(run, registry)
    require_run(run)
    measured_beside = find_baseline(baseline, registry)
    images = read_dataset(data, dataset)
    card = run_export(
        run,
        images,
        out,
        version=version,
        terms=terms,
        command=this_command(),
        keep=keep,
        weights=with_weights,
        baseline=measured_beside,
        embedding=embedding,
    )
    if json_output:
        typer.echo(card.model_dump_json())
    else:
        print_metrics(f"{version} on {images.name}", card.metrics)
        if card.baseline is not None:
            print_metrics(f"{card.baseline.version} on {images.name}", card.baseline.metrics)
        typer.echo(next_step("reid", "models", "import", out))


def audit(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="an HTML page to look at; a CSV file is written beside it")],
    registry: RegistryOption,
    model: ModelOption = "",
    limit: Annotated[int, typer.Option(min=1, help="images listed at most")] = 200,
    dataset: DatasetOption = AUTO,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List likely wrong labels of training images, with a sheet of pictures to look at.

    Those of a gallery are listed by reid gallery suspects. What was deleted from one is another matter: reid gallery
    audit.
    """
    tell_progress()
    require_page(out)
    embedder, _ = open_version(model, registry, None)
    images = read_dataset(data, dataset).require("train")
    embedded = embed_images(embedder, images)
    found = find_suspects(embedded.embeddings, embedded.identities, limit=len(images))
    suspects = found[:limit]
    write_sheet(suspects, images, out, found=len(found))
    write_list(suspects, images, out.with_suffix(".csv"))
    if json_output:
        rows = [{"path": str(images.paths[each.index]), **asdict(each)} for each in suspects]
        typer.echo(json.dumps({"images": len(images), "found": len(found), "suspects": rows}))
    else:
        listed = f"the worst {limit} are in " if len(found) > limit else ""
        typer.echo(f"{len(found)} of {len(images)} images look like another identity: {listed}{out}")


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


def require_plain(variants: Variants, dataset: str) -> None:
    """Raise `DatasetError` for variants of a data set without cameras, which is measured in one way only."""
    asked = [f"--{name.replace('_', '-')}" for name, wanted in asdict(variants).items() if wanted]
    if asked:
        raise DatasetError(f"expected a data set with cameras for {', '.join(asked)}, found none in {dataset}")


def require_page(out: Path) -> None:
    """Make the folder of a page before anything is computed for it; raise `DatasetError` where none can be written."""
    if out.is_dir() or out.suffix.lower() == ".csv":  # the list is beside it, under the page's name and .csv
        raise DatasetError(f"expected an HTML page as --out, such as audit.html, found {out}")
    out.parent.mkdir(parents=True, exist_ok=True)


def find_baseline(baseline: str, registry: Path) -> Running | None:
    """Open the version that an exported one is measured beside: a named one, the active one, or none."""
    return (
        None if baseline == "none" else Running(*open_version("" if baseline == "active" else baseline, registry, None))
    )


def open_version(model: str, registry: Path, precision: Precision | None) -> tuple[Embedder, Precision]:
    """Open a version by name, by folder or the active one; return it with the precision that it computes in."""
    if Path(model, CARD_NAME).is_file() and model:
        card = read_card(Path(model, CARD_NAME))
        found = card.precision(precision)
        path = Path(model, FILES[found])
        check_hash(path, card.files[path.name], card.version)
        return Embedder(path, card.input, card.output, card.version), found
    if Path(model, CHECKPOINT).is_file() and model:
        raise RecipeError(f"{model} is a training run: make a version of it by reid export, and give that one's folder")
    versions = Registry(registry)
    version = model or versions.active()
    return versions.open(version, precision=precision), versions.card(version).precision(precision)


def print_metrics(title: str, rows: Sequence[Metrics]) -> None:
    """Print figures as a table, and below it the protocols that its rows name by number."""
    skipped = any(row.skipped for row in rows)  # queries without a right answer, which seldom are
    headings = ["", "precision", "rank-1", "rank-5", "rank-10", "mAP", "mINP", "queries", *["skipped"] * skipped]
    table = Table(*headings, "gallery", box=None)  # lines between them would cut words off in a narrow window
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    for row in rows:
        figures = (f"{value:.1f}" for value in (row.rank1, row.rank5, row.rank10, row.mAP, row.mINP))
        number = protocols.index(row.protocol) + 1
        counts = (row.queries, *[row.skipped] * skipped, row.gallery)
        table.add_row(str(number), row.precision, *figures, *map(str, counts))
    console = Console(markup=False)
    console.print(title, table)
    for number, protocol in enumerate(protocols, start=1):
        console.print(f"{number}  {protocol}", soft_wrap=True, highlight=False)


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
    Console(markup=False).print(f"{version} on {dataset}", table)
    Console().print(CLASSES, highlight=False)


def this_command() -> str:
    """Return the command line that is running, without its paths' folders."""
    return " ".join(["reid", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
