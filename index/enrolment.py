"""Enrolment: from what a caller gives to what the catalogue takes, item by item."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from index import catalogue, removal, values
from index.catalogue import Entry, Gallery
from index.database import Database
from index.errors import DimensionMismatch, ExternalIdConflict, GalleryError, InvalidValue, ModelMismatch
from index.migration import written_versions
from index.pictures import PictureStore
from index.records import Enrolled, EnrolStatus, NewSample

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
            known = {digest for digest, _, _ in catalogue.by_content(connection, into.id, asked)}
        new = {digest: data for digest, data in self._pictures.items() if digest not in known}
        kept: set[bytes] = set()
        try:
            if into.store_images:
                pictures.put(new)
            with database.write() as connection:
                kept = self._commit(connection, pictures, gallery)
        finally:
            if into.store_images and (left := new.keys() - kept):
                _discard(database, pictures, left)
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _commit(self, connection: Connection, pictures: PictureStore, gallery: str) -> set[bytes]:
        """Write what is new and return the digests of its pictures."""
        into = catalogue.gallery(connection, gallery)
        versions = self._versions(connection)
        new = self._sort(connection, into)
        digests = {self._entries[index].digest for index in new}
        if into.store_images:
            # an erasure in another process may have removed a picture since; no one removes any while we write
            pictures.put({digest: self._pictures[digest] for digest in pictures.missing(digests)})
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

    def _sort(self, connection: Connection, into: Gallery) -> list[int]:
        """Decide each entry against the catalogue and its neighbours; return the indices of the new ones."""
        content: Mapping[_Content, str] = catalogue.by_content(connection, into.id, self._pictures)
        external = catalogue.by_external_id(
            connection,
            into.id,
            {entry.external_id for entry in self._entries.values() if entry.external_id is not None},
        )
        taken = {name: held for name, (_, held) in external.items()}
        fresh: set[_Content] = set()
        new: list[int] = []
        for index, entry in self._entries.items():
            holder = None if entry.external_id is None else taken.get(entry.external_id)
            if holder is not None and holder != entry.content:
                self._outcomes[index] = Enrolled(EnrolStatus.REJECTED, error=_conflict(entry))
            elif entry.content in content:
                self._outcomes[index] = Enrolled(EnrolStatus.DUPLICATE, content[entry.content])
            elif entry.content not in fresh:
                fresh.add(entry.content)
                new.append(index)
                if entry.external_id is not None:
                    taken[entry.external_id] = entry.content
        return new


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


def _discard(database: Database, pictures: PictureStore, digests: set[bytes]) -> None:
    """Remove pictures that no sample came to use; a failure leaves orphans, which `rebuild` removes."""
    try:
        with database.write() as connection:
            pictures.remove(removal.unused(connection, digests))
    except GalleryError as exc:
        _log.warning("%d pictures of a failed enrolment stay until a rebuild: %s", len(digests), exc)
