"""A version that is to be registered, wherever it comes from: a folder, or one file."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model.archive import open_archive
from model.card import CARD_NAME, Card, parse_card, read_card_text
from model.errors import VersionDamaged


@dataclass(frozen=True, slots=True)
class Parcel:
    """A version's card, and how to copy its files out by name. None of them was looked at yet."""

    card_text: bytes
    card: Card
    copy: Callable[[str, Path], None]

    def unpack(self, folder: Path) -> None:
        """Write the card as it came and the files that it lists, and nothing else."""
        (folder / CARD_NAME).write_bytes(self.card_text)
        for name in self.card.files:
            self.copy(name, folder / name)


@contextmanager
def open_parcel(source: Path) -> Iterator[Parcel]:
    """Open a version's folder or file; raise `RegistryError` for what is neither."""
    if source.is_dir():
        text = read_card_text(source / CARD_NAME)
        card = parse_card(text)
        yield Parcel(text, card, lambda name, target: _copy(source / name, target, card.version))
        return
    with open_archive(source) as archive:
        yield Parcel(archive.card_text, archive.card, archive.copy)


def _copy(source: Path, target: Path, version: str) -> None:
    try:
        file = source.open("rb")
    except OSError as exc:
        raise VersionDamaged(f"{version}: expected the file {source.name}, found none: {exc.strerror}") from exc
    with file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
