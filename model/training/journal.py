"""A run's history: rows of JSON for its report, and the same for TensorBoard."""

import fcntl
import json
import logging
import math
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from torch.utils.tensorboard import SummaryWriter

from model.disk import replace_file
from model.errors import RecipeError
from model.training.difference import People
from model.training.evaluation import Retrieval

HISTORY = "history.jsonl"
LOCK = ".lock"
TENSORBOARD = "tensorboard"
Kind = Literal["training", "validation"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """What was measured after a step; `epoch` may lie between two, and `people` are a validation's."""

    kind: Kind
    step: int
    epoch: float
    values: dict[str, float]
    people: People | None = None


class Tracker(Protocol):
    """Somewhere else that keeps a run's figures too."""

    def figures(self, values: dict[str, float], step: int, seconds: float) -> None:
        """Record figures of a step, measured at `seconds` since 1970."""

    def finish(self, files: tuple[Path, ...]) -> None:
        """Record the run's files and that it is done."""


class Journal:
    """Writes a run's history while it trains, alone in its folder.

    What a run that was killed wrote after its checkpoint, at `step`, is taken out.
    """

    def __init__(self, folder: Path, step: int, tracker: Tracker | None = None) -> None:
        """Raise `RecipeError` when another training is at work in the folder."""
        self._lock = _claim(folder)
        self._path = folder / HISTORY
        _forget(self._path, step)
        self._tracker = tracker
        self._board = SummaryWriter(str(folder / TENSORBOARD), purge_step=step + 1)

    def training(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Note losses, rate and speed."""
        self._write(Row("training", step, epoch, values))

    def validation(self, step: int, epoch: float, result: Retrieval, people: People) -> None:
        """Note and tell the retrieval figures of the held-out identities, as fractions; note them by person."""
        values = {"rank1": result.rank(1), "mAP": result.mAP, "mINP": result.mINP}
        self._write(Row("validation", step, epoch, values, people))
        figures = "  ".join(f"{name} {100 * value:.1f}" for name, value in values.items())
        logger.info("epoch %g, held-out identities: %s", epoch, figures)

    def close(self) -> None:
        """Write out what TensorBoard's file still lacks, and leave the folder to others."""
        self._board.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, row: Row) -> None:
        written: dict[str, object] = {"kind": row.kind, "time": time.time(), "step": row.step, "epoch": row.epoch}
        written |= row.values
        if row.people is not None:
            written["people"] = asdict(row.people)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(written) + "\n")
        for name, value in row.values.items():
            self._board.add_scalar(f"{row.kind}/{name}", value, row.step)
        if self._tracker is not None:
            values = {f"{row.kind}/{name}": value for name, value in row.values.items()}
            self._tracker.figures(values, row.step, time.time())


class Unwritten(Journal):
    """The journal of a process beside the first, which alone writes."""

    def __init__(self) -> None:
        """Open nothing."""

    def training(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Note nothing."""

    def validation(self, step: int, epoch: float, result: Retrieval, people: People) -> None:
        """Note nothing."""

    def close(self) -> None:
        """Close nothing."""


def read_history(folder: Path) -> list[Row]:
    """Read a run's rows in the order of their steps; steps that were done again after a stop count once.

    A last line that was cut off counts as not written. Raises `RecipeError` when there is no history, or it is not one.
    """
    path = folder / HISTORY
    try:
        text = path.read_text(encoding="utf-8")
        rows = [_row(json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]
    except FileNotFoundError as exc:
        raise RecipeError(f"expected a training run with a {HISTORY} in {folder}, found none") from exc
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise RecipeError(f"{path} is not a run's history: {exc!r}") from exc
    latest = {(row.step, row.kind): row for row in rows}
    return [latest[key] for key in sorted(latest)]


def _claim(folder: Path) -> int:
    """Keep other trainings out of a folder until the descriptor is closed, or the process ends."""
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise RecipeError(f"another training is at work in {folder}: wait for its end, or give another --out") from exc
    except OSError:  # a file system that has no locks is no reason not to train
        logger.debug("%s cannot be locked", folder)
    return lock


def _forget(path: Path, step: int) -> None:
    """Take out of a history what is of later steps, and lines that were cut off."""
    with suppress(FileNotFoundError):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _step(line) <= step]
        if kept != lines:
            replace_file(path, "".join(kept).encode())


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, LookupError, TypeError):
        return math.inf


def _row(fields: dict[str, Any]) -> Row:
    told = ("kind", "time", "step", "epoch", "people")
    values = {name: float(value) for name, value in fields.items() if name not in told}
    kind: Kind = "training" if fields["kind"] == "training" else "validation"
    people = _people(**fields["people"]) if "people" in fields else None
    return Row(kind, int(fields["step"]), float(fields["epoch"]), values, people)


def _people(protocol: str, images: str, queries: list[int], precision: list[float]) -> People:
    return People(protocol, images, tuple(queries), tuple(precision))
