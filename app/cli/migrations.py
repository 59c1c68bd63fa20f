"""`reid migrations`: the moves of the galleries from one model version to another."""

import json
import time
from collections.abc import Callable
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.activation import Wish, begin
from app.answers import migration_answer
from app.cli.data_folder import settings_here
from app.cli.failures import CommandError
from app.cli.options import Json
from app.cli.promotion import caller
from app.cli.tables import print_table, table
from app.engine import Engine, open_engine
from app.migrator import Migrator, roll_back
from index.migration import BEFORE_SWITCH, Migration, State

migrations = typer.Typer(
    name="migrations", no_args_is_help=True, help="List, show and end moves of the galleries to another model version."
)
Id = Annotated[str, typer.Argument(help="A migration's id.")]
_SERVICE_SECONDS: Final = 3.0  # that a running service has to take the work on, before it is done here
_LOOK_SECONDS: Final = 0.3


@migrations.command("list")
def list_migrations(as_json: Json = False) -> None:
    """List the latest, the newest first."""
    with open_engine(settings_here()) as engine:
        found = engine.gallery.migrations.latest()
    if as_json:
        typer.echo(json.dumps({"items": [migration_answer(each) for each in found]}))
        return
    rows = table("id", "state", "samples", "from → to", whole=("id", "state"))
    for each in found:
        samples = str(each.total) if each.done == each.total else f"{each.done} of {each.total}"
        rows.add_row(each.migration_id, each.state, samples, f"{each.source} → {each.target}")
    print_table(rows)


@migrations.command()
def show(migration_id: Id, as_json: Json = False) -> None:
    """Show how far one is, and what was compared before its switch."""
    _run(lambda engine: engine.gallery.migrations.get(migration_id), as_json=as_json)


@migrations.command()
def cancel(migration_id: Id, as_json: Json = False) -> None:
    """Stop one before its switch; what it embedded is freed."""
    _run(lambda engine: _freed(engine, engine.gallery.migrations.cancel(migration_id, caller())), as_json=as_json)


@migrations.command()
def rollback(migration_id: Id, as_json: Json = False) -> None:
    """Let the version before answer again, with all that was enrolled since."""
    _run(lambda engine: _freed(engine, roll_back(engine, migration_id, caller())), as_json=as_json)


@migrations.command()
def finalize(migration_id: Id, as_json: Json = False) -> None:
    """Give up the way back, and free the vectors of the version before."""
    _run(lambda engine: _freed(engine, engine.gallery.migrations.finalize(migration_id, caller())), as_json=as_json)


def move(engine: Engine, wish: Wish) -> Migration:
    """Move every gallery to a version and show how far it is; return the migration once it has switched.

    A running service does the work; where there is none, it is done here. Raises `CommandError` when it fails, and
    what `begin` raises.
    """
    planned = begin(engine, wish)
    migrator = Migrator(engine)
    try:
        moved = _followed(engine, migrator, planned)
    finally:
        migrator.release()
    engine.follow()
    if moved.state not in (State.SWITCHED, State.FINALIZED):
        raise CommandError(f"migration {moved.migration_id} is {moved.state}: {moved.error or 'another ended it'}")
    return moved


def _followed(engine: Engine, migrator: Migrator, planned: Migration) -> Migration:
    alone_from = time.monotonic() + _SERVICE_SECONDS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=planned.state is State.FINALIZED) as progress:
        bar = progress.add_task(planned.target, total=planned.total)
        moving = planned
        while moving.state in BEFORE_SWITCH:
            if time.monotonic() < alone_from or not migrator.step():
                time.sleep(_LOOK_SECONDS)
            moving = engine.gallery.migrations.get(planned.migration_id)
            progress.update(
                bar, description=f"{moving.state} {moving.target}", completed=moving.done, total=moving.total
            )
    return moving


def _freed(engine: Engine, ended: Migration) -> Migration:
    engine.follow()
    while engine.gallery.migrations.free_some():
        pass
    return ended


def _run(change: Callable[[Engine], Migration], *, as_json: bool) -> None:
    with open_engine(settings_here()) as engine:
        told = migration_answer(change(engine))
    if as_json:
        typer.echo(json.dumps(told))
    else:
        Console().print_json(json.dumps(told))
