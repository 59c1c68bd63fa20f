"""`reid models`: the versions of the registry."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from app.activation import Wish
from app.cli.card import show_card
from app.cli.data_folder import settings_here
from app.cli.migrations import move
from app.cli.options import Json
from app.cli.promotion import CheckSet, Force, Margin, caller
from app.cli.recalibration import recalibrate
from app.cli.tables import print_table, table
from app.cli.words import count
from app.engine import active_version, open_engine
from app.settings import Settings, load_settings
from index.migration import Migration, State
from index.versions import VersionUse, versions_in_use
from model.card import Card
from model.comparison import Row, compare
from model.promotion import MARGIN, check_promotion
from model.registry import Registry, sha256

_HASH_SHOWN = 16
_HELP = """The model versions of the registry: what there is, what it is worth, and which one serves.

A version is NAME@N: a card, its ONNX files, and for training its weights. It never changes after it was imported.
"""

models = typer.Typer(name="models", no_args_is_help=True, help=_HELP)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A version such as market1501@1.")]
Mlflow = Annotated[
    str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="The MLflow server's address. Needs the mlflow extra.")
]

models.command()(recalibrate)


@models.command("list")
def list_versions(as_json: Json = False) -> None:
    """List the versions; the active one is marked."""
    registry, active = _open()
    cards = [registry.card(version) for version in registry.versions()]
    if as_json:
        items = [_item(card, active) for card in cards]
        typer.echo(json.dumps({"active": active, "items": items}))
        return
    figures = ("input", "dim", "rank-1", "mAP", "at 0.1 %", "precisions")
    rows = table("", "version", *figures, whole=figures)
    for card in cards:
        rows.add_row("*" if card.version == active else "", *_row(card))
    print_table(rows)


@models.command()
def show(version: Version, as_json: Json = False) -> None:
    """Show a version's card, and when it went live by whose word; --json has all of it."""
    registry, active = _open()
    card, promotions = registry.card(version), registry.promotions(version)
    if as_json:
        told = [each.model_dump(mode="json") for each in promotions]
        typer.echo(json.dumps(_item(card, active) | {"promotions": told}))
    else:
        show_card(card, active, promotions, Console())


