"""The vectors of another version: which samples have none yet, and storing, copying and freeing them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, select

from index import ledger
from index.database import chunks
from index.roster import Roster
from index.schema import STANDING, embeddings, galleries, samples

LEFT_OUT = b""  # the vector of a sample that cannot be embedded
_PAGE = 8192  # bytes of a database page
_ROW = 24  # bytes of a row beside its vector
_INDEXED = 24  # bytes that finding a row by its key takes


class Pending(NamedTuple):
    """A sample without a vector of the version."""

    number: int
    sample_id: str
    gallery: int
    digest: bytes
    picture_stored: bool


def pending(connection: Connection, version_id: int, after: int, limit: int) -> list[Pending]:
    """Return the next samples behind `after` that have no vector of a version, in the order of enrolment."""
    columns = (samples.c.id, samples.c.sample_id, samples.c.gallery_id, samples.c.digest, samples.c.picture_stored)
    query = _without(select(*columns), version_id).where(samples.c.id > after).order_by(samples.c.id).limit(limit)
    return [Pending(*row) for row in connection.execute(query)]


def without_picture(connection: Connection, version_id: int) -> dict[str, int]:
    """Count, by gallery, the samples that have neither a vector of a version nor a picture to make one of."""
    query = _without(select(samples.c.gallery_id, func.count().label("lost")), version_id)
    found = query.where(~samples.c.picture_stored).group_by(samples.c.gallery_id).subquery()
    named = select(galleries.c.name, found.c.lost).join(found, found.c.gallery_id == galleries.c.id)
    return {row.name: row.lost for row in connection.execute(named.where(STANDING).order_by(galleries.c.name))}


def put(connection: Connection, version_id: int, vectors: Mapping[int, bytes], *, logged: bool) -> int:
    """Store vectors of samples that are still there and have none; return how many.

    `logged`: indexes of the version are in memory, and are to look at these samples again.
    """
    stored = 0
    for chunk in chunks(sorted(vectors)):
        there = connection.execute(
            _without(select(samples.c.id, samples.c.gallery_id), version_id).where(samples.c.id.in_(chunk))
        ).all()
        rows = [{"sample_id": row.id, "version_id": version_id, "vector": vectors[row.id]} for row in there]
        if rows:
            connection.execute(insert(embeddings), rows)
        if logged:
            by_gallery: dict[int, list[int]] = {}
            for row in there:
                by_gallery.setdefault(row.gallery_id, []).append(row.id)
            for gallery, numbers in by_gallery.items():
                ledger.log(connection, gallery, numbers)
        stored += len(rows)
    return stored


def copies(connection: Connection, source_id: int, target_id: int, after: int, limit: int) -> dict[int, bytes]:
    """Return the source's vectors of the next samples that have none of the target, for one and the same model."""
    keys = [each.number for each in pending(connection, target_id, after, limit)]
    found: dict[int, bytes] = dict.fromkeys(keys, LEFT_OUT)
    for chunk in chunks(keys):
        query = select(embeddings.c.sample_id, embeddings.c.vector)
        query = query.where(embeddings.c.version_id == source_id, embeddings.c.sample_id.in_(chunk))
        found.update((key, vector) for key, vector in connection.execute(query))
    return found


def left_out(connection: Connection, version_id: int, limit: int) -> list[tuple[int, int]]:
    """Return samples that a version leaves out, as (gallery, number)."""
    query = select(samples.c.gallery_id, samples.c.id).join(embeddings, embeddings.c.sample_id == samples.c.id)
    query = query.where(_empty(version_id)).order_by(samples.c.gallery_id, samples.c.id).limit(limit)
    return [(gallery, number) for gallery, number in connection.execute(query)]


def left_out_among(connection: Connection, version_id: int, keys: Iterable[int]) -> set[int]:
    """Return those of some samples that a version leaves out."""
    found: set[int] = set()
    for chunk in chunks(keys):
        query = select(embeddings.c.sample_id).where(_empty(version_id), embeddings.c.sample_id.in_(chunk))
        found.update(connection.scalars(query))
    return found


def count_left_out(connection: Connection, version_id: int, gallery: int) -> int:
    """Count the samples of a gallery that a version leaves out."""
    joined = samples.join(embeddings, embeddings.c.sample_id == samples.c.id)
    query = select(func.count()).select_from(joined).where(samples.c.gallery_id == gallery, _empty(version_id))
    return connection.scalar(query) or 0


def held(connection: Connection, keys: Iterable[int]) -> set[tuple[int, int]]:
    """Return (sample, version) of every vector that some samples have; one that is left out has none."""
    found: set[tuple[int, int]] = set()
    for chunk in chunks(keys):
        query = select(embeddings.c.sample_id, embeddings.c.version_id)
        query = query.where(embeddings.c.sample_id.in_(chunk), func.length(embeddings.c.vector) > 0)
        found.update((key, version) for key, version in connection.execute(query))
    return found


def mend(connection: Connection, version_id: int, vectors: Mapping[int, bytes]) -> None:
    """Store vectors of those samples that have none, or that the version left out."""
    for chunk in chunks(vectors):
        connection.execute(delete(embeddings).where(_empty(version_id), embeddings.c.sample_id.in_(chunk)))
    put(connection, version_id, vectors, logged=True)


def try_again(connection: Connection, version_id: int) -> None:
    """Let samples that a version left out be pending once more."""
    connection.execute(delete(embeddings).where(_empty(version_id)))


def free(connection: Connection, version_id: int, after: int, limit: int) -> int | None:
    """Delete the next vectors of a version; return the last sample's number, None when none is left."""
    query = select(embeddings.c.sample_id).where(embeddings.c.version_id == version_id, embeddings.c.sample_id > after)
    keys = list(connection.scalars(query.order_by(embeddings.c.sample_id).limit(limit)))
    for chunk in chunks(keys):
        mine = and_(embeddings.c.version_id == version_id, embeddings.c.sample_id.in_(chunk))
        connection.execute(delete(embeddings).where(mine))
    return keys[-1] if keys else None


def disk_bytes(count: int, dim: int) -> int:
    """Estimate what the vectors of a version take: in the catalogue, where pages hold whole rows, and in snapshots."""
    vector = 4 * dim
    in_page = _PAGE // (vector + _ROW)
    row = _PAGE / in_page if in_page else _PAGE * -(-vector // _PAGE)
    return int(count * (row + _INDEXED + vector + Roster.BYTES_PER_ROW))


def _without(query: Select[Any], version_id: int) -> Select[Any]:
    """Restrict samples to those that have no vector of a version."""
    theirs = and_(embeddings.c.sample_id == samples.c.id, embeddings.c.version_id == version_id)
    joined = samples.outerjoin(embeddings, theirs)
    return query.select_from(joined).where(embeddings.c.sample_id.is_(None))


def _empty(version_id: int) -> ColumnElement[bool]:
    return and_(embeddings.c.version_id == version_id, func.length(embeddings.c.vector) == 0)
