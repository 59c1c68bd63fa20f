"""A version as one file: an uncompressed zip archive of its card and the files that the card lists.

The same version gives the same bytes. What is read is held against the card and the archive's own size before a byte
is written, so a hostile archive neither fills the disk nor reaches a path of its own choice.
"""

import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from model.card import CARD_NAME, FILE_NAME, Card, parse_card
from model.errors import RegistryError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can tell
_MOST_FILES = 32
_LARGEST_CARD = 1_000_000  # bytes
_ENCRYPTED = 0x1
_REGULAR = stat.S_IFREG | 0o644


def pack(card: bytes, files: Mapping[str, Path], target: BinaryIO) -> None:
    """Write a version's card and files as an archive."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(CARD_NAME), card)
        for name in sorted(files):
            with files[name].open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as entry:
                shutil.copyfileobj(source, entry, 1 << 20)


class VersionArchive:
    """A version's archive, opened: its card, and its files to be copied out. Raises `RegistryError` for any other."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._entries = _checked(archive.infolist(), size)
        self.card_text = self._read_card()
        self.card: Card = parse_card(self.card_text)
        _require_names(set(self._entries), {CARD_NAME, *self.card.files})

    def copy(self, name: str, target: Path) -> None:
        """Copy one of the card's files out."""
        with _archive_faults(), self._archive.open(self._entries[name]) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def _read_card(self) -> bytes:
        if CARD_NAME not in self._entries:
            raise RegistryError(f"expected {CARD_NAME} in the archive, found {', '.join(self._entries) or 'nothing'}")
        if self._entries[CARD_NAME].file_size > _LARGEST_CARD:
            raise RegistryError(f"expected a {CARD_NAME} of at most {_LARGEST_CARD} bytes in the archive, found more")
        with _archive_faults():
            return self._archive.read(self._entries[CARD_NAME])


@contextmanager
def open_archive(path: Path) -> Iterator[VersionArchive]:
    """Open a version's archive; raise `RegistryError` for what is none, now or while its files are copied out."""
    with ExitStack() as opened:
        try:
            size = path.stat().st_size
            with _archive_faults():
                archive = opened.enter_context(zipfile.ZipFile(path))
        except OSError as exc:
            raise RegistryError(f"expected a version's folder or file, found no {path.name}: {exc.strerror}") from exc
        yield VersionArchive(archive, size)


@contextmanager
def _archive_faults() -> Iterator[None]:
    """Turn what zipfile raises for a cut or damaged archive into `RegistryError`."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error) as exc:
        raise RegistryError(
            f"this is not a whole archive of `reid models export` ({exc}): copy it again, or export it again"
        ) from exc


def _checked(entries: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name, after each was looked at."""
    if len(entries) > _MOST_FILES:
        raise RegistryError(f"expected at most {_MOST_FILES} files in the archive, found {len(entries)}")
    by_name: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        _check(entry)
        if entry.filename in by_name:
            raise RegistryError(f"expected every name once in the archive, found {entry.filename} twice")
        by_name[entry.filename] = entry
    if sum(entry.file_size for entry in entries) > size:
        raise RegistryError(f"expected files of {size} bytes at most, the archive's own size, found more: a bomb")
    return by_name


def _check(entry: zipfile.ZipInfo) -> None:
    mode = entry.external_attr >> 16
    if not re.fullmatch(FILE_NAME, entry.filename):
        raise RegistryError(f"expected plain file names in the archive, found {entry.filename[:80]!r}")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise RegistryError(f"expected files only in the archive, found {entry.filename}, a link or device")
    if entry.flag_bits & _ENCRYPTED:
        raise RegistryError(f"expected an archive without a password, found {entry.filename} encrypted")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise RegistryError(
            f"expected {entry.filename} uncompressed in the archive, as `reid models export` and `zip -0 -j` write it"
        )


def _require_names(found: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - found):
        raise RegistryError(f"the card lists {', '.join(missing)}, which the archive does not hold")
    if unknown := sorted(found - expected):
        raise RegistryError(f"the archive holds {', '.join(unknown)}, which the card does not list")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = _REGULAR << 16
    entry.create_system = 3  # Unix, whatever writes it
    return entry
