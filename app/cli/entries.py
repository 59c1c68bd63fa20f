"""What `reid ingest` reads: one entry per picture, from a folder or a manifest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture that is to be enrolled; `where` names it in messages."""

    where: str
    path: Path
    identity: str
    camera: str | None = None
    captured_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that says nothing usable: it is rejected, and its neighbours are not."""

    where: str
    detail: str


AnyEntry: TypeAlias = Entry | BadEntry


class Source(Protocol):
    """Where entries come from."""

    @property
    def total(self) -> int:
        """How many entries there are."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out and why, one line each."""

    def entries(self) -> Iterator[AnyEntry]:
        """Yield the entries in an order that is the same in every run."""
