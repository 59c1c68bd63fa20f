"""`reid gallery backup` and `reid gallery restore`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.progress import bar
from app.engine import open_engine
from app.settings import Settings, load_settings
from index.keys import Keys
from index.restore import restore as restore_into

_Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
_Folder = Annotated[Path, typer.Argument(help="A folder of backups, apart from the data folder.")]


def backup(
    folder: _Folder,
    keep: Annotated[int | None, typer.Option(min=1, help="Then remove all but so many of this store's.")] = None,
    as_json: _Json = False,
) -> None:
    """Back up catalogue and pictures, also while the service runs; pictures that are there already are not copied.

    Everything is read back before the backup gets its name. Model versions are not in it.
    """
    with open_engine(load_settings()) as engine, bar("Backing up") as progress:
        made = engine.gallery.backup(folder, keep=keep, progress=progress)
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    typer.echo(f"{made.name}: {made.samples} samples, {made.pictures} pictures, of which {made.copied} were new")
    if made.left_out:
        typer.echo(f"{made.left_out} samples were erased meanwhile and are not in it")
    if made.pruned:
        typer.echo(f"removed {', '.join(made.pruned)}")


def restore(
    folder: _Folder,
    name: Annotated[str | None, typer.Option("--backup", help="One of the folder's; the newest otherwise.")] = None,
    as_json: _Json = False,
) -> None:
    """Restore a backup into an empty data folder; exit with 1 when the store then finds anything wrong.

    Every hash is compared before anything is put in place. A restore that was cut short can be run again.
    """
    settings = load_settings()
    with bar("Restoring") as progress:
        done = restore_into(folder, settings.database_url, settings.blob_url, name=name, progress=progress)
    report = done.report
    if as_json:
        typer.echo(json.dumps({**asdict(done), "clean": report.clean}))
    else:
        for problem in report.problems:
            typer.echo(problem)
        state = "clean" if report.clean else f"{len(report.problems)} problems"
        typer.echo(f"{done.name}: {report.samples} samples, {report.pictures} pictures: {state}")
        typer.echo(f"its model version is {done.model_version}")
        _tell_keys(settings)
    if not report.clean:
        raise typer.Exit(1)


def _tell_keys(settings: Settings) -> None:
    """Say which keys are good again: one that was revoked after the backup is, too."""
    with Keys.open(settings.database_url) as keys:
        good = [key.key_id for key in keys.all() if key.revoked_at is None]
    if good:
        typer.echo(f"the keys are those of the backup; revoke again what was revoked since. Good are {', '.join(good)}")
