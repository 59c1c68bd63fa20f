"""Enrolment: from what a caller gives to what the catalogue takes, item by item."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, update

from index import catalogue, reembedding, removal, values
from index.catalogue import Entry, Gallery
from index.database import Database, chunks
from index.errors import DimensionMismatch, ExternalIdConflict, GalleryError, InvalidValue, ModelMismatch
from index.migration import written_versions
from index.pictures import PictureStore
from index.records import Enrolled, EnrolStatus, NewSample
from index.schema import awaited_pictures, samples

_log = logging.getLogger(__name__)
_Content = tuple[bytes, str, str | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item as the catalogue takes it, or what is wrong with it."""

    entry: Entry | GalleryError
    picture: bytes


def prepare(item: NewSample, version: str, dim: int) -> Prepared:
    """Check an item by itself, and hash its picture."""
    try:
        return Prepared(_entry(item, version, dim), item.picture)
    except GalleryError as exc:
        return Prepared(exc, item.picture)


def known(connection: Connection, into: Gallery, contents: Sequence[_Content]) -> list[Row[Any] | None]:
    """Return the sample that each would be a duplicate of; None also where one lacks what its picture brings.

    Whether its own picture is still whole is for the caller to ask: no transaction waits for a store elsewhere.
    """
    there = catalogue.by_content(connection, into.id, {digest for digest, _, _ in contents})
    if not there:
        return [None] * len(contents)
    serving, versions = written_versions(connection)
    held = reembedding.held(connection, [row.id for rows in there.values() for row in rows])

    def whole(row: Row[Any]) -> bool:
        if (row.id, serving.number) not in held:
            return False
        # with a picture a migration makes the other vectors, without one it leaves the sample out
        others = {(row.id, version.number) for version in versions.values()}
        return bool(row.picture_stored) or (not into.store_images and others <= held)

    return [rows[0] if (rows := there.get(each)) and all(map(whole, rows)) else None for each in contents]


