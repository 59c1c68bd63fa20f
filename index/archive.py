"""A folder of backups.

backups/<name>/catalogue.db, manifest.json    one backup each; named by its time, so that names sort by age
backups/.<name>.tmp/                          one that is being made or removed, or of which that was cut short
pictures/                                     the pictures of all of them, by their sha256
"""

import fcntl
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from index import copies, removal
from index.copies import Content
from index.database import chunks, damage, make_folder, sync_folder
from index.errors import BackupRefused, GalleryError, StoreDamaged
from index.faults import disk_faults
from index.pictures import PictureStore

_log = logging.getLogger(__name__)
_WHAT = "the folder of backups"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one backup is of."""

    name: str
    made_at: int  # UTC microseconds
    content: Content
    catalogue_sha256: str
    format: int = _FORMAT

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read the JSON of `manifest.json`; raise `StoreDamaged` when it is not that."""
        try:
            members: dict[str, Any] = json.loads(text)
            manifest = cls(**{**members, "content": Content(**members["content"])})
        except (KeyError, TypeError, ValueError) as exc:
            raise StoreDamaged("its manifest.json is not one of this release") from exc
        if manifest.format != _FORMAT:
            raise StoreDamaged(f"expected a manifest of format {_FORMAT}, found {manifest.format}: use its release")
        return manifest


class Archive:
    """The folder, its backups and their pictures; whoever changes it holds its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._backups = self.folder / "backups"

    @property
    def pictures(self) -> Path:
        """Where the pictures of all backups lie."""
        return self.folder / "pictures"

    def catalogue(self, name: str) -> Path:
        """Return where a whole backup's copy of the catalogue lies."""
        return self._backups / name / "catalogue.db"

    def draft(self, name: str) -> Path:
        """Return where a backup lies that is being made or removed."""
        return self._backups / f".{name}.tmp"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone, making it where it is missing; the lock ends with the process."""
        if self.pictures.exists() and not self._backups.exists():
            raise BackupRefused(
                f"expected {self.folder} to be a new folder or one with backups, found one with pictures: "
                "name a folder of its own for the backups"
            )
        make_folder(self._backups)
        with disk_faults(_WHAT):
            descriptor = os.open(self._backups / ".lock", os.O_CREAT | os.O_RDWR, 0o640)
            try:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise BackupRefused(
                        f"expected {self.folder} to be free, found another backup at work in it: wait for its end"
                    ) from exc
                yield
            finally:
                os.close(descriptor)

    # --- what is there ------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the whole backups, oldest first."""
        with disk_faults(_WHAT):
            there = list(self._backups.iterdir()) if self._backups.is_dir() else []
        return sorted(path.name for path in there if _NAME.fullmatch(path.name))

    def new_name(self) -> str:
        """Make the name of a backup that begins now: the newest by its name, also after the clock was put back."""
        at = datetime.now(UTC).replace(tzinfo=None)
        if (names := self.names()) and (newest := datetime.strptime(names[-1].partition("-")[0], _TIME)) >= at:
            at = newest + timedelta(microseconds=1)
        return f"{at.strftime(_TIME)}-{secrets.token_hex(4)}"

    def unfinished(self) -> list[str]:
        """Return the names of those that were begun or half removed."""
        with disk_faults(_WHAT):
            return sorted(path.name[1:-4] for path in self._backups.glob(".*.tmp"))

    def manifest(self, name: str) -> Manifest:
        """Read what a whole backup is of; raise `BackupRefused` when there is none of that name."""
        names = self.names()
        if name not in names:
            there = f"found {', '.join(names[-5:])}" if names else "found none"
            raise BackupRefused(f"expected a backup named {name!r} in {self.folder}, {there}")
        with disk_faults(_WHAT):
            text = (self._backups / name / "manifest.json").read_bytes()
        manifest = Manifest.parse(text)
        if manifest.name != name:
            raise StoreDamaged(f"its manifest.json is that of {manifest.name}")
        return manifest

    def newest(self) -> str:
        """Return the name of the newest whole backup."""
        names = self.names()
        if not names:
            raise BackupRefused(f"expected backups in {self.folder}, found none: make one with reid gallery backup")
        return names[-1]

    def verify(self, manifest: Manifest) -> None:
        """Compare a backup's copy of the catalogue with its manifest, and let SQLite look at its structure."""
        file = self.catalogue(manifest.name)
        with disk_faults(_WHAT):
            found = copies.sha256(file)
        if found != manifest.catalogue_sha256:
            raise StoreDamaged(f"expected a catalogue.db of sha256 {manifest.catalogue_sha256}, found {found}")
        with copies.reading(file) as connection:
            problems = damage(connection)
            if problems:
                raise StoreDamaged(f"its catalogue.db is damaged: {problems[0]}")
            if (content := copies.content(connection)) != manifest.content:
                raise StoreDamaged(f"its manifest.json tells of {manifest.content}, its catalogue.db holds {content}")

    # --- making and removing ------------------------------------------------------------------------------------

    def begin(self, name: str) -> Path:
        """Make the place of a new backup and return where its copy of the catalogue is to lie."""
        with disk_faults(_WHAT):
            self.draft(name).mkdir()
            sync_folder(self._backups)
        return self.draft(name) / "catalogue.db"

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest and give the backup its name: from here on it is one."""
        draft = self.draft(manifest.name)
        with disk_faults(_WHAT):
            with (draft / "manifest.json").open("x") as file:
                file.write(json.dumps(asdict(manifest), indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(draft)
            draft.rename(self._backups / manifest.name)
            sync_folder(self._backups)

    def hide(self, name: str) -> None:
        """Take a backup's name away, so that it is none any more."""
        with disk_faults(_WHAT):
            (self._backups / name).rename(self.draft(name))
            sync_folder(self._backups)

    def empty(self, name: str) -> None:
        """Remove what lies in a hidden backup, and not yet its place."""
        with disk_faults(_WHAT):
            for path in self.draft(name).iterdir():
                path.unlink()
            sync_folder(self.draft(name))

    def clear(self, name: str) -> None:
        """Remove the place of a hidden backup."""
        with disk_faults(_WHAT):
            shutil.rmtree(self.draft(name))
            sync_folder(self._backups)

    def remove_unnamed(self, pictures: PictureStore) -> int:
        """Remove the pictures that no whole backup names; count them. None is removed when one cannot be read."""
        removed = 0
        pictures.sweep()
        with ExitStack() as stack:
            try:
                kept = [stack.enter_context(copies.reading(self.catalogue(name))) for name in self.names()]
                for free in chunks(pictures.stored()):
                    for connection in kept:
                        free = removal.unused(connection, free)
                    removed += len(pictures.remove(free))
            except GalleryError as exc:
                _log.warning("pictures of removed backups may be left in %s: %s", self.folder, exc)
        return removed
