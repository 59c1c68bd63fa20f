"""Deletion from the catalogue, and the list of pictures that are to follow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import Connection, Table, delete, insert, select

from index import catalogue, ledger, names
from index.database import chunks
from index.residue import WINDOW
from index.schema import attribute_pairs, embeddings, identities, picture_removals, samples


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion took out of the catalogue, for reading back that it is gone."""

    keys: tuple[int, ...]
    sample_ids: tuple[str, ...]
    digests: frozenset[bytes]
    vectors: tuple[bytes, ...]  # of each only what is looked for: a gallery may hold a million
    texts: tuple[tuple[int, str], ...]  # names of identities and external ids, each with its row's number


NOTHING = Removed((), (), frozenset(), (), ())


def remove(connection: Connection, gallery: int, keys: Sequence[int]) -> Removed:
    """Delete samples with their embeddings of every version; note their pictures for removal."""
    parts = [_remove_chunk(connection, chunk) for chunk in chunks(keys)]
    ledger.log(connection, gallery, keys)
    return together(parts)


def together(parts: Sequence[Removed]) -> Removed:
    """Join what several deletions took out, all at once: adding one to the next copies the sum each time."""
    return Removed(
        tuple(chain.from_iterable(part.keys for part in parts)),
        tuple(chain.from_iterable(part.sample_ids for part in parts)),
        frozenset(chain.from_iterable(part.digests for part in parts)),
        tuple(chain.from_iterable(part.vectors for part in parts)),
        tuple(chain.from_iterable(part.texts for part in parts)),
    )


def contents(connection: Connection, gallery: int) -> Removed:
    """Return what a gallery holds, as `remove` returns it."""
    keys = catalogue.numbers_of(connection, samples.c.gallery_id == gallery)
    parts = [_read_chunk(connection, chunk) for chunk in chunks(keys)]
    named = connection.execute(select(identities.c.id, identities.c.name).where(identities.c.gallery_id == gallery))
    return together([*parts, replace(NOTHING, texts=tuple((row.id, row.name) for row in named))])


def _read_chunk(connection: Connection, keys: list[int]) -> Removed:
    columns = (
        samples.c.id, samples.c.sample_id, samples.c.external_id, samples.c.digest, samples.c.picture_stored
    )  # fmt: skip
    rows = connection.execute(select(*columns).where(samples.c.id.in_(keys))).all()
    vectors = connection.scalars(select(embeddings.c.vector).where(embeddings.c.sample_id.in_(keys)))
    return Removed(
        tuple(keys),
        tuple(row.sample_id for row in rows),
        frozenset(row.digest for row in rows if row.picture_stored),
        tuple(vector[:WINDOW] for vector in vectors),
        tuple((row.id, row.external_id) for row in rows if row.external_id is not None),
    )


def _remove_chunk(connection: Connection, keys: list[int]) -> Removed:
    found = _read_chunk(connection, keys)
    people = set(connection.scalars(select(samples.c.identity_id).where(samples.c.id.in_(keys))))
    connection.execute(delete(embeddings).where(embeddings.c.sample_id.in_(keys)))
    connection.execute(delete(attribute_pairs).where(attribute_pairs.c.sample_id.in_(keys)))
    connection.execute(delete(samples).where(samples.c.id.in_(keys)))
    names_gone = names.drop_empty_identities(connection, people)
    note(connection, found.digests)
    return replace(found, texts=(*names_gone, *found.texts))


def note(connection: Connection, digests: Iterable[bytes], into: Table = picture_removals) -> None:
    """Write down pictures that are to be removed unless a sample uses them: now, or when their enrolment was killed."""
    for chunk in chunks(digests):
        known = set(connection.scalars(select(into.c.digest).where(into.c.digest.in_(chunk))))
        if new := [{"digest": digest} for digest in chunk if digest not in known]:
            connection.execute(insert(into), new)


def pending(connection: Connection, after: bytes, limit: int, noted: Table = picture_removals) -> list[bytes]:
    """Return the next of the pictures that are written down, in the order of their digests."""
    query = select(noted.c.digest).where(noted.c.digest > after).order_by(noted.c.digest)
    return list(connection.scalars(query.limit(limit)))


def settle(connection: Connection, digests: Iterable[bytes], noted: Table = picture_removals) -> None:
    """Forget pictures that are removed, or used."""
    for chunk in chunks(digests):
        connection.execute(delete(noted).where(noted.c.digest.in_(chunk)))


def unused(connection: Connection, digests: Iterable[bytes]) -> list[bytes]:
    """Return the pictures that no sample uses."""
    free: list[bytes] = []
    for chunk in chunks(digests):
        used = select(samples.c.digest).where(samples.c.digest.in_(chunk), samples.c.picture_stored)
        taken = set(connection.scalars(used))
        free += [digest for digest in chunk if digest not in taken]
    return free