@models.command()
def activate(
    version: Version,
    force: Force = False,
    margin: Margin = MARGIN,
    check_set: CheckSet = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out samples that cannot be embedded again, as without a picture.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move every gallery to a version: check it, embed the pictures again, compare, switch.

    A running service answers with the version before until then. The way back is kept until the migration is finalized.
    """
    with open_engine(settings_here()) as engine:
        moved = move(engine, Wish(version, caller(), force, leave_out, margin, check_set))
    told = f"{version} is active"
    if moved.state is State.SWITCHED:
        told += (
            f", {count(moved.total, 'sample')} moved; next: reid migrations finalize {moved.migration_id}"
            f", or the way back: reid migrations rollback {moved.migration_id}"
        )
        told = "\n".join([told, *_compared(moved)])
    _done({"active": version, "migration_id": moved.migration_id, "state": str(moved.state)}, told, as_json)


@models.command()
def check(version: Version, margin: Margin = MARGIN, check_set: CheckSet = None, as_json: Json = False) -> None:
    """Tell what speaks against activating a version in place of the active one; exit with 1 when anything does.

    It must have parity, calibration and metrics, and lose no more mAP than the margin on data that both were
    measured on.
    """
    registry, active = _open()
    reasons = check_promotion(registry, version, active, margin=margin, check_set=check_set)
    if as_json:
        typer.echo(json.dumps({"version": version, "active": active, "reasons": reasons}))
    elif reasons:
        typer.echo(f"{version} should not go live in place of {active}:")
        for reason in reasons:
            typer.echo(f"- {reason}")
    else:
        typer.echo(f"nothing speaks against {version} in place of {active}")
    if reasons:
        raise typer.Exit(1)


@models.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A version, such as the active one.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another version.")],
    everything: Annotated[bool, typer.Option("--all", help="Also print the settings that are the same.")] = False,
    as_json: Json = False,
) -> None:
    """Put two versions side by side: contract, recipe, data, metrics, thresholds, parity and files."""
    registry = _registry()
    rows = compare(registry.card(first), registry.card(second))
    if as_json:
        told = [{**asdict(row), "differs": row.differs} for row in rows]
        typer.echo(json.dumps({"first": first, "second": second, "rows": told}))
        return
    _print_rows(first, second, [row for row in rows if everything or row.differs or row.difference is not None])


@models.command("import")
def import_version(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|FILE", help="A version's folder, or the file that `export` wrote.")
    ],
    as_json: Json = False,
) -> None:
    """Take a version into the registry; its files are checked against its card and tried on a few drawn people."""
    _imported(_registry().import_version(source), as_json)


@models.command("export")
def export_version(
    version: Version,
    file: Annotated[Path, typer.Argument(help="A new file, such as mine-1.zip.")],
    as_json: Json = False,
) -> None:
    """Write a version as one file, which `import` takes; the same version gives the same bytes."""
    _registry().export_version(version, file)
    told = {"version": version, "file": str(file), "sha256": sha256(file), "bytes": file.stat().st_size}
    _done(
        told,
        f"{version} is in {file}, {file.stat().st_size / 1e6:.1f} MB; take it in with: reid models import {file}",
        as_json,
    )


@models.command()
def remove(version: Version, as_json: Json = False) -> None:
    """Remove a version and its files; not the active one, one that a gallery needs, or one of the package."""
    settings = load_settings()
    Registry(settings.registry_dir).remove(version, lambda: _needed(settings))
    _done({"removed": version}, f"removed {version}", as_json)


@models.command()
def push(version: Version, mlflow: Mlflow, as_json: Json = False) -> None:
    """Put a version into MLflow's model registry; one that is there already stays as it is."""
    from model.mlflow_registry import MlflowRegistry  # here, because mlflow is no part of a plain installation

    pushed = MlflowRegistry(mlflow).push(_registry(), version)
    state = "added as" if pushed.added else "there already as"
    _done(asdict(pushed), f"{version}: {state} version {pushed.number} of {pushed.name} in MLflow", as_json)


@models.command()
def pull(
    version: Annotated[
        str, typer.Argument(metavar="NAME[@N|@ALIAS]", help="A version, an alias of MLflow's, or the latest of a name.")
    ],
    mlflow: Mlflow,
    as_json: Json = False,
) -> None:
    """Take a version from MLflow's model registry into this one, checked as `import` does."""
    from model.mlflow_registry import MlflowRegistry  # here, because mlflow is no part of a plain installation

    _imported(MlflowRegistry(mlflow).pull(_registry(), version), as_json)


def _compared(moved: Migration) -> list[str]:
    """Say whose verdict another threshold changes: no reason to refuse the switch, but one to take it back."""
    verdicts = moved.validation.get("verdicts", {})
    if verdicts.get("match_in_both") is None:
        return []
    before, after = (verdicts["match_in_both"] + verdicts[only] for only in ("only_source", "only_target"))
    probes = moved.validation["probes"]
    return [
        f"of {count(probes, 'sample')} searched for, {before} had a match with {moved.source}, {after} have one now"
    ]


def _registry() -> Registry:
    return Registry(load_settings().registry_dir)


def _needed(settings: Settings) -> dict[str, str]:
    """Return what each version is needed for, by the settings and by the galleries."""
    needed = {use.version: _use(use) for use in versions_in_use(settings.database_url)}
    return needed if settings.model is None else {settings.model: "REID_MODEL names it", **needed}


def _use(use: VersionUse) -> str:
    if use.embeddings:
        return f"the galleries hold {count(use.embeddings, 'embedding')} of it"
    if use.migrating:
        return "the galleries are being moved; see reid migrations list"
    return "the galleries are served by it; activate another one first"


def _open() -> tuple[Registry, str]:
    settings: Settings = load_settings()
    registry = Registry(settings.registry_dir)
    return registry, active_version(settings, registry)


def _item(card: Card, active: str) -> dict[str, object]:
    return {"version": card.version, "active": card.version == active, "card": card.model_dump(mode="json")}


def _row(card: Card) -> list[Text]:
    metrics = card.metrics[-1] if card.metrics else None
    thresholds = card.calibration.thresholds if card.calibration else ()
    threshold = next((f"{each.threshold:.3f}" for each in thresholds if each.false_match_rate == 0.001), "–")
    cells = [
        card.version,
        f"{card.input.height}×{card.input.width}",
        str(card.output.dim),
        f"{metrics.rank1:.1f}" if metrics else "–",
        f"{metrics.mAP:.1f}" if metrics else "–",
        threshold,
        ", ".join(card.precisions),
    ]
    return [Text(cell) for cell in cells]


def _print_rows(first: str, second: str, rows: list[Row]) -> None:
    """Print the rows as a table, and below it the check sets that its metrics name by number."""
    check_sets = list(dict.fromkeys(row.check_set for row in rows if row.check_set))
    printed = table("", "", first, second, "difference")
    section = ""
    for row in rows:
        difference = "" if row.difference is None else f"{row.difference:+.4g}"
        name = f"{check_sets.index(row.check_set) + 1}  {row.name}" if row.check_set else row.name
        said = [each[:_HASH_SHOWN] if row.section == "files" else each for each in (row.first, row.second)]
        cells = ("" if row.section == section else row.section, name, *said, difference)
        printed.add_row(*map(Text, cells))
        section = row.section
    console = Console()
    console.print(printed)
    for number, check_set in enumerate(check_sets, start=1):
        console.print(f"{number}  {check_set}", soft_wrap=True, markup=False, highlight=False)


def _imported(version: str, as_json: bool) -> None:
    _done({"version": version}, f"imported {version}; activate it with: reid models activate {version}", as_json)


def _done(result: Mapping[str, object], line: str, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else line)
