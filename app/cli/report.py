"""What `reid ingest` says while it runs and when it ends."""

import json
from collections import Counter
from dataclasses import asdict
from types import TracebackType
from typing import Any, Protocol, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from app.cli.entries import Source
from app.cli.ingestion import Outcome
from index.records import EnrolStatus

SHOWN_REJECTIONS = 20


class Report(Protocol):
    """Follows an ingestion."""

    counts: Counter[EnrolStatus]

    def add(self, outcomes: list[Outcome]) -> None:
        """Take the outcomes of one batch, which are on disk."""

    def finish(self, interrupted: bool) -> None:
        """Say what was done."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class JsonReport:
    """One JSON object per batch, flushed when the batch is on disk, and one at the end."""

    def __init__(self, source: Source, gallery: str | None) -> None:
        self.counts: Counter[EnrolStatus] = Counter()
        self._source = source
        self._gallery = gallery

    def add(self, outcomes: list[Outcome]) -> None:
        """Print what became of a batch."""
        self.counts.update(outcome.status for outcome in outcomes)
        items = [{name: value for name, value in asdict(outcome).items() if value is not None} for outcome in outcomes]
        typer.echo(json.dumps({"event": "batch", "items": items}))

    def finish(self, interrupted: bool) -> None:
        """Print the summary."""
        typer.echo(json.dumps({"event": "end", **summary(self.counts, self._source, self._gallery, interrupted)}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to undo."""


class ProgressReport:
    """A progress bar with pictures per second and time left, and a line for each rejected picture."""

    def __init__(self, source: Source, gallery: str | None) -> None:
        self.counts: Counter[EnrolStatus] = Counter()
        self._source = source
        self._gallery = gallery
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeLeft(),
            console=console,
            disable=not console.is_terminal,  # in a log a bar is noise
        )
        self._task = self._progress.add_task("Enrolling", total=source.total)

    def add(self, outcomes: list[Outcome]) -> None:
        """Move the bar on and tell what was rejected."""
        for outcome in outcomes:
            self.counts[outcome.status] += 1
            if outcome.status is EnrolStatus.REJECTED and self.counts[outcome.status] <= SHOWN_REJECTIONS:
                line = f"rejected: {outcome.where}: {outcome.code}: {outcome.detail}"
                self._progress.console.print(Text(printable(line)), soft_wrap=True)
        self._progress.advance(self._task, len(outcomes))

    def finish(self, interrupted: bool) -> None:
        """Print the summary."""
        total = summary(self.counts, self._source, self._gallery, interrupted)
        for note in total["left_out"]:
            typer.echo(note)
        if total["rejected"] > SHOWN_REJECTIONS:
            typer.echo(f"{total['rejected'] - SHOWN_REJECTIONS} more were rejected; --json lists them all")
        into = "" if self._gallery is None else f" into {self._gallery!r}"
        typer.echo(
            f"{total['created']} enrolled, {total['duplicates']} already there, {total['rejected']} rejected, "
            f"of {total['total']}{into}"
        )
        if interrupted:
            typer.echo("stopped; run it again to go on from here")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _Speed(ProgressColumn):
    """Pictures per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} images/s")


def summary(counts: Counter[EnrolStatus], source: Source, gallery: str | None, interrupted: bool) -> dict[str, Any]:
    """Return what an ingestion did, in the words of the HTTP answer."""
    return {
        "gallery": gallery,
        "total": source.total,
        "created": counts[EnrolStatus.CREATED],
        "duplicates": counts[EnrolStatus.DUPLICATE],
        "rejected": counts[EnrolStatus.REJECTED],
        "left_out": list(source.notes),
        "interrupted": interrupted,
    }


def printable(text: str) -> str:
    """Return text that any terminal can take: control characters and undecodable bytes are escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown.encode("utf-8", "backslashreplace").decode()
