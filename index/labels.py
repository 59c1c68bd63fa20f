"""What people answered about labels that looked wrong: that one is right, and that two identities are two people.

An answer holds as long as the sample is that identity's, and both identities are there; a new name changes nothing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, select

from index import catalogue, listing, values
from index.database import Database
from index.errors import InvalidValue
from index.schema import identities, people_apart, right_labels, samples

_FIRST, _SECOND = identities.alias("first_of_two"), identities.alias("second_of_two")


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one gallery that hold."""

    right: frozenset[str]  # sample ids
    apart: frozenset[frozenset[str]]  # pairs of identities

    def __len__(self) -> int:
        return len(self.right) + len(self.apart)


class LabelAnswers:
    """The answers of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, gallery: str) -> Answered:
        """Return a gallery's answers; raise `GalleryNotFound`."""
        with self._database.read() as connection:
            number = catalogue.gallery(connection, gallery).id
            return Answered(_right(connection, number), _apart(connection, number))

    def call_right(self, gallery: str, sample_id: str) -> None:
        """Note that a sample is of the identity that it has; raise `SampleNotFound`."""
        with self._database.write() as connection:
            row = catalogue.sample(connection, catalogue.gallery(connection, gallery), sample_id)
            _drop_void(connection)
            connection.execute(delete(right_labels).where(right_labels.c.sample == row.id))
            connection.execute(insert(right_labels).values(sample=row.id, identity=row.identity_id))

    def call_apart(self, gallery: str, one: str, other: str) -> None:
        """Note that two identities are two people; raise `IdentityNotFound`, `InvalidValue` for one and the same."""
        with self._database.write() as connection:
            first, second = _two(connection, catalogue.gallery(connection, gallery), one, other)
            _drop_void(connection)
            known = (people_apart.c.first == first, people_apart.c.second == second)
            connection.execute(delete(people_apart).where(*known))
            connection.execute(insert(people_apart).values(first=first, second=second))

    def forget(self, gallery: str) -> int:
        """Forget a gallery's answers, so that all is asked again; return how many held."""
        with self._database.write() as connection:
            number = catalogue.gallery(connection, gallery).id
            held = Answered(_right(connection, number), _apart(connection, number))
            mine = select(samples.c.id).where(samples.c.gallery_id == number)
            connection.execute(delete(right_labels).where(right_labels.c.sample.in_(mine)))
            people = select(identities.c.id).where(identities.c.gallery_id == number)
            connection.execute(delete(people_apart).where(people_apart.c.first.in_(people)))
            return len(held)


def _two(connection: Connection, gallery: catalogue.Gallery, one: str, other: str) -> tuple[int, int]:
    wanted = [values.name("identity", each) for each in (one, other)]
    first, second = sorted(listing.identity_number(connection, gallery, name) for name in wanted)
    if first == second:
        raise InvalidValue("identities", f"expected two identities, found {wanted[0]!r} twice")
    return first, second


def _right(connection: Connection, gallery: int) -> frozenset[str]:
    holds = (right_labels.c.sample == samples.c.id) & (right_labels.c.identity == samples.c.identity_id)
    query = select(samples.c.sample_id).join(right_labels, holds).where(samples.c.gallery_id == gallery)
    return frozenset(connection.scalars(query))


def _apart(connection: Connection, gallery: int) -> frozenset[frozenset[str]]:
    both = people_apart.join(_FIRST, _FIRST.c.id == people_apart.c.first)
    both = both.join(_SECOND, _SECOND.c.id == people_apart.c.second)
    query = select(_FIRST.c.name, _SECOND.c.name).select_from(both).where(_FIRST.c.gallery_id == gallery)
    return frozenset(frozenset(row) for row in connection.execute(query))


def _drop_void(connection: Connection) -> None:
    """Drop answers that hold no more, so that there are never many more than hold."""
    holds = exists().where(samples.c.id == right_labels.c.sample, samples.c.identity_id == right_labels.c.identity)
    connection.execute(delete(right_labels).where(~holds))
    for column in people_apart.c:
        connection.execute(delete(people_apart).where(~exists().where(identities.c.id == column)))
