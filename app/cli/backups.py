"""`reid gallery backup` and `reid gallery restore`."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.checking import tell_problems
from app.cli.data_folder import no_gallery_in
from app.cli.failures import CommandError, explain
from app.cli.options import Json
from app.cli.progress import bar
from app.cli.words import count
from app.engine import open_engine
from app.settings import Settings, load_settings
from index.database import sync_folder
from index.keys import Keys
from index.restore import restore as restore_into
from index.versions import versions_in_use
from model.errors import ModelError, RegistryError
from model.registry import Registry

_VERSIONS = "models"  # in a folder of backups
_Folder = Annotated[Path, typer.Argument(help="A folder of backups, apart from the data folder.")]


def backup(
    folder: _Folder,
    keep: Annotated[int | None, typer.Option(min=1, help="Then remove all but so many of this store's.")] = None,
    as_json: Json = False,
) -> None:
    """Back up catalogue and pictures, also while the service runs; pictures that are there already are not copied.

    Everything is read back before the backup gets its name. The model versions that it needs lie beside it.
    """
    settings = load_settings()
    if folder.resolve().is_relative_to(settings.data_dir.resolve()):
        raise CommandError(
            f"expected a folder apart from the data folder, found {folder} in {settings.data_dir}: whoever loses that "
            "would lose the backups too; name one elsewhere, best on another disk"
        )
    if (empty := no_gallery_in(settings)) is not None:
        raise CommandError(f"expected a gallery in {empty}, found none: REID_DATA_DIR names the service's data folder")

    def beside(name: str) -> None:
        try:
            save_versions(settings, folder / _VERSIONS)
        except (RegistryError, OSError) as exc:
            raise CommandError(
                f"{name} is whole, but without the model versions it needs, and none was removed for it: {explain(exc)}"
            ) from exc

    with open_engine(settings) as engine, bar("Backing up") as progress:
        made = engine.gallery.backup(folder, keep=keep, progress=progress, beside=beside)
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    held = f"{count(made.samples, 'sample')}, {count(made.pictures, 'picture')}"
    typer.echo(f"{made.name}: {held}, of which {made.copied} new")
    if made.left_out:
        typer.echo(f"left out: {count(made.left_out, 'sample')}, erased meanwhile")
    if made.pruned:
        typer.echo(f"removed {', '.join(made.pruned)}")


def restore(
    folder: _Folder,
    name: Annotated[str | None, typer.Option("--backup", help="One of the folder's; the newest otherwise.")] = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data folder; exit with 1 when the store then finds anything wrong or missing.

    Every hash is compared before anything is put in place. A restore that was cut short can be run again.
    """
    settings = load_settings()
    with bar("Restoring") as progress:
        done = restore_into(folder, settings.database_url, settings.blob_url, name=name, progress=progress)
    missing = bring_versions(settings, folder / _VERSIONS)
    report = done.report
    if as_json:
        typer.echo(json.dumps({**asdict(done), "clean": report.clean, "missing": missing}))
    else:
        state = tell_problems(report)
        held = f"{count(report.samples, 'sample')}, {count(report.pictures, 'picture')}"
        typer.echo(f"{done.name}: {held}: {state}")
        typer.echo(f"its model version is {done.model_version}")
        for version, reason in missing.items():
            typer.echo(f"{version} must be brought with reid models import: {reason}")
        _tell_keys(settings)
    if missing or not report.clean:
        raise typer.Exit(1)


def save_versions(settings: Settings, folder: Path) -> None:
    """Write every model version that the store needs as one file, as `reid models export` does.

    Raises `RegistryError` for one that is damaged, `OSError` for a folder that cannot be written.
    """
    registry = Registry(settings.registry_dir)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as draft:
        for use in versions_in_use(settings.database_url):
            whole = Path(draft) / _file_name(use.version)
            registry.export_version(use.version, whole)
            whole.replace(folder / whole.name)
    sync_folder(folder)


def bring_versions(settings: Settings, folder: Path) -> dict[str, str]:
    """Register the model versions that the store needs out of a backup; return why others are not there."""
    registry = Registry(settings.registry_dir)
    there = registry.versions()
    missing = {}
    for version in (use.version for use in versions_in_use(settings.database_url)):
        if version in there:
            continue
        try:
            registry.import_version(folder / _file_name(version), expected=version)
        except ModelError as exc:
            missing[version] = str(exc)
    return missing


def _file_name(version: str) -> str:
    return f"{version}.zip"


def _tell_keys(settings: Settings) -> None:
    """Say which keys are good again: one that was revoked after the backup is, too."""
    with Keys.open(settings.database_url) as keys:
        good = [key.key_id for key in keys.all() if key.revoked_at is None]
    if good:
        typer.echo(f"the keys are those of the backup; revoke again what was revoked since. Good are {', '.join(good)}")
