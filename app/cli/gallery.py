"""`reid gallery`: the galleries made, and what the store can say about itself."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from app.answers import erased_answer, gallery_answer, time_text
from app.cli.backups import backup, restore
from app.cli.checking import tell_problems
from app.cli.data_folder import settings_here
from app.cli.datasets import export_dataset
from app.cli.failures import CommandError
from app.cli.options import Json
from app.cli.suspects import suspects
from app.cli.tables import print_table, table
from app.cli.words import count
from app.engine import Engine, open_engine
from index.errors import GalleryNotFound
from index.records import AuditEntry, GalleryInfo

gallery = typer.Typer(
    name="gallery", no_args_is_help=True, help="Make, check, count, audit, expire, back up and export galleries."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The gallery's name.")]
RetentionDays = Annotated[
    int | None, typer.Option(min=0, max=36_500, help="Samples older than this are deleted; 0, as at first: never.")
]
Pictures = Annotated[
    bool | None, typer.Option("--pictures/--no-pictures", help="Keep pictures, as at first, or embeddings alone.")
]
_NO_RETENTION = "no gallery has a retention: set one with reid gallery set NAME --retention-days N"


gallery.command()(backup)
gallery.command()(restore)
gallery.command()(export_dataset)
gallery.command()(suspects)


@gallery.command()
def create(name: Name, retention_days: RetentionDays = None, pictures: Pictures = None, as_json: Json = False) -> None:
    """Make a gallery, also while the service runs."""
    with open_engine(settings_here()) as engine:
        if _settings_of(engine, name) is not None:
            raise CommandError(f"gallery {name!r} is there already: reid gallery set changes its settings")
        made = engine.gallery.put_gallery(
            name, retention_days=retention_days or None, store_images=pictures is not False
        )
    _tell_settings(made, as_json=as_json)


@gallery.command("set")
def change(name: Name, retention_days: RetentionDays = None, pictures: Pictures = None, as_json: Json = False) -> None:
    """Change the settings that are given, and leave the others as they are; also while the service runs."""
    with open_engine(settings_here()) as engine:
        before = _settings_of(engine, name)
        if before is None:
            raise GalleryNotFound(f"no gallery {name!r} was made")
        days = before.retention_days if retention_days is None else retention_days or None
        stored = before.store_images if pictures is None else pictures
        made = engine.gallery.put_gallery(name, retention_days=days, store_images=stored)
    _tell_settings(made, as_json=as_json)


def _settings_of(engine: Engine, name: str) -> GalleryInfo | None:
    return next((each for each in engine.gallery.galleries() if each.name == name), None)


def _tell_settings(made: GalleryInfo, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(gallery_answer(made)))
        return
    pictures = "are kept" if made.store_images else "are not kept"
    days = made.retention_days
    samples = "stay until they are deleted" if days is None else f"stay for {count(days, 'day')}"
    typer.echo(f"{made.name!r}: pictures {pictures}, samples {samples}")


@gallery.command()
def check(as_json: Json = False) -> None:
    """Compare catalogue, pictures and vectors; exit with 1 when anything is wrong."""
    with open_engine(settings_here()) as engine:
        report = engine.gallery.check()
    if as_json:
        typer.echo(json.dumps({**asdict(report), "clean": report.clean}))
    else:
        state = tell_problems(report)
        if report.orphans:
            orphans = count(report.orphans, "picture")
            typer.echo(f"{orphans} that no sample uses: `reid gallery rebuild` removes them")
        looked_at = f"{count(report.samples, 'sample')}, {count(report.pictures, 'picture')}"
        typer.echo(f"{looked_at}, {count(report.vectors, 'vector')}: {state}")
    if not report.clean:
        raise typer.Exit(1)


@gallery.command()
def rebuild(as_json: Json = False) -> None:
    """Build the vector index again from the catalogue, and rewrite the catalogue without what was erased."""
    with open_engine(settings_here()) as engine:
        vectors = engine.gallery.rebuild()
    typer.echo(json.dumps({"vectors": vectors}) if as_json else f"{count(vectors, 'vector')} indexed again")


@gallery.command()
def stats(as_json: Json = False) -> None:
    """Count samples and identities, and tell how each gallery is searched."""
    with open_engine(settings_here()) as engine:
        index = {how.gallery: how for how in engine.gallery.indexes.info()}
        galleries = [each for each in engine.gallery.galleries() if each.name in index]  # others were made meanwhile
        version = engine.gallery.model_version
    if as_json:
        told = [{**asdict(each), "index": asdict(index[each.name])} for each in galleries]
        typer.echo(json.dumps({"model_version": version, "galleries": told}))
        return
    headings = ("gallery", "samples", "identities", "pictures kept", "retention", "search", "recall", "bytes a sample")
    rows = table(*headings, whole=headings[1:3])
    for each in galleries:
        how = index[each.name]
        retention = "–" if each.retention_days is None else count(each.retention_days, "day")
        search = "exact" if how.engine == "exact" else f"codes, {how.candidates} compared"
        rows.add_row(
            each.name,
            str(each.samples),
            str(each.identities),
            "yes" if each.store_images else "no",
            retention,
            search,
            f"{how.recall:.3f}",
            str(how.bytes_per_sample),
        )
    print_table(rows)
    typer.echo(f"model version {version}")


@gallery.command()
def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    as_json: Json = False,
) -> None:
    """Erase the samples that were enrolled longer ago than their gallery's retention; exit with 1 when some is left.

    A running service does the same every REID_EXPIRY_INTERVAL_S seconds.
    """
    with open_engine(settings_here()) as engine:
        if dry_run:
            _tell_overdue(engine.gallery.retention.overdue(), as_json)
            return
        done = engine.gallery.retention.expire()
    if as_json:
        found = [{"gallery": name, **erased_answer(erased)} for name, erased in done.items()]
        typer.echo(json.dumps({"galleries": found}))
    else:
        for name, erased in done.items():
            state = "" if erased.verified else ", but reading back found something left: run it again"
            samples, pictures = count(erased.samples_deleted, "sample"), count(erased.images_deleted, "picture")
            typer.echo(f"{name}: {samples}, {pictures} erased{state}")
        if not done:
            typer.echo(_NO_RETENTION)
    if not all(erased.verified for erased in done.values()):
        raise typer.Exit(1)


def _tell_overdue(overdue: dict[str, int], as_json: bool) -> None:
    if as_json:
        found = [{"gallery": name, "samples": samples} for name, samples in overdue.items()]
        typer.echo(json.dumps({"galleries": found}))
        return
    for name, samples in overdue.items():
        typer.echo(f"{name}: {count(samples, 'sample')} would be erased")
    if not overdue:
        typer.echo(_NO_RETENTION)


@gallery.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries at most, the newest first.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Go on after an earlier page, which told its cursor.")] = None,
    as_json: Json = False,
) -> None:
    """Show the audit log: what was deleted, when, where and how many, and never whom.

    Also which keys were made or revoked, and who moved the galleries to another model version, or back. Likely wrong
    labels are another matter: reid gallery suspects, and of training images reid audit.
    """
    with open_engine(settings_here()) as engine:
        page = engine.gallery.audit(limit=limit, cursor=cursor)
    if as_json:
        entries = [{**asdict(entry), "at": time_text(entry.at)} for entry in page.items]
        typer.echo(json.dumps({"entries": entries, "next_cursor": page.next_cursor}))
        return
    rows = table("at (UTC)", "action", "actor", "of", "samples and files", whole=("at (UTC)", "action"))
    for entry in page.items:
        rows.add_row(*_audit_row(entry))
    print_table(rows)
    if page.next_cursor is not None:
        typer.echo(f"there are older entries: --cursor {page.next_cursor} shows them")


def _audit_row(entry: AuditEntry) -> list[str]:
    at = entry.at.strftime("%Y-%m-%d %H:%M:%S")
    return [at, entry.action, entry.actor or "–", _concerned(entry) or "–", _removed(entry)]


def _removed(entry: AuditEntry) -> str:
    """Return what a deletion removed, or a restore brought; "" for what does neither."""
    if entry.migration_id is not None or entry.key_id is not None:
        return ""
    pictures = "pictures not counted" if entry.pictures is None else count(entry.pictures, "picture")
    verified = {None: "", True: ": clean", False: ": NOT CLEAN"}[entry.verified]
    return f"{count(entry.samples, 'sample')}, {pictures}, {count(entry.vectors, 'vector')}{verified}"


def _concerned(entry: AuditEntry) -> str | None:
    if entry.migration_id is not None:
        return f"{entry.source} → {entry.target}"
    if entry.key_id is not None:
        return f"key {entry.key_id}" + ("" if entry.gallery is None else f" of {entry.gallery}")
    return entry.gallery
