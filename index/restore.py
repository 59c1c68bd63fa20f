"""Restoring a backup into an empty data folder.

Everything is checked before anything is put in place. The catalogue is prepared beside its place, which also marks
the folder as one whose restore is under way; the pictures follow; the catalogue's renaming, the last step, makes the
store. Whatever stops it before can be done again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from secrets import token_hex

from sqlalchemy import Connection, func, select, update
from sqlalchemy.engine import URL

from index import audit, copies, known_backups
from index.archive import Archive, Manifest
from index.backup import Progress, nobody
from index.check import remove_orphans
from index.database import Database, chunks, file_of, make_file, make_folder, restoring, sync_file, sync_folder
from index.errors import BackupRefused, GalleryError, PictureNotStored, StoreDamaged
from index.faults import disk_faults
from index.gallery import GalleryStore
from index.pictures import PictureStore
from index.records import CheckReport, Restored
from index.schema import embeddings, ledger

_WHAT = "the data folder"
_SQLITE_FILES = ("-wal", "-shm", "-journal")  # what SQLite has beside a catalogue
_BATCH = 32  # pictures that are in memory together


def restore(
    folder: Path, database_url: str, blob_url: str, *, name: str | None = None, progress: Progress = nobody
) -> Restored:
    """Restore a backup, the newest unless one is named, into a data folder in which nothing is yet.

    Raises `BackupRefused` when there is no such backup or the data folder is not empty, `StoreDamaged` when the
    backup is not what was written; nothing is touched then.
    """
    file = file_of(database_url)
    if file is None:
        raise BackupRefused(
            "expected a SQLite catalogue to restore into, found a database server: use the server's own tool, "
            "such as pg_restore with what pg_dump wrote"
        )
    archive = Archive(folder)
    name = archive.newest() if name is None else name
    try:
        manifest = archive.manifest(name)
        archive.verify(manifest)
    except StoreDamaged as exc:
        raise _damaged(archive, name, exc) from exc
    return _Restore(archive, manifest, file, blob_url, progress).run(database_url)


class _Restore:
    """One backup on its way into one data folder."""

    def __init__(self, archive: Archive, manifest: Manifest, file: Path, blob_url: str, progress: Progress) -> None:
        self._archive = archive
        self._manifest = manifest
        self._file = file
        self._staged = restoring(file)
        self._blob_url = blob_url
        self._progress = progress
        self._done = 0

    def run(self, database_url: str) -> Restored:
        """Check, prepare, copy, rename; then let the store look at itself."""
        source, target = PictureStore(str(self._archive.pictures)), PictureStore(self._blob_url)
        try:
            self._require_empty(target)
            self._check_pictures(source)
            again = self._staged.exists()
            entry = self._stage(again)
            self._copy_pictures(source, target)
            self._publish(target, again)
        finally:
            source.close()
            target.close()
        report = self._look(database_url, entry)
        return Restored(self._manifest.name, self._manifest.content.model_version, report)

    def _require_empty(self, target: PictureStore) -> None:
        snapshots = self._file.with_suffix(".index")
        found = [path.name for path in (self._file, _beside(self._file, "-wal")) if path.exists()]
        with disk_faults(_WHAT):
            found += [f"{snapshots.name}/{path.name}" for path in snapshots.glob("*")][:1]
        if not self._staged.exists() and list(islice(target.stored(), 1)):
            found.append("pictures")
        if found:
            raise BackupRefused(
                f"expected an empty data folder to restore into, found {', '.join(found)}: stop what uses it and move "
                "it away, or set REID_DATA_DIR to a new folder"
            )

    def _check_pictures(self, source: PictureStore) -> None:
        for batch in self._batches():
            for digest in batch:
                self._get(source, digest)
            self._count(batch)

    def _get(self, source: PictureStore, digest: bytes) -> bytes:
        try:
            return source.get(digest)
        except (PictureNotStored, StoreDamaged) as exc:
            problem = StoreDamaged(f"picture {digest.hex()} is missing or was altered")
            raise _damaged(self._archive, self._manifest.name, problem) from exc

    def _stage(self, again: bool) -> int:
        """Prepare the catalogue beside its place; return the number of its entry in the audit log.

        What an earlier restore left there is written over and never removed: it marks the pictures that are in place.
        """
        make_folder(self._file.parent)
        self._remove_staged(*_SQLITE_FILES)
        try:
            with disk_faults(_WHAT):
                make_file(self._staged)
                shutil.copyfile(self._archive.catalogue(self._manifest.name), self._staged)
                sync_file(self._staged)
                sync_folder(self._file.parent)
                if copies.sha256(self._staged) != self._manifest.catalogue_sha256:
                    raise StoreDamaged("the copy of the catalogue is not what was read before: look at the disks")
            return self._rewrite()
        except GalleryError:
            if not again:
                self._remove_staged(*_SQLITE_FILES, "")
            raise

    def _rewrite(self) -> int:
        """Make the copy a store of its own: under another id, so that no snapshot of the old one fits it."""
        staged = Database.open(URL.create("sqlite", database=str(self._staged)))
        with closing(staged) as database, database.write() as connection:
            connection.execute(update(ledger).values(store_id=token_hex(16)))
            self._remember(connection)
            vectors = connection.scalar(select(func.count()).select_from(embeddings)) or 0
            return audit.write_restore(connection, self._manifest.content.samples, vectors)

    def _remember(self, connection: Connection) -> None:
        """Write down every backup here that shares samples with this one."""
        last, known = self._manifest.content.last_sample, known_backups.names(connection)
        for name in self._archive.names():
            try:
                other = self._archive.manifest(name)
                shared = name in known or self._descends(other)
            except GalleryError:
                continue  # what cannot be read cannot be told
            if shared:
                content = other.content
                known_backups.put(connection, name, other.made_at, content.last_seq, min(last, content.last_sample))

    def _descends(self, other: Manifest) -> bool:
        """Tell whether a backup is of the same store, or of one that was restored from this backup."""
        if other.content.store_id == self._manifest.content.store_id:
            return True
        with copies.reading(self._archive.catalogue(other.name)) as connection:
            return self._manifest.name in known_backups.names(connection)

    def _copy_pictures(self, source: PictureStore, target: PictureStore) -> None:
        for batch in self._batches():
            there = set(batch) - set(target.missing(batch))  # of a restore that was cut short
            target.remove(there - target.whole(there))
            target.put({digest: self._get(source, digest) for digest in target.missing(batch)})
            self._count(batch)

    def _publish(self, target: PictureStore, again: bool) -> None:
        if again:  # the restore that was cut short may have been of another backup
            with closing(Database(URL.create("sqlite", database=str(self._staged)))) as database:
                remove_orphans(database, target)
        with disk_faults(_WHAT):
            assert not _beside(self._staged, "-wal").exists()
            os.replace(self._staged, self._file)  # noqa: PTH105
            sync_folder(self._file.parent)

    def _look(self, database_url: str, entry: int) -> CheckReport:
        content = self._manifest.content
        with GalleryStore.open(
            database_url, self._blob_url, model_version=content.model_version, dim=content.dim
        ) as store:
            report = store.check()
        with closing(Database(database_url)) as database:
            audit.settle(database, entry, report.pictures, report.clean)
        return report

    def _batches(self) -> Iterator[list[bytes]]:
        with copies.reading(self._archive.catalogue(self._manifest.name)) as connection:
            yield from chunks(copies.digests(connection), _BATCH)

    def _count(self, batch: list[bytes]) -> None:
        self._done += len(batch)
        self._progress(self._done, 2 * self._manifest.content.pictures)  # all are read twice: before, and to copy

    def _remove_staged(self, *endings: str) -> None:
        with disk_faults(_WHAT):
            for ending in endings:
                _beside(self._staged, ending).unlink(missing_ok=True)


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _damaged(archive: Archive, name: str, error: GalleryError) -> StoreDamaged:
    others = [other for other in archive.names() if other != name]
    hint = f"restore another with --backup, such as {others[-1]}" if others else "there is no other in this folder"
    return StoreDamaged(f"backup {name} cannot be restored: {error}; {hint}")
