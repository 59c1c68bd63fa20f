"""`reid gallery`: what the store can say about itself."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.engine import open_engine
from app.settings import load_settings

gallery = typer.Typer(name="gallery", no_args_is_help=True, help="Check, rebuild and count the galleries.")
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]


@gallery.command()
def check(as_json: Json = False) -> None:
    """Compare catalogue, pictures and vectors; exit with 1 when anything is wrong."""
    with open_engine(load_settings()) as engine:
        report = engine.gallery.check()
    if as_json:
        typer.echo(json.dumps({**asdict(report), "clean": report.clean}))
    else:
        for problem in report.problems:
            typer.echo(problem)
        state = "clean" if report.clean else f"{len(report.problems)} problems"
        typer.echo(f"{report.samples} samples, {report.pictures} pictures, {report.vectors} vectors: {state}")
    if not report.clean:
        raise typer.Exit(1)


@gallery.command()
def rebuild(as_json: Json = False) -> None:
    """Throw the vector index away and build it again from the catalogue."""
    with open_engine(load_settings()) as engine:
        vectors = engine.gallery.rebuild()
    typer.echo(json.dumps({"vectors": vectors}) if as_json else f"{vectors} vectors indexed again")


@gallery.command()
def stats(as_json: Json = False) -> None:
    """Count samples and identities, and tell how each gallery is searched."""
    with open_engine(load_settings()) as engine:
        galleries = engine.gallery.galleries()
        index = engine.gallery.index_info()
        version = engine.gallery.model_version
    if as_json:
        told = [{**asdict(each), "index": asdict(how)} for each, how in zip(galleries, index, strict=True)]
        typer.echo(json.dumps({"model_version": version, "galleries": told}))
        return
    headings = ("gallery", "samples", "identities", "pictures kept", "retention", "search", "recall", "bytes a sample")
    table = Table(*headings, box=None)
    for each, how in zip(galleries, index, strict=True):
        retention = "–" if each.retention_days is None else f"{each.retention_days} days"
        search = "exact" if how.engine == "exact" else f"codes, {how.candidates} compared"
        table.add_row(
            each.name,
            str(each.samples),
            str(each.identities),
            "yes" if each.store_images else "no",
            retention,
            search,
            f"{how.recall:.3f}",
            str(how.bytes_per_sample),
        )
    Console().print(table)
    typer.echo(f"model version {version}")
