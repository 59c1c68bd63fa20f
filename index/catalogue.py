"""The catalogue: what is enrolled. Functions over one connection; those that write need the door's."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Connection, Row, any_, bindparam, delete, func, insert, select, update

from index import clock, ledger, names, ulid, values
from index.database import chunks
from index.errors import GalleryNotFound, SampleDamaged, SampleNotFound
from index.records import Sample
from index.schema import STANDING, attribute_pairs, cameras, embeddings, galleries, identities, samples
from index.statements import DirectInsert, DirectSelect

DEFAULT_GALLERY = "default"


class Gallery(NamedTuple):
    """A gallery's row."""

    id: int
    name: str
    store_images: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One sample in the catalogue's own form."""

    identity: str
    camera: str | None
    captured_at: int | None
    attributes: str
    external_id: str | None
    digest: bytes
    vectors: Mapping[str, bytes]  # by version

    @property
    def content(self) -> tuple[bytes, str, str | None]:
        """What makes two samples of one gallery duplicates."""
        return self.digest, self.identity, self.camera


# --- galleries ------------------------------------------------------------------------------------------------

GALLERIES = select(galleries.c.id, galleries.c.name, galleries.c.store_images)  # each row is a `Gallery`
_POSITION = DirectSelect(
    select(galleries.c.id, ledger.LAST_SEQ.scalar_subquery()).where(galleries.c.name == bindparam("gallery"))
)


def gallery(connection: Connection, name: str) -> Gallery:
    """Return a gallery's row or raise `GalleryNotFound`."""
    row = connection.execute(GALLERIES.where(galleries.c.name == name)).one_or_none()
    if row is None:
        raise GalleryNotFound(_no_gallery(name))
    return Gallery(*row)


def position(connection: Connection, gallery: str) -> tuple[int, int]:
    """Return a gallery's number and the number of the last change of the catalogue."""
    rows = _POSITION.rows(connection, {"gallery": gallery})
    if not rows:
        raise GalleryNotFound(_no_gallery(gallery))
    number, last = rows[0]
    return number, last


def gallery_numbers(connection: Connection) -> dict[str, int]:
    """Return the number of each gallery, by name."""
    query = select(galleries.c.name, galleries.c.id).where(STANDING).order_by(galleries.c.name)
    return {row.name: row.id for row in connection.execute(query)}


def put_gallery(connection: Connection, name: str, retention_days: int | None, store_images: bool) -> None:
    """Make a gallery or change its settings."""
    settings = {"retention_days": retention_days, "store_images": store_images}
    done = connection.execute(update(galleries).where(galleries.c.name == name).values(settings))
    if done.rowcount == 0:
        connection.execute(insert(galleries).values(name=name, created_at=clock.now(), **settings))


def ensure_default(connection: Connection) -> None:
    """Make the gallery that is always there."""
    if connection.scalar(select(galleries.c.id).where(galleries.c.name == DEFAULT_GALLERY)) is None:
        put_gallery(connection, DEFAULT_GALLERY, None, True)


# --- samples --------------------------------------------------------------------------------------------------

_COLUMNS: list[Any] = [
    samples.c.id,
    samples.c.sample_id,
    identities.c.name.label("identity"),
    cameras.c.name.label("camera"),
    samples.c.captured_at,
    samples.c.attributes,
    samples.c.external_id,
    samples.c.digest,
    samples.c.picture_stored,
    samples.c.enrolled_at,
    samples.c.identity_id,
    samples.c.camera_id,
]
_SAMPLE = select(*_COLUMNS).select_from(
    samples.join(identities, identities.c.id == samples.c.identity_id).outerjoin(
        cameras, cameras.c.id == samples.c.camera_id
    )
)
# statements of what is asked with every query and enrolment: building one takes longer than it runs
_OF_THE_GALLERY = samples.c.gallery_id == bindparam("gallery")
_SAMPLES_BY_CONTENT = _SAMPLE.where(samples.c.digest.in_(bindparam("digests", expanding=True)), _OF_THE_GALLERY)
_SAMPLES_BY_EXTERNAL_ID = _SAMPLE.where(
    samples.c.external_id.in_(bindparam("external_ids", expanding=True)), _OF_THE_GALLERY
)
# The numbers are one value: a list of parameters would be written into the statement anew for each query.
_LISTED = func.json_each(bindparam("json")).table_valued("value")
_BY_NUMBER = DirectSelect(
    _SAMPLE.where(samples.c.id.in_(select(_LISTED.c.value))),
    server=_SAMPLE.where(samples.c.id == any_(bindparam("numbers", type_=ARRAY(BigInteger)))),
)
_NEW_SAMPLES = DirectInsert(samples)
_NEW_EMBEDDINGS = DirectInsert(embeddings)


