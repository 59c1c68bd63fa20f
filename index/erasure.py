"""After a deletion: clear what still holds the bytes, and read back that nothing does."""

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from sqlalchemy import Connection, Table, func, select

from index import audit, catalogue, closing, known_backups, names, removal, residue
from index.database import Database, chunks
from index.errors import DeletionUnfinished, GalleryError, StoreUnavailable
from index.follower import Follower
from index.pictures import PictureStore
from index.records import Erased
from index.removal import Removed
from index.schema import awaited_pictures, embeddings, picture_removals, samples
from index.snapshots import Snapshots

_log = logging.getLogger(__name__)
_REST = "once that is put right, the service's expiry, its next start or `reid gallery expire` removes the rest"
_BATCH = 200  # pictures of one transaction: all writers wait while a slow store removes them


@contextmanager
def committed(what: str) -> Iterator[None]:
    """Say of a store that fails after a deletion was committed what holds: its own words are of a request not taken."""
    try:
        yield
    except StoreUnavailable as exc:
        reason = str(exc).partition(": nothing ")[0]
        raise DeletionUnfinished(what, f"{reason}; {_REST}") from exc


class Eraser:
    """Removes the traces of deleted samples outside the catalogue's rows."""

    def __init__(
        self, database: Database, pictures: PictureStore, snapshots: Snapshots, followers: Callable[[], list[Follower]]
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._snapshots = snapshots
        self._followers = followers

    def clear(self, gallery: int, removed: Removed) -> set[bytes]:
        """Remove snapshots, pictures that no sample uses, and the log's old pages; return the pictures removed."""
        self._snapshots.discard(gallery)
        pictures = self.remove_pictures()
        if not self._database.checkpoint():
            _log.warning("the write-ahead log could not be emptied after a deletion: a reader is in the way")
        return pictures & removed.digests

    def finish(self) -> None:
        """Do what was cut short: galleries that are not empty yet, pictures that are half removed or half written."""
        closing.finish(self._database)
        self._pictures.sweep()
        self.remove_pictures()
        self.remove_pictures(awaited_pictures)

    def remove_pictures(self, noted: Table = picture_removals) -> set[bytes]:
        """Remove the pictures that deletions left unused, or that killed enrolments stored."""
        gone: set[bytes] = set()
        last = b""  # once through: others may write down more all the while
        while True:
            with self._database.read() as connection:
                pending = removal.pending(connection, last, _BATCH, noted)
            if not pending:
                return gone
            last = pending[-1]
            self._pictures.require()  # here, where nobody waits for the answer of a dead server
            with self._database.write() as connection:
                gone |= self._pictures.remove(removal.unused(connection, pending))
                removal.settle(connection, pending, noted)

    def delete(self, gallery: int, removed: Removed, entry: int) -> None:
        """Clear without reading back, and tell the audit log."""
        audit.settle(self._database, entry, len(self.clear(gallery, removed)), None)

    def erase(self, gallery: int, removed: Removed, entry: int) -> Erased:
        """Clear, then read back every place; only what was read back is called verified. Tell the audit log.

        On a database server, verified says: no row, picture, index or snapshot of this process holds it, and the
        server has taken the dead rows out of its tables. Its disk, its log and its replicas are its operator's, and
        other processes remove their snapshots as they follow.
        """
        pictures = self.clear(gallery, removed)
        try:
            verified = self._verify(gallery, removed, pictures)
        except (GalleryError, subprocess.SubprocessError, OSError) as exc:
            _log.error("an erasure could not be read back: %s", exc)
            verified = False
        audit.settle(self._database, entry, len(pictures), verified)
        with self._database.read() as connection:
            held = known_backups.holding(connection, removed.keys)
        return Erased(len(removed.keys), len(pictures), len(removed.vectors), verified, held)

    def _verify(self, gallery: int, removed: Removed, pictures: set[bytes]) -> bool:
        with self._database.read() as connection:
            rows = _still_in_catalogue(connection, removed)
            used = removed.digests - set(removal.unused(connection, removed.digests))
        places = {
            "catalogue": not rows,
            "pictures": set(self._pictures.missing(removed.digests)) == removed.digests - used,
            "versions of the bucket": not self._pictures.keeps_removed(),
            "index": self._absent_from_index(gallery, removed),
            "snapshot": not self._snapshots.any_of(gallery),
            "files": self._absent_from_files(gallery, removed),
        }
        for place, clean in places.items():
            if not clean:
                _log.error("an erasure left something in the %s", place)
        return all(places.values()) and pictures <= removed.digests

    def _absent_from_index(self, gallery: int, removed: Removed) -> bool:
        for follower in self._followers():  # one for each version that is in memory
            with follower.lock.reading():
                rows = follower.shard(gallery).roster.find(np.array(removed.keys, dtype=np.int64))
            if bool((rows >= 0).any()):
                return False
        return True

    def _absent_from_files(self, gallery: int, removed: Removed) -> bool:
        """Look for vectors, ids and names in the database's bytes; rewrite the file when some are left.

        A server's files are not ours to read: it cleans its tables, or this raises `StoreUnavailable`.
        `secure_delete` overwrites what is deleted where it lay, but not copies that SQLite left behind
        when it moved rows between pages.
        """
        if self._database.file is None:
            self._database.vacuum()
            return True
        needles = [chosen for vector in removed.vectors if (chosen := residue.needle(vector)) is not None]
        needles += [(sample_id.encode(), len(sample_id) - 8) for sample_id in removed.sample_ids]
        named = {cell: text for number, text in removed.texts for cell in residue.cells(gallery, number, text)}
        needles = list(dict.fromkeys((*needles, *named)))  # one picture may have been enrolled for a thousand people
        if not self._residue(gallery, needles, named):
            return True
        _log.info("old copies of deleted rows are left in the catalogue's file: rewriting it")
        self._database.vacuum()
        self._database.checkpoint()
        return not self._residue(gallery, needles, named)

    def _residue(self, gallery: int, needles: list[tuple[bytes, int]], named: dict[tuple[bytes, int], str]) -> bool:
        """Tell whether any of the needles is left without right; the catalogue is asked after the files were read."""
        file = self._database.file
        assert file is not None
        found = {needles[index] for index in residue.find([file, file.with_name(file.name + "-wal")], needles)}
        if not found:
            return False
        with self._database.read() as connection:
            standing = _still_named(connection, gallery, {named[each] for each in found & named.keys()})
            return _left_behind(connection, {each[0] for each in found if named.get(each) not in standing})


def _still_in_catalogue(connection: Connection, removed: Removed) -> int:
    rows = 0
    for chunk in chunks(removed.keys):
        rows += len(connection.scalars(select(samples.c.id).where(samples.c.id.in_(chunk))).all())
        rows += len(connection.scalars(select(embeddings.c.sample_id).where(embeddings.c.sample_id.in_(chunk))).all())
    return rows


def _still_named(connection: Connection, gallery: int, texts: set[str]) -> set[str]:
    """Return those that are rightly there: a camera may be called as an identity was."""
    people, places = (
        names.identity_numbers(connection, gallery, texts),
        names.camera_numbers(connection, gallery, texts),
    )
    return people.keys() | places.keys() | catalogue.by_external_id(connection, gallery, texts).keys()


def _left_behind(connection: Connection, found: set[bytes]) -> bool:
    """Tell whether any of it is not the embedding of a sample that stays; those are gone through once for all."""
    if not found:
        return False
    query = select(func.substr(embeddings.c.vector, 1, residue.WINDOW))
    for vector in connection.execution_options(yield_per=1000).scalars(query):
        found.discard(vector)
        if not found:
            break
    return bool(found)
