"""`reid models`: the versions of the registry."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.migrations import move
from app.cli.recalibration import recalibrate
from app.engine import active_version, open_engine
from app.settings import Settings, load_settings
from index.migration import State
from model.card import Card
from model.registry import Registry

models = typer.Typer(name="models", no_args_is_help=True, help="List, show, import and activate model versions.")
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Version = Annotated[str, typer.Argument(help="A version such as market1501@1.")]

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
    table = Table("", "version", "input", "dim", "rank-1", "mAP", "threshold at 0.1 %", "files", box=None)
    for card in cards:
        table.add_row("*" if card.version == active else "", *_row(card))
    Console().print(table)


@models.command()
def show(version: Version, as_json: Json = False) -> None:
    """Show a version's card."""
    registry, active = _open()
    item = _item(registry.card(version), active)
    if as_json:
        typer.echo(json.dumps(item))
    else:
        Console().print_json(json.dumps(item))


@models.command()
def activate(
    version: Version,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out samples that cannot be embedded again, as without a picture.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move every gallery to a version: embed the pictures again, compare, switch.

    A running service answers with the version before until then. The way back is kept until the migration is finalized.
    """
    with open_engine(load_settings()) as engine:
        moved = move(engine, version, leave_out=leave_out)
    told = f"{version} is active"
    if moved.state is State.SWITCHED:
        told += (
            f", {moved.total} samples were moved; next: reid migrations finalize {moved.migration_id}"
            f", or the way back: reid migrations rollback {moved.migration_id}"
        )
    _done({"active": version, "migration_id": moved.migration_id, "state": str(moved.state)}, told, as_json)


@models.command("import")
def import_version(
    folder: Annotated[Path, typer.Argument(help="A version's folder: model.onnx and card.json.")],
    as_json: Json = False,
) -> None:
    """Take a version's folder into the registry; its files are checked against its card."""
    version = Registry(load_settings().registry_dir).import_version(folder)
    _done({"version": version}, f"imported {version}; activate it with: reid models activate {version}", as_json)


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
        ", ".join(card.files),
    ]
    return [Text(cell) for cell in cells]


def _done(result: dict[str, str], line: str, as_json: bool) -> None:
    typer.echo(json.dumps(result) if as_json else line)