def to_sample(row: Sequence[Any], gallery: str) -> Sample:
    """Turn a row of `_COLUMNS` to a sample."""
    _, sample_id, identity, camera, captured, attributes, external_id, digest, stored, enrolled, *_ = row
    return Sample(
        sample_id,
        gallery,
        identity,
        camera,
        None if captured is None else values.moment(captured),
        {} if attributes == "{}" else _attributes(sample_id, attributes),
        external_id,
        digest.hex(),
        bool(stored),
        values.moment(enrolled),
    )


def _attributes(sample_id: str, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as exc:
        raise SampleDamaged(f"the attributes of sample {sample_id} are damaged: replace them, or delete it") from exc


def by_number(connection: Connection, gallery: str, wanted: Iterable[int]) -> dict[int, Sample]:
    """Read samples by their numbers."""
    numbers = list(wanted)
    rows = _BY_NUMBER.rows(connection, {"numbers": numbers, "json": json.dumps(numbers)})
    return {row[0]: to_sample(row, gallery) for row in rows}


def sample(connection: Connection, gallery: Gallery, sample_id: str) -> Row[Any]:
    """Read one sample's row or raise `SampleNotFound`."""
    query = _SAMPLE.where(samples.c.sample_id == sample_id, samples.c.gallery_id == gallery.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise SampleNotFound(f"no sample {sample_id[:64]!r} is enrolled in gallery {gallery.name!r}")
    return row


def by_content(
    connection: Connection, gallery: int, digests: Iterable[bytes]
) -> dict[tuple[bytes, str, str | None], list[Row[Any]]]:
    """Return (digest, identity, camera) -> rows, the oldest first, for all samples of those pictures."""
    found: dict[tuple[bytes, str, str | None], list[Row[Any]]] = {}
    for chunk in chunks(digests):
        rows = connection.execute(_SAMPLES_BY_CONTENT, {"gallery": gallery, "digests": chunk})
        # sorted here: told to, SQLite would go through the whole gallery in order rather than look each digest up
        for row in sorted(rows, key=lambda row: row.id):
            found.setdefault((row.digest, row.identity, row.camera), []).append(row)
    return found


def by_external_id(
    connection: Connection, gallery: int, wanted: Iterable[str]
) -> dict[str, tuple[str, tuple[bytes, str, str | None]]]:
    """Return external id -> (sample id, (digest, identity, camera))."""
    found = {}
    for chunk in chunks(wanted):
        for row in connection.execute(_SAMPLES_BY_EXTERNAL_ID, {"gallery": gallery, "external_ids": chunk}):
            found[row.external_id] = (row.sample_id, (row.digest, row.identity, row.camera))
    return found


def add(
    connection: Connection, gallery: Gallery, version_ids: Mapping[str, int], entries: Sequence[Entry]
) -> list[str]:
    """Write samples, their embeddings of those versions, and their log rows; return the new sample ids."""
    if not entries:
        return []
    ids = ulid.following(_last_sample_id(connection), clock.now() // 1000, len(entries))
    keys = ledger.number_samples(connection, len(entries))
    _NEW_SAMPLES.run(connection, _sample_rows(connection, gallery, entries, keys, ids))
    _NEW_EMBEDDINGS.run(
        connection,
        [
            {"sample_id": key, "version_id": version_ids[name], "vector": vector}
            for key, entry in zip(keys, entries, strict=True)
            for name, vector in entry.vectors.items()
            if name in version_ids
        ],
    )
    for key, entry in zip(keys, entries, strict=True):
        _put_pairs(connection, gallery.id, key, entry.attributes)
    ledger.log(connection, gallery.id, keys)
    return ids


def _last_sample_id(connection: Connection) -> str:
    return connection.scalar(select(func.max(samples.c.sample_id))) or ulid.LEAST


def _sample_rows(
    connection: Connection, gallery: Gallery, entries: Sequence[Entry], keys: Sequence[int], ids: Sequence[str]
) -> list[dict[str, object]]:
    people = names.ensure_identities(connection, gallery.id, (entry.identity for entry in entries))
    places = names.ensure_cameras(connection, gallery.id, (entry.camera for entry in entries))
    at = clock.shared(connection)
    return [
        {
            "id": key,
            "sample_id": sample_id,
            "gallery_id": gallery.id,
            "identity_id": people[entry.identity],
            "camera_id": None if entry.camera is None else places[entry.camera],
            "captured_at": entry.captured_at,
            "attributes": entry.attributes,
            "external_id": entry.external_id,
            "digest": entry.digest,
            "picture_stored": gallery.store_images,
            "enrolled_at": at,
            "copy": 0,
        }
        for key, sample_id, entry in zip(keys, ids, entries, strict=True)
    ]


def _put_pairs(connection: Connection, gallery: int, key: int, attributes: str) -> None:
    """Write the attribute rows of a sample that has none."""
    if attributes == "{}":
        return
    pairs = values.pairs(gallery, json.loads(attributes))
    connection.execute(insert(attribute_pairs), [{"pair": pair, "sample_id": key} for pair in pairs])


def change(connection: Connection, gallery: Gallery, row: Row[Any], changes: Mapping[str, Any]) -> None:
    """Replace fields of a sample, given in the catalogue's form."""
    columns = {key: changes[key] for key in ("captured_at", "attributes") if key in changes}
    if "identity" in changes:
        name = changes["identity"]
        columns["identity_id"] = names.ensure_identities(connection, gallery.id, [name])[name]
    if "camera" in changes:
        camera = changes["camera"]
        columns["camera_id"] = names.ensure_cameras(connection, gallery.id, [camera]).get(camera)
    if (
        columns.get("identity_id", row.identity_id) != row.identity_id
        or columns.get("camera_id", row.camera_id) != row.camera_id
    ):
        columns["copy"] = row.id
    connection.execute(update(samples).where(samples.c.id == row.id).values(columns))
    if "attributes" in columns:
        connection.execute(delete(attribute_pairs).where(attribute_pairs.c.sample_id == row.id))
        _put_pairs(connection, gallery.id, row.id, columns["attributes"])
    names.drop_empty_identities(connection, [row.identity_id])
    ledger.log(connection, gallery.id, [row.id])


def rename(connection: Connection, gallery: int, old: int, new: str) -> None:
    """Give an identity another name; onto a name that is taken it merges, and every sample stays."""
    target = names.identity_numbers(connection, gallery, [new]).get(new)
    if target is None:
        connection.execute(update(identities).where(identities.c.id == old).values(name=new))
        return
    moved = numbers_of(connection, samples.c.identity_id == old)
    merged = update(samples).where(samples.c.identity_id == old)
    connection.execute(merged.values(identity_id=target, copy=samples.c.id))
    names.drop_empty_identities(connection, [old])
    ledger.log(connection, gallery, moved)


def numbers_of(connection: Connection, where: Any) -> list[int]:  # noqa: ANN401
    """Return the numbers of the samples that a condition holds for."""
    return list(connection.scalars(select(samples.c.id).where(where).order_by(samples.c.id)))


def count(connection: Connection) -> int:
    """Count all samples of all galleries."""
    return connection.scalar(select(func.count()).select_from(samples)) or 0


def _no_gallery(name: str) -> str:
    return f"no gallery {name[:64]!r} was made"
