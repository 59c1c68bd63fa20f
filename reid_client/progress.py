"""How far an ingestion is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from reid_client.samples import Outcome

KEPT_REJECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Progress:
    """The outcomes of one more batch, which is on the service's disk, and the counts so far."""

    outcomes: tuple[Outcome, ...]
    created: int
    duplicates: int
    rejected: int

    @property
    def done(self) -> int:
        """How many samples have their outcome."""
        return self.created + self.duplicates + self.rejected


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingestion did. Of the rejections the first thousand are kept; `progress` is told all of them."""

    created: int = 0
    duplicates: int = 0
    rejected: int = 0
    rejections: tuple[Outcome, ...] = ()


Watcher: TypeAlias = Callable[[Progress], object]


class Tally:
    """Counts outcomes batch by batch."""

    def __init__(self) -> None:
        self._counts = {"created": 0, "duplicate": 0, "rejected": 0}

    def add(self, outcomes: Sequence[Outcome]) -> Progress:
        """Return the progress with one batch more."""
        for outcome in outcomes:
            self._counts[outcome.status] += 1
        return Progress(tuple(outcomes), *self._counts.values())


class Summary:
    """Follows an ingestion to its end; memory does not grow with the number of samples."""

    def __init__(self, progress: Watcher | None) -> None:
        self._progress = progress
        self._rejections: list[Outcome] = []
        self.ingested = Ingested()

    def add(self, step: Progress) -> None:
        """Take one step."""
        room = KEPT_REJECTIONS - len(self._rejections)
        self._rejections += [outcome for outcome in step.outcomes if outcome.status == "rejected"][:room]
        self.ingested = Ingested(step.created, step.duplicates, step.rejected, tuple(self._rejections))
        if self._progress is not None:
            self._progress(step)
