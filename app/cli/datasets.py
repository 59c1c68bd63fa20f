"""`reid gallery export-dataset`: a gallery with its corrected identities as a data set for training."""

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from app.cli.data_folder import settings_here
from app.cli.options import Json
from app.cli.progress import bar
from app.cli.words import count
from app.dataset import LeftOut, Selection
from app.engine import open_engine
from app.exporting import Export, Exported
from index.pictures import PictureStore

_REASONS = {
    LeftOut.NO_PICTURE: "no picture was kept",
    LeftOut.UNREADABLE: "the picture is missing or cannot be decoded",
    LeftOut.ERASED: "erased or given to another identity meanwhile",
    LeftOut.TWO_IDENTITIES: "the same picture is enrolled for two identities",
    LeftOut.SAME_PICTURE: "the same picture once more",
    LeftOut.NO_CAMERA: "no camera, while others have one",
    LeftOut.FEW_SAMPLES: "too few samples of the identity",
}


def export_dataset(
    out: Annotated[Path, typer.Argument(help="A new folder, or one whose export was cut short.")],
    gallery: Annotated[str, typer.Option(help="Which gallery.")] = "default",
    holdout: Annotated[float, typer.Option(min=0, max=0.9, help="The share of the identities to test with.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Chooses whom; the same seed chooses the same people later.")] = 0,
    min_samples: Annotated[int, typer.Option(min=1, help="Leave out identities that have fewer.")] = 2,
    link: Annotated[bool, typer.Option("--link/--copy", help="Hard-link the store's files where that can be.")] = False,
    no_cameras: Annotated[bool, typer.Option("--no-cameras", help="Write a data set of classes.")] = False,
    names: Annotated[bool, typer.Option("--names", help="Write the names of people and cameras, not numbers.")] = False,
    as_json: Json = False,
) -> None:
    """Write a gallery as a data set that `reid train --data OUT` reads: pictures and a CSV manifest.

    Nobody is in two splits. What is erased from the gallery later is still in the data set: it is yours to delete.
    """
    settings = settings_here()
    wanted = Selection(holdout, seed, min_samples, cameras=not no_cameras)
    with open_engine(settings) as engine, bar("Exporting") as progress:
        pictures = _folder(settings.blob_url) if link else None
        export = Export(engine.gallery, gallery, out, wanted)
        done = export.run(names=names, pictures=pictures, progress=progress)
    if as_json:
        typer.echo(json.dumps({**asdict(done), "manifest": str(done.manifest)}))
    else:
        for line in _lines(done, out):
            typer.echo(line)


def _folder(blob_url: str) -> Path | None:
    store = PictureStore(blob_url)
    store.close()
    return store.folder


def _lines(done: Exported, out: Path) -> list[str]:
    test = done.images["test"] + done.images["gallery"]
    cameras, queries = count(done.cameras, "camera"), f"{done.images['test']} of them queries"
    lines = [
        f"{count(done.images['train'], 'picture')} of {count(done.identities['train'], 'identity', 'identities')} to "
        f"train on, {test} of {done.identities['test']} to test with, {queries}; {cameras}"
    ]
    for reason, number in done.left_out.items():
        lines.append(f"left out: {count(number, 'sample')}: {_REASONS[LeftOut(reason)]}")
    if done.one_camera:
        seen = count(done.one_camera, "identity is", "identities are")
        lines.append(f"{seen} seen by one camera only: in the set, and never a query")
    if not test:
        lines.append("nobody was held out: the data set has no test")
    return [*lines, f"next: reid train --data {quote(str(out))} --out RUN"]
