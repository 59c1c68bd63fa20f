"""`reid ingest`: a folder or a manifest into a gallery."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from app.cli.data_folder import settings_here
from app.cli.entries import Source
from app.cli.failures import CommandError
from app.cli.ingestion import Ingestion, Work
from app.cli.manifest import Manifest
from app.cli.market import MarketFolder
from app.cli.options import Gallery, Key, Url, require_url
from app.cli.people import PeopleFolder
from app.cli.report import JsonReport, ProgressReport, Report
from app.engine import open_engine
from index.records import EnrolStatus

INTERRUPTED = 130


def ingest(
    path: Annotated[Path, typer.Argument(help="A folder in Market-1501's layout, or a CSV manifest.")],
    by_folder: Annotated[bool, typer.Option("--by-folder", help="PATH has a subfolder for each person.")] = False,
    gallery: Gallery = None,
    batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Pictures per transaction; 256 over HTTP.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per batch, then a summary.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Enrol a folder in Market-1501's layout, a folder with one for each person, or the pictures of a CSV manifest.

    A manifest has the columns path and identity, and may have camera, captured_at, attributes (a JSON object),
    attributes.NAME and external_id; paths are relative to it. Run it again after a stop and it goes on where it
    was. A bad picture is reported and fails alone; the exit code is 1 when there was one, 130 after Ctrl-C.
    With --url the pictures are sent to a running service, which may be elsewhere.
    """
    require_url(url, key)
    source = open_source(path, by_folder=by_folder)
    if url is None and gallery is None:
        gallery = "default"
    report: Report = JsonReport(source, gallery) if as_json else ProgressReport(source, gallery)
    with _opened(url, key, gallery, batch_size) as work, _stopped_by_signals(work) as caught, report:
        for outcomes in work.run(source.entries()):
            report.add(outcomes)
    report.finish(interrupted=bool(caught))
    if caught:
        raise typer.Exit(INTERRUPTED)
    if report.counts[EnrolStatus.REJECTED]:
        raise typer.Exit(1)


def open_source(path: Path, *, by_folder: bool) -> Source:
    """Return the reader for a path: a folder is in Market-1501's layout if nothing is said, a file is a manifest."""
    if path.is_dir():
        return PeopleFolder(path) if by_folder else MarketFolder(path)
    if by_folder:
        raise CommandError(f"{path}: expected a folder with a subfolder for each person, found none there")
    if path.is_file():
        return Manifest(path)
    found = "something else" if path.exists() else "nothing"
    raise CommandError(f"{path}: expected a folder or a CSV manifest, found {found}")


@contextmanager
def _opened(url: str | None, key: str | None, gallery: str | None, batch_size: int) -> Iterator[Work]:
    """Open what enrols: on the data folder, or over HTTP where there is an address."""
    if url is None:
        assert gallery is not None
        with open_engine(settings_here()) as engine:
            yield Ingestion(engine, gallery, batch_size)
        return
    from app.cli.remote import RemoteIngestion, connected  # here, because the data folder needs no client

    with connected(url, key) as client:
        yield RemoteIngestion(client, gallery, batch_size)


@contextmanager
def _stopped_by_signals(work: Work) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM finish the batch in hand; the second ends at once."""
    caught: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is fixed
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        work.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
