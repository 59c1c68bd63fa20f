"""Retention: a sample is deleted once it was enrolled longer ago than its gallery keeps samples.

The time counts from the enrolment, not from the capture: every sample has one, no client can set it, and it is
since then that the gallery keeps the sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, select

from index import audit, clock, removal, values
from index.catalogue import GALLERIES, Gallery
from index.database import Database
from index.erasure import Eraser
from index.records import Action, Erased
from index.schema import galleries, samples

_BATCH = 500  # samples of one transaction: others write between two
_READ_BACK = 10_000  # samples whose traces are cleared and looked for together: that reads the whole database
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class _Kept:
    """A gallery with a retention; what was enrolled before `since` is overdue."""

    gallery: Gallery
    since: int


class Retention:
    """Deletes what is overdue, gallery by gallery, as an erasure does."""

    def __init__(self, database: Database, eraser: Eraser, follow: Callable[[], None]) -> None:
        self._database = database
        self._eraser = eraser
        self._follow = follow

    def overdue(self, now: datetime | None = None) -> dict[str, int]:
        """Count what is overdue in every gallery that has a retention."""
        with self._database.read() as connection:
            moment = _moment(connection, now)
            return {kept.gallery.name: _count(connection, kept) for kept in _with_retention(connection, moment)}

    def expire(self, now: datetime | None = None, *, stopped: Callable[[], bool] = lambda: False) -> dict[str, Erased]:
        """Erase it, in small transactions until it is `stopped`; return what went from each such gallery."""
        self._eraser.finish()  # a failure may have left something, and who asked was told only that it failed
        with self._database.read() as connection:
            moment = _moment(connection, now)
            found = _with_retention(connection, moment)
        done: dict[str, Erased] = {}
        for kept in found:
            total = Erased(0, 0, 0, True)
            while not stopped() and (erased := self._some(kept.gallery.id, moment, stopped)) is not None:
                total = _sum(total, erased)
            done[kept.gallery.name] = total
        return done

    def _some(self, gallery: int, moment: int, stopped: Callable[[], bool]) -> Erased | None:
        """Delete at most `_READ_BACK` samples, then clear and read back; None when nothing is overdue."""
        parts: list[removal.Removed] = []
        entry = None
        try:
            while sum(len(part.keys) for part in parts) < _READ_BACK and not stopped():
                with self._database.write() as connection:
                    some, kept = _take(connection, gallery, moment)
                    if not some.keys:
                        break
                    assert kept is not None
                    if entry is None:
                        entry = audit.write(connection, Action.EXPIRE, kept.gallery, some)
                    else:
                        audit.add(connection, entry, some)
                parts.append(some)
                self._follow()
        finally:  # also when a later transaction failed: what is deleted is cleared
            erased = None if entry is None else self._eraser.erase(gallery, removal.together(parts), entry)
        return erased


def _take(connection: Connection, gallery: int, moment: int) -> tuple[removal.Removed, _Kept | None]:
    """Delete one batch, by what the gallery's retention is now."""
    kept = next((kept for kept in _with_retention(connection, moment) if kept.gallery.id == gallery), None)
    if kept is None:
        return removal.NOTHING, None
    query = select(samples.c.id).where(_overdue(kept)).order_by(samples.c.enrolled_at, samples.c.id).limit(_BATCH)
    return removal.remove(connection, gallery, connection.scalars(query).all()), kept


def _with_retention(connection: Connection, moment: int) -> list[_Kept]:
    query = GALLERIES.add_columns(galleries.c.retention_days).where(galleries.c.retention_days.is_not(None))
    rows = connection.execute(query.order_by(galleries.c.name)).all()
    return [_Kept(Gallery(*gallery), max(0, moment - days * _DAY)) for *gallery, days in rows]


def _overdue(kept: _Kept) -> ColumnElement[bool]:
    return and_(samples.c.gallery_id == kept.gallery.id, samples.c.enrolled_at < kept.since)


def _count(connection: Connection, kept: _Kept) -> int:
    return connection.scalar(select(func.count()).select_from(samples).where(_overdue(kept))) or 0


def _moment(connection: Connection, now: datetime | None) -> int:
    moment = clock.shared(connection) if now is None else values.microseconds("now", now)
    assert moment is not None
    return moment


def _sum(one: Erased, other: Erased) -> Erased:
    return Erased(
        one.samples_deleted + other.samples_deleted,
        one.images_deleted + other.images_deleted,
        one.vectors_deleted + other.vectors_deleted,
        one.verified and other.verified,
        tuple(dict.fromkeys(one.backups + other.backups)),
    )
