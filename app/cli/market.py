"""Market-1501's layout: who and where a picture shows is in its file name."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from app.cli.entries import Entry
from app.cli.failures import CommandError
from app.cli.words import count

GALLERY_FOLDER = "bounding_box_test"
EXAMPLE = "0002_c1s1_000451_03.jpg"
_NAME = re.compile(r"(?P<identity>-1|\d{4,})_(?P<camera>c\d+)(?P<rest>s\d+_\d+_\d+)(?:\.\w+)+", re.ASCII)
_JUNK = "-1"
_DISTRACTOR = "0000"


class MarketFolder:
    """The gallery of a Market-1501 tree, or one folder of such files; junk is left out."""

    def __init__(self, root: Path) -> None:
        inner = root / GALLERY_FOLDER
        self.folder = inner if inner.is_dir() else root
        names = sorted(entry.name for entry in os.scandir(self.folder) if entry.is_file())
        matches = [match for match in map(_NAME.fullmatch, names) if match]
        self._kept = [match for match in matches if match["identity"] != _JUNK]
        self._junk = len(matches) - len(self._kept)
        self._others = len(names) - len(matches)
        if not matches:
            raise CommandError(_not_market(self.folder, names))

    @property
    def total(self) -> int:
        """How many pictures are to be enrolled."""
        return len(self._kept)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        notes = []
        if self._junk:
            notes.append(f"left out {count(self._junk, 'junk picture')} (identity -1)")
        if self._others:
            notes.append(f"left out {count(self._others, 'file')} not named like {EXAMPLE}")
        return tuple(notes)

    def entries(self) -> Iterator[Entry]:
        """Yield the pictures by file name."""
        for match in self._kept:
            yield Entry(
                where=match[0],
                path=self.folder / match[0],
                identity=_identity(match),
                camera=match["camera"],
            )


def _identity(match: re.Match[str]) -> str:
    """Return who it is; each distractor is somebody else, named after the file so that it stays the same."""
    if match["identity"] != _DISTRACTOR:
        return match["identity"]
    return f"distractor-{match['camera']}{match['rest']}"


def _not_market(folder: Path, names: list[str]) -> str:
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    found, instead = "no files", "for pictures under other names write"
    if names:
        found = f"{count(len(names), 'file')}, such as {names[0]!r}"
    elif inside:
        found = f"no files but {count(len(inside), 'folder')}, such as {inside[0]!r}"
        instead = "where each is a person, give --by-folder; for anything else write"
    return (
        f"{folder}: expected pictures named like {EXAMPLE} (or a folder {GALLERY_FOLDER} of them), found {found}; "
        f"{instead} a CSV manifest: path,identity,camera"
    )