class Enrolment:
    """What is committed at once: its good entries, their pictures, and the outcome of each item."""

    def __init__(self, items: Sequence[Prepared]) -> None:
        self._outcomes: list[Enrolled | None] = [None] * len(items)
        self._entries: dict[int, Entry] = {}
        self._pictures: dict[bytes, bytes] = {}
        for index, item in enumerate(items):
            if isinstance(item.entry, GalleryError):
                self._outcomes[index] = Enrolled(EnrolStatus.REJECTED, error=item.entry)
            else:
                self._entries[index] = item.entry
                self._pictures[item.entry.digest] = item.picture

    def run(self, database: Database, pictures: PictureStore, gallery: str) -> list[Enrolled]:
        """Store the pictures, then commit the samples; what is left over after a failure is removed again."""
        with database.read() as connection:
            into = catalogue.gallery(connection, gallery)
            asked = self._pictures if into.store_images else ()
            there = catalogue.by_content(connection, into.id, asked)
        stored = pictures.whole({row.digest for rows in there.values() for row in rows if row.picture_stored})
        new = {digest: data for digest, data in self._pictures.items() if digest not in stored}
        kept: set[bytes] = set()
        try:
            if into.store_images and new:
                with database.write() as connection:
                    removal.note(connection, new, awaited_pictures)
                pictures.put(new)
            with database.write() as connection:
                written = self._commit(connection, pictures, gallery)
                removal.settle(connection, written & new.keys(), awaited_pictures)
            kept = written  # not before: the commit itself may fail
        finally:
            if into.store_images and (left := new.keys() - kept):
                _discard(database, pictures, left)
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _commit(self, connection: Connection, pictures: PictureStore, gallery: str) -> set[bytes]:
        """Write what is new, and what was lacking; return the digests of the pictures of that."""
        into = catalogue.gallery(connection, gallery)
        versions = self._versions(connection)
        new, again = self._sort(connection, into)
        bare = {row.id: row.digest for row in again if not row.picture_stored}
        digests = {self._entries[index].digest for index in new} | {row.digest for row in again}
        if into.store_images:
            # an erasure in another process may have removed a picture since; no one removes any while we write
            pictures.put({digest: self._pictures[digest] for digest in pictures.missing(digests)})
            _note_stored(connection, bare)
        for name, number in versions.items():
            vectors = {row.id: entry.vectors[name] for row, entry in again.items() if name in entry.vectors}
            reembedding.mend(connection, number, vectors)
        ids = catalogue.add(connection, into, versions, [self._entries[index] for index in new])
        made = dict(zip((self._entries[index].content for index in new), ids, strict=True))
        for index, entry in self._entries.items():
            if self._outcomes[index] is None:
                status = EnrolStatus.CREATED if index in new else EnrolStatus.DUPLICATE
                self._outcomes[index] = Enrolled(status, made[entry.content])
        return digests if into.store_images else set()

    def _versions(self, connection: Connection) -> dict[str, int]:
        """Return the versions that each sample is to have a vector of, by name; the one that serves must be given."""
        serving, versions = written_versions(connection)
        for entry in self._entries.values():
            if serving.name not in entry.vectors:
                found = ", ".join(entry.vectors)
                raise ModelMismatch(f"expected embeddings of {serving.name}, found {found}: embed the pictures again")
            for name, vector in entry.vectors.items():
                if name in versions and len(vector) != 4 * versions[name].dim:
                    raise DimensionMismatch(
                        f"expected embeddings of {versions[name].dim} numbers for {name}, found {len(vector) // 4}"
                    )
        return {name: version.number for name, version in versions.items()}

    def _sort(self, connection: Connection, into: Gallery) -> tuple[list[int], dict[Row[Any], Entry]]:
        """Decide each entry against the catalogue and its neighbours.

        Return the indices of the new ones, and the samples that others are duplicates of.
        """
        content = catalogue.by_content(connection, into.id, self._pictures)
        external = catalogue.by_external_id(
            connection,
            into.id,
            {entry.external_id for entry in self._entries.values() if entry.external_id is not None},
        )
        taken = {name: held for name, (_, held) in external.items()}
        fresh: set[_Content] = set()
        new: list[int] = []
        again: dict[Row[Any], Entry] = {}
        for index, entry in self._entries.items():
            holder = None if entry.external_id is None else taken.get(entry.external_id)
            if holder is not None and holder != entry.content:
                self._outcomes[index] = Enrolled(EnrolStatus.REJECTED, error=_conflict(entry))
            elif entry.content in content:
                rows = content[entry.content]
                self._outcomes[index] = Enrolled(EnrolStatus.DUPLICATE, rows[0].sample_id)
                again |= dict.fromkeys(rows, entry)
            elif entry.content not in fresh:
                fresh.add(entry.content)
                new.append(index)
                if entry.external_id is not None:
                    taken[entry.external_id] = entry.content
        return new, again


def _entry(item: NewSample, version: str, dim: int) -> Entry:
    if not item.picture:
        raise InvalidValue("image", "expected the bytes of a picture, found none")
    vectors = {name: values.embedding("embedding", other, len(other)) for name, other in item.others.items()}
    vectors[version] = values.embedding("embedding", item.embedding, dim)
    return Entry(
        identity=values.name("identity", item.identity),
        camera=values.optional_name("camera", item.camera),
        captured_at=values.microseconds("captured_at", item.captured_at),
        attributes=values.attributes(item.attributes),
        external_id=values.optional_name("external_id", item.external_id),
        digest=hashlib.sha256(item.picture).digest(),
        vectors={name: vector.tobytes() for name, vector in vectors.items()},
    )


def _conflict(entry: Entry) -> ExternalIdConflict:
    return ExternalIdConflict(
        f"external_id {entry.external_id!r} is taken by a sample with another picture, identity or camera: "
        "delete that sample first, or use another external_id"
    )


def _note_stored(connection: Connection, keys: Iterable[int]) -> None:
    for chunk in chunks(keys):
        connection.execute(update(samples).where(samples.c.id.in_(chunk)).values(picture_stored=True))


def _discard(database: Database, pictures: PictureStore, digests: set[bytes]) -> None:
    """Remove pictures that no sample came to use; what a failure leaves, the next opening removes."""
    try:
        pictures.require()  # here, where nobody waits for the answer of a dead server
        with database.write() as connection:
            pictures.remove(removal.unused(connection, digests))
            removal.settle(connection, digests, awaited_pictures)
    except GalleryError as exc:
        _log.warning("%d pictures of a failed enrolment stay until the next expiry or opening: %s", len(digests), exc)
