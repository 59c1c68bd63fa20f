"""`reid demo`: drawn people for those who have no pictures at hand."""

import json
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failures import CommandError
from app.cli.market import GALLERY_FOLDER
from app.settings import Settings, load_settings
from model.synthetic import write_market

IDENTITIES = 12
CAMERAS = 3
VIEWS = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures of one person by two cameras: one to enrol, one to ask with."""

    identity: str
    camera: str
    enrol: Path
    query: Path


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")] = Path("demo"),
    ingest: Annotated[bool, typer.Option("--ingest", help="Enrol them all, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Draw people in Market-1501's layout, and say how to enrol and query them.

    The same people are drawn every time; a folder that has them is left as it is.
    """
    pair = choose_pair(draw(folder))
    if ingest:
        from app.cli.ingest import ingest as run  # the model is loaded only when it is asked for

        run(folder, as_json=as_json)
    if as_json:
        paths = {"identity": pair.identity, "enrol": str(pair.enrol), "query": str(pair.query)}
        typer.echo(json.dumps({"folder": str(folder), **paths}))
    else:
        typer.echo(instructions(folder, pair, load_settings(), enrolled=ingest))


def draw(folder: Path) -> Path:
    """Draw the people unless they are there; what is cut short leaves nothing."""
    if (folder / GALLERY_FOLDER).is_dir():
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise CommandError(f"expected no folder {folder} or an empty one, found files there")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder.absolute().parent) as own:
        drawn = write_market(
            Path(own) / "people", train_identities=0, test_identities=IDENTITIES, cameras=CAMERAS, views=VIEWS
        )
        for part in sorted(drawn.iterdir(), key=lambda path: path.name == GALLERY_FOLDER):  # by it is told that all are
            part.rename(folder / part.name)
    return folder


def choose_pair(folder: Path) -> Pair:
    """Return the first person with a query picture, and a gallery picture of them by another camera."""
    for query in sorted((folder / "query").glob("*.jpg")):
        identity, camera = query.name.split("_")[0], query.name.split("_")[1][:2]
        for enrol in sorted((folder / GALLERY_FOLDER).glob(f"{identity}_c*.jpg")):
            if not enrol.name.startswith(f"{identity}_{camera}"):
                return Pair(identity, enrol.name.split("_")[1][:2], enrol, query)
    raise CommandError(f"{folder}: expected query and {GALLERY_FOLDER} with drawn people, found none; remove it first")


def instructions(folder: Path, pair: Pair, settings: Settings, *, enrolled: bool) -> str:
    """Return what to type, and what to see."""
    address = f"http://{settings.host}:{settings.port}"
    enrol = f"curl -F image=@{shlex.quote(str(pair.enrol))} -F identity={pair.identity} -F camera={pair.camera}"
    query = f"curl -F image=@{shlex.quote(str(pair.query))}"
    everyone = "all of them are enrolled now" if enrolled else f"all of them: reid ingest {shlex.quote(str(folder))}"
    return f"""{IDENTITIES} drawn people by {CAMERAS} cameras are in {folder}; {everyone}
While `make run` (or `reid serve`) runs in another terminal:

  {enrol} {address}/gallery
  {query} {address}/query

The first answers with the sample's id. The second shows the same person by another camera: identity
{pair.identity} comes first. The model has learnt real people, so its threshold may call a drawn one unknown."""
