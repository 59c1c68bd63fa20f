"""Making a backup of a store that is in use.

The catalogue is copied first, at one moment; then every picture that the copy names and that no earlier backup has.
What is erased meanwhile is told by the store itself: whoever lost a picture is taken out of the copy as well.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from index import copies, known_backups, removal
from index.archive import Archive, Manifest
from index.database import Database, chunks, damage
from index.errors import BackupRefused, GalleryError, InvalidValue, PictureNotStored, StoreDamaged
from index.pictures import PictureStore
from index.records import BackedUp

_log = logging.getLogger(__name__)
_BATCH = 32  # pictures that are in memory together
Progress: TypeAlias = Callable[[int, int], None]  # pictures done, pictures in all
Beside: TypeAlias = Callable[[str], None]  # puts what else it needs beside the backup of a name


def nobody(_done: int, _total: int) -> None:
    """Show progress to nobody."""


def nothing(_name: str) -> None:
    """Put nothing beside a backup."""


class Backup:
    """One store and the folder that its backups go to."""

    def __init__(
        self, database: Database, pictures: PictureStore, archive: Archive, progress: Progress, beside: Beside
    ) -> None:
        self._database = database
        self._source = pictures
        self._archive = archive
        self._progress = progress
        self._beside = beside
        self._copied = 0

    def make(self, keep: int | None) -> BackedUp:
        """Make one backup, then remove all but the `keep` newest of this store."""
        if keep is not None and keep < 1:
            raise InvalidValue("keep", f"expected to keep at least 1 backup, found {keep}")
        self._require_possible()
        with self._archive.locked():
            self._target = PictureStore(str(self._archive.pictures))
            try:
                self._sweep()
                return self._make(self._archive.new_name(), keep)
            finally:
                self._target.close()

    def _make(self, name: str, keep: int | None) -> BackedUp:
        try:
            manifest, left_out = self._write(name)
        except BaseException:
            self._clean_up()
            raise
        self._beside(name)
        pruned = self._prune(keep)
        content = manifest.content
        return BackedUp(
            name, content.samples, content.identities, content.pictures, self._copied, left_out, pruned
        )  # fmt: skip

    def _write(self, name: str) -> tuple[Manifest, int]:
        """Copy and look at everything, and give the backup its name last."""
        file = self._archive.begin(name)
        with self._database.write() as connection:  # before the copy, so that no erasure overlooks it
            made_at = known_backups.begin(connection, name)
        self._database.copy(file)
        lost = self._copy_pictures(file)
        left_out = copies.without(file, lost) if lost else 0
        copies.compact(file)
        with copies.reading(file) as connection:
            if problems := damage(connection):
                raise StoreDamaged(f"the catalogue cannot be backed up, it is damaged: {problems[0]}")
            manifest = Manifest(name, made_at, copies.content(connection), copies.sha256(file))
        with self._database.write() as connection:
            known_backups.put(connection, name, made_at, manifest.content.last_seq, manifest.content.last_sample)
        self._archive.publish(manifest)
        return manifest, left_out

    def _copy_pictures(self, file: Path) -> set[bytes]:
        """Bring every picture of the copy into the folder and read it back; return those that were erased."""
        lost: set[bytes] = set()
        with copies.reading(file) as connection:
            total, done = copies.content(connection).pictures, 0
            for batch in chunks(copies.digests(connection), _BATCH):
                lost |= self._copy_batch(batch)
                done += len(batch)
                self._progress(done, total)
        return lost

    def _copy_batch(self, digests: list[bytes]) -> set[bytes]:
        needed = [digest for digest in digests if not self._whole(digest)]
        found = {digest: data for digest in needed if (data := self._read(digest)) is not None}
        self._target.put(found)
        for digest in found:
            if not self._whole(digest):
                raise StoreDamaged(
                    f"picture {digest.hex()} was read back other than it was written: look at the disk of the backups"
                )
        self._copied += len(found)
        return set(needed) - found.keys()

    def _whole(self, digest: bytes) -> bool:
        """Tell whether the folder has the picture; one whose bytes are not its own is removed, to be copied again."""
        try:
            self._target.get(digest)
        except PictureNotStored:
            return False
        except StoreDamaged:
            _log.warning("picture %s is altered in the folder of backups: it is removed there", digest.hex())
            self._target.remove([digest])
            return False
        return True

    def _read(self, digest: bytes) -> bytes | None:
        """Read a picture of the store; None when no sample uses it any more."""
        for last in (False, True):
            try:
                return self._source.get(digest)
            except (PictureNotStored, StoreDamaged) as exc:
                with self._database.read() as connection:
                    if removal.unused(connection, [digest]):
                        return None
                if last:  # a picture that was erased and enrolled again is there the second time
                    raise StoreDamaged(f"picture {digest.hex()} cannot be backed up: {exc}") from exc
        raise AssertionError("the loop returns or raises")

    # --- removing -----------------------------------------------------------------------------------------------

    def _prune(self, keep: int | None) -> tuple[str, ...]:
        """Remove all but the newest of this store's backups; those of other stores in the folder stay."""
        if keep is None:
            return ()
        with self._database.read() as connection:
            own = known_backups.names(connection)
        old = [name for name in self._archive.names() if name in own][:-keep]
        for name in old:
            self._archive.hide(name)
        self._clean_up()
        return tuple(old)

    def _sweep(self) -> None:
        """Remove what is hidden: its catalogue, the pictures that only it named, then the memory of it."""
        hidden = self._archive.unfinished()
        if not hidden:
            return
        for name in hidden:
            self._archive.empty(name)
        self._archive.remove_unnamed(self._target)
        self._forget(hidden)
        for name in hidden:
            self._archive.clear(name)

    def _forget(self, names: Iterable[str]) -> None:
        with self._database.write() as connection:
            known_backups.forget(connection, names)

    def _clean_up(self) -> None:
        """Sweep after the backup itself has succeeded or failed; where this fails, the next one does it."""
        try:
            self._sweep()
        except GalleryError as exc:
            _log.warning("something of removed backups is left, and the next backup removes it: %s", exc)

    def _require_possible(self) -> None:
        if self._database.file is None:
            raise BackupRefused(
                "expected a SQLite catalogue, found a database server: use the server's own tool, such as pg_dump, "
                "and copy the pictures after it"
            )
        live = self._source.folder
        if live is not None and self._archive.pictures.resolve().is_relative_to(live.resolve()):
            raise BackupRefused(
                f"expected a folder of its own for the backups, found the store's own in {self._archive.folder}"
            )
