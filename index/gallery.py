"""The gallery: everything that is enrolled, and the answers to who is this."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from index import audit, catalogue, closing, filters, listing, removal, values
from index.answering import answer, shortlist
from index.archive import Archive
from index.backup import Backup, Beside, Progress, nobody, nothing
from index.catalogue import DEFAULT_GALLERY
from index.check import Check, remove_orphans
from index.database import Database
from index.enrolment import Enrolment, Prepared, known, prepare
from index.erasure import Eraser, committed
from index.errors import InvalidValue, PictureNotStored, SampleNotFound
from index.follower import Shard
from index.indexes import Indexes
from index.keys import Keys
from index.labels import LabelAnswers
from index.migrations import Migrations
from index.opening import bind, require_pictures, snapshot_folder
from index.pictures import PictureStore
from index.records import (
    Action,
    AuditEntry,
    BackedUp,
    CheckReport,
    Embedding,
    Enrolled,
    Erased,
    GalleryInfo,
    IdentitySummary,
    NewSample,
    Page,
    Ranking,
    Sample,
    SampleFilter,
    Shortlist,
)
from index.retention import Retention
from index.schema import samples
from index.shared_commit import SharedCommit
from index.strangers import stranger_scores
from index.vectors import IndexOptions

_log = logging.getLogger(__name__)
_EVERYTHING = SampleFilter()
_AS_IT_IS_BEST = IndexOptions()


class GalleryStore:
    """All galleries of one data folder. Thread-safe; other processes may write to the same folder meanwhile.

    On a database server, each process has its own folder of snapshots, and all share the pictures.
    """

    def __init__(self, database: Database, pictures: PictureStore, indexes: Indexes) -> None:
        self._database = database
        self._pictures = pictures
        self.indexes = indexes
        self.keys = Keys(database)
        self.labels = LabelAnswers(database)
        self._door = SharedCommit(self._enrol)
        self._eraser = Eraser(database, pictures, indexes.serving.snapshots, indexes.followers)
        self.retention = Retention(database, self._eraser, indexes.follow)
        self.migrations = Migrations(database, pictures, indexes, self._eraser)

    @classmethod
    def open(
        cls,
        database_url: str,
        blob_url: str,
        *,
        model_version: str,
        dim: int,
        snapshots: Path | None = None,
        index: IndexOptions = _AS_IT_IS_BEST,
    ) -> Self:
        """Open the data folder, or make a new one.

        Index snapshots lie beside a SQLite file unless a folder is given for them. Raises `ModelMismatch` when
        samples of another version are enrolled, `StoreDamaged` for a catalogue that cannot be read,
        `StoreUnavailable` when the disk does not do what it should.
        """
        database = Database.open(database_url)
        try:
            version = bind(database, model_version, dim)
            indexes = Indexes(database, snapshot_folder(database, snapshots), index, version)
            store = cls(database, PictureStore(blob_url), indexes)
            require_pictures(database, store._pictures)
            store._eraser.finish()
            indexes.serving.snapshots.sweep()
        except BaseException:
            database.close()
            raise
        return store

    @property
    def model_version(self) -> str:
        """The version whose embeddings are compared."""
        return self.indexes.serving.version.name

    @property
    def dim(self) -> int:
        """The length of an embedding of that version."""
        return self.indexes.serving.version.dim

    def close(self) -> None:
        """Write the index snapshots and close all files; what was answered is on the disk already."""
        self.indexes.save()
        self._pictures.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- samples ----------------------------------------------------------------------------------------------

    def enrol(self, gallery: str, items: Sequence[NewSample], *, model_version: str) -> list[Enrolled]:
        """Enrol pictures with their embeddings; return each item's outcome, in order.

        When this returns, what was created is on the disk and in every query. A bad item is rejected alone.
        Raises `GalleryNotFound`, `ModelMismatch`, `StoreUnavailable` (nothing was taken).
        """
        dim = self.indexes.of(model_version).version.dim
        prepared = [prepare(item, model_version, dim) for item in items]  # here, while another caller's is committed
        return self._door.enrol(gallery, prepared, model_version)

    def _enrol(self, gallery: str, items: Sequence[Prepared], version: str) -> list[Enrolled]:
        self.indexes.of(version)  # it may have been dropped since
        outcome = Enrolment(items).run(self._database, self._pictures, gallery)
        self.indexes.follow()
        return outcome

    def known(self, gallery: str, keys: Sequence[tuple[str, str, str | None]]) -> list[str | None]:
        """Return the sample that each (digest, identity, camera) would be a duplicate of.

        None also where enrolling the picture again gives that sample an embedding or the picture, which it lacks or
        has lost.
        """
        wanted = [_content(*key) for key in keys]
        with self._database.read() as connection:
            into = catalogue.gallery(connection, gallery)
            rows = known(connection, into, wanted)
        stored = {row.digest for row in rows if row is not None and row.picture_stored and into.store_images}
        lost = stored - self._pictures.whole(stored)
        return [None if row is None or row.digest in lost else row.sample_id for row in rows]

    def get(self, gallery: str, sample_id: str) -> Sample:
        """Return one sample or raise `SampleNotFound`."""
        with self._database.read() as connection:
            into = catalogue.gallery(connection, gallery)
            return catalogue.to_sample(catalogue.sample(connection, into, sample_id), gallery)

    def picture(self, gallery: str, sample_id: str) -> bytes:
        """Return a sample's picture as it was sent; raise `PictureNotStored` when it was not kept."""
        with self._database.read() as connection:
            row = catalogue.sample(connection, catalogue.gallery(connection, gallery), sample_id)
        if not row.picture_stored:
            raise PictureNotStored(f"gallery {gallery!r} kept no picture of sample {sample_id}")
        return self._pictures.get(row.digest)

    def read_picture(self, digest: bytes) -> bytes:
        """Return a stored picture by its sha256; raise `PictureNotStored`, `StoreDamaged`."""
        return self._pictures.get(digest)

    def embedding(self, gallery: str, sample_id: str, *, model_version: str) -> Embedding:
        """Return a sample's embedding of a version, (D,); raise `SampleNotFound`, also where it has none."""
        index = self.indexes.of(model_version)
        with self._database.read() as connection:
            row = catalogue.sample(connection, catalogue.gallery(connection, gallery), sample_id)
            found = index.stored(connection, [row.id])
        if row.id not in found:
            raise SampleNotFound(f"sample {sample_id} has no embedding of {model_version}: run `reid gallery check`")
        return found[row.id]

    def embeddings(self, gallery: str, sample_ids: Sequence[str], *, model_version: str) -> dict[str, Embedding]:
        """Return the embeddings of a version, (D,) each, of those samples that are there."""
        return self.indexes.of(model_version).embeddings(gallery, sample_ids)

    def page(self, gallery: str, where: SampleFilter, *, limit: int, cursor: str | None = None) -> Page[Sample]:
        """List samples in the order of enrolment."""
        index = self.indexes.serving

        def ask(connection: Connection, number: int, shard: Shard) -> Page[Sample]:
            allowed = filters.select_rows(connection, number, shard, index.follower.applied, where)
            return listing.samples_page(connection, gallery, shard.roster, allowed, limit, cursor)

        return index.at_one_moment(gallery, ask)

    def all_samples(self, gallery: str) -> Iterator[Sample]:
        """Yield every sample in the order of enrolment, a page at a time; others may write meanwhile."""
        cursor = None
        while True:
            page = self.page(gallery, _EVERYTHING, limit=listing.MOST, cursor=cursor)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def update(self, gallery: str, sample_id: str, changes: Mapping[str, object]) -> Sample:
        """Replace any of identity, camera, captured_at and attributes; None clears, but for the identity."""
        columns = values.changes(changes)
        with self._database.write() as connection:
            into = catalogue.gallery(connection, gallery)
            row = catalogue.sample(connection, into, sample_id)
            if columns:
                catalogue.change(connection, into, row, columns)
            changed = catalogue.to_sample(catalogue.sample(connection, into, sample_id), gallery)
        self.indexes.follow()
        return changed

    def delete(self, gallery: str, sample_id: str, actor: str | None = None) -> None:
        """Delete a sample: row, embeddings, and the picture when no other sample uses it."""
        with self._database.write() as connection:
            into = catalogue.gallery(connection, gallery)
            row = catalogue.sample(connection, into, sample_id)
            removed = removal.remove(connection, into.id, [row.id])
            entry = audit.write(connection, Action.DELETE_SAMPLE, into, removed, actor)
        with committed("sample"):
            self.indexes.follow()
            self._eraser.delete(into.id, removed, entry)

    # --- identities -------------------------------------------------------------------------------------------

    def identities(self, gallery: str, *, limit: int, cursor: str | None = None) -> Page[IdentitySummary]:
        """List identities by name."""
        with self._database.read() as connection:
            return listing.identities_page(connection, catalogue.gallery(connection, gallery), limit, cursor)

    def identity(self, gallery: str, identity: str) -> IdentitySummary:
        """Return one identity or raise `IdentityNotFound`."""
        with self._database.read() as connection:
            return listing.identity(connection, catalogue.gallery(connection, gallery), identity)

    def rename(self, gallery: str, identity: str, new: str) -> IdentitySummary:
        """Rename an identity; onto a name that is taken it merges, and every sample stays."""
        name = values.name("identity", new)
        with self._database.write() as connection:
            into = catalogue.gallery(connection, gallery)
            number = listing.identity_number(connection, into, identity)
            if values.name("identity", identity) != name:
                catalogue.rename(connection, into.id, number, name)
            summary = listing.identity(connection, into, name)
        self.indexes.follow()
        return summary

    def erase(self, gallery: str, identity: str, actor: str | None = None) -> Erased:
        """Erase an identity from catalogue, pictures, index, snapshots and the files' free space; read it back."""
        with self._database.write() as connection:
            into = catalogue.gallery(connection, gallery)
            number = listing.identity_number(connection, into, identity)
            keys = catalogue.numbers_of(connection, samples.c.identity_id == number)
            removed = removal.remove(connection, into.id, keys)
            entry = audit.write(connection, Action.ERASE_IDENTITY, into, removed, actor)
        with committed("identity"):
            self.indexes.follow()
            return self._eraser.erase(into.id, removed, entry)

    # --- galleries --------------------------------------------------------------------------------------------

    def galleries(self) -> list[GalleryInfo]:
        """List all galleries by name."""
        self.indexes.follow()
        follower = self.indexes.serving.follower
        with self._database.read() as connection, follower.lock.reading():
            return listing.galleries_list(connection, lambda number: len(follower.shard(number).roster))

    def put_gallery(self, name: str, *, retention_days: int | None = None, store_images: bool = True) -> GalleryInfo:
        """Make a gallery or change its settings; pictures that are stored already stay."""
        if retention_days is not None and retention_days < 1:
            raise InvalidValue("retention_days", f"expected retention_days of at least 1, found {retention_days}")
        with self._database.write() as connection:
            catalogue.put_gallery(connection, values.gallery_name(name), retention_days, store_images)
        made = GalleryInfo(name, retention_days, store_images, samples=0, identities=0)
        return next((info for info in self.galleries() if info.name == name), made)  # another call may have deleted it

    def delete_gallery(self, name: str, actor: str | None = None) -> Erased:
        """Erase a gallery with all that is in it; `default` is there again at once, empty."""
        with self._database.write() as connection:
            into = catalogue.gallery(connection, name)
            entry = audit.write(connection, Action.DELETE_GALLERY, into, removal.NOTHING, actor)
            closing.close(connection, into.id)
            if name == DEFAULT_GALLERY:
                catalogue.put_gallery(connection, name, None, True)
        with committed("gallery"):
            self.indexes.follow()  # first, for its memory is free then for what is read back
            with self._database.read() as connection:
                removed = removal.contents(connection, into.id)  # all of it, for nobody can add to it any more
            closing.empty(self._database, into.id, entry)
            return self._eraser.erase(into.id, removed, entry)

    # --- search -----------------------------------------------------------------------------------------------

    def search(
        self,
        gallery: str,
        queries: Embedding,
        *,
        model_version: str,
        where: SampleFilter = _EVERYTHING,
        top_k: int = 10,
        samples_per_identity: int = 3,
    ) -> list[Ranking]:
        """Rank the identities of a gallery for each query, (Q, D), by the cosine of their best sample.

        Exact under any filter; ties rank by sample id. Raises `GalleryNotFound`, `ModelMismatch`,
        `DimensionMismatch`, `InvalidValue`.
        """
        index = self.indexes.of(model_version)
        return answer(index, gallery, queries, where, top_k, samples_per_identity)

    def shortlist(
        self,
        gallery: str,
        query: Embedding,
        *,
        model_version: str,
        where: SampleFilter = _EVERYTHING,
        top_k: int = 10,
        samples_per_identity: int = 3,
    ) -> Shortlist:
        """Search for one query, (D,), and return the embeddings of the samples that are shown beside their ranking."""
        return shortlist(self.indexes.of(model_version), gallery, query, where, top_k, samples_per_identity)

    def strangers(
        self, gallery: str, *, model_version: str, most: int, least_people: int, seed: int = 0
    ) -> Iterator[list[float]]:
        """Yield what strangers score at best, a few at a time: samples drawn, each compared with all but its identity.

        Nothing is yielded where fewer than `least_people` are drawn. Raises `GalleryNotFound`, `ModelMismatch`.
        """
        return stranger_scores(self.indexes.of(model_version), gallery, most, least_people, seed)

    # --- the store itself ---------------------------------------------------------------------------------

    def audit(self, *, limit: int, cursor: str | None = None) -> Page[AuditEntry]:
        """List what was deleted, newest first: who, when, where and how many, and never whom."""
        with self._database.read() as connection:
            return listing.audit_page(connection, limit, cursor)

    def backup(
        self, folder: Path, *, keep: int | None = None, progress: Progress = nobody, beside: Beside = nothing
    ) -> BackedUp:
        """Back everything up while others read and write; keep only the newest backups when told how many.

        `beside` is called with the backup's name once that is whole; where it raises, no older backup is removed.
        Raises `BackupRefused` for a database server or a folder that is no place for backups, `StoreDamaged` when
        what is to be copied is not whole, `StoreUnavailable`; what was begun is then removed.
        """
        return Backup(self._database, self._pictures, Archive(folder), progress, beside).make(keep)

    def check(self) -> CheckReport:
        """Compare rows, pictures, vectors, index and snapshots; report every difference."""
        return Check(self._database, self._pictures, self.indexes.serving).run()

    def rebuild(self) -> int:
        """Build the index anew from the catalogue, remove files that no sample uses, and rewrite the catalogue.

        So nothing is left of what an erasure could not clean away. A picture or a vector that is lost stays lost, and
        `check` goes on to tell it. Returns the count of vectors.
        """
        serving = self.indexes.serving
        for gallery in list(serving.follower.shards):
            serving.snapshots.discard(gallery)
        self.indexes.load(serving.version, anew=True)
        orphans = remove_orphans(self._database, self._pictures)
        if orphans:
            _log.warning("removed %d pictures that no sample uses", orphans)
        self._database.vacuum()
        self._database.checkpoint()
        self.indexes.save()
        return len(self.indexes.serving)


def _content(digest: str, identity: str, camera: str | None) -> tuple[bytes, str, str | None]:
    try:
        raw = bytes.fromhex(digest)
    except ValueError as exc:
        raise InvalidValue("digest", "expected a sha256 in hexadecimal") from exc
    return raw, values.name("identity", identity), values.optional_name("camera", camera)
