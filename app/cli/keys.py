"""`reid keys`: who may call the service. Only the catalogue's database is opened, also while the service runs."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from app.answers import time_text
from app.cli.data_folder import settings_here
from app.cli.options import Json
from app.cli.tables import print_table, table
from index.keys import MAX_RATE, Key, Keys, Scope

keys = typer.Typer(name="keys", no_args_is_help=True, help="Make, list and revoke the keys that callers need.")


@keys.command()
def create(
    scope: Annotated[list[Scope], typer.Option(help="What it is good for; repeatable. admin includes the others.")],
    gallery: Annotated[str | None, typer.Option(help="The only gallery that it reaches; any otherwise.")] = None,
    label: Annotated[str | None, typer.Option(help="Your own note of who has it; name no person.")] = None,
    rate: Annotated[float | None, typer.Option(max=MAX_RATE, help="Requests a second at most; any otherwise.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept.

    Once a key was made, the service wants one of every caller, also when it is running already.
    """
    with Keys.open(settings_here().database_url) as opened:
        made, text = opened.create(scope, gallery=gallery, label=label, rate=rate)
        missing = gallery is not None and not opened.has_gallery(gallery)
        all_keys = opened.all()
    for line in _consequences(all_keys):
        typer.echo(line, err=True)
    if missing:
        typer.echo(f"gallery {gallery!r} has not been made yet: until then the key finds nothing", err=True)
        typer.echo("make it with reid gallery create NAME, or PUT /galleries/{name}", err=True)
    if as_json:
        told = {"id": made.key_id, "key": text, "scopes": made.names(), "gallery": made.gallery}
        typer.echo(json.dumps(told))
        return
    typer.echo(text)
    typer.echo("keep it now: it is not shown again", err=True)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List all keys, also revoked ones, and never the secrets. The time of the last use is exact to a minute."""
    with Keys.open(settings_here().database_url) as opened:
        found = opened.all()
    if as_json:
        typer.echo(json.dumps({"items": [_item(each) for each in found]}))
        return
    headings = ("id", "scopes", "gallery", "rate", "label", "made", "last used (UTC)", "revoked")
    rows = table(*headings, whole=("id", "made", "revoked"))
    for each in found:
        rows.add_row(*_row(each))
    print_table(rows)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `reid keys list` shows it.")],
    as_json: Json = False,
) -> None:
    """Revoke a key for good; the running service refuses its very next request."""
    with Keys.open(settings_here().database_url) as opened:
        revoked = opened.revoke(key_id)
    at = time_text(revoked.revoked_at)
    typer.echo(json.dumps({"id": key_id, "revoked_at": at}) if as_json else f"{key_id} is revoked since {at}")


def _consequences(all_keys: list[Key]) -> Iterator[str]:
    """Say what a new key changes for others: the first one shuts out who has none, its maker too."""
    if len(all_keys) == 1:
        yield "this is the first key: from now on the service asks every caller for one, the console too"
    if not any(Scope.ADMIN in key.scopes and key.gallery is None and key.revoked_at is None for key in all_keys):
        yield "no key administers all galleries over HTTP yet: make one with reid keys create --scope admin"


def _item(key: Key) -> dict[str, object]:
    return {
        "id": key.key_id,
        "scopes": key.names(),
        "gallery": key.gallery,
        "rate": key.rate,
        "label": key.label,
        "created_at": time_text(key.created_at),
        "last_used_at": time_text(key.last_used_at),
        "revoked_at": time_text(key.revoked_at),
    }


def _row(key: Key) -> list[Text]:
    times = (_day(key.created_at), _minute(key.last_used_at), _day(key.revoked_at))
    rate = "–" if key.rate is None else f"{key.rate:g}/s"
    cells = [key.key_id, ", ".join(key.names()), key.gallery or "–", rate, key.label or "–", *times]
    return [Text(cell) for cell in cells]


def _day(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d}"


def _minute(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M}"
