"""Listings of the catalogue, paged by key, so that a page stays right while others write."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, func, select

from index import audit, catalogue, names, values
from index.catalogue import Gallery
from index.database import chunks
from index.errors import IdentityNotFound, InvalidValue
from index.records import Action, AuditEntry, GalleryInfo, IdentitySummary, Page, Sample
from index.roster import Roster
from index.schema import STANDING, audit_log, cameras, galleries, identities, samples
from index.selection import Selection

Key = TypeVar("Key", int, str)

MOST = 1000  # items on one page


def samples_page(
    connection: Connection, gallery: str, roster: Roster, allowed: Selection, limit: int, cursor: str | None
) -> Page[Sample]:
    """List the rows that are allowed, in the order of enrolment."""
    first = int(np.searchsorted(roster.facts.ids, _read_cursor(cursor, 0), side="right"))
    rows = allowed.next_rows(first, _checked(limit) + 1)
    keys = roster.facts.ids[rows].tolist()
    found = catalogue.by_number(connection, gallery, keys[:limit])
    items = tuple(found[key] for key in keys[:limit])
    return Page(items, _write_cursor(keys[limit - 1]) if len(keys) > limit else None)


def identities_page(connection: Connection, gallery: Gallery, limit: int, cursor: str | None) -> Page[IdentitySummary]:
    """List identities by name."""
    after = _read_cursor(cursor, "")
    query = (
        select(identities.c.id, identities.c.name)
        .where(identities.c.gallery_id == gallery.id, identities.c.name > after)
        .order_by(identities.c.name)
        .limit(_checked(limit) + 1)
    )
    rows = [(number, name) for number, name in connection.execute(query)]
    items = _summaries(connection, rows[:limit])
    return Page(tuple(items), _write_cursor(rows[limit - 1][1]) if len(rows) > limit else None)


def identity(connection: Connection, gallery: Gallery, name: str) -> IdentitySummary:
    """Return one identity or raise `IdentityNotFound`."""
    number = identity_number(connection, gallery, name)
    return _summaries(connection, [(number, values.name("identity", name))])[0]


def identity_number(connection: Connection, gallery: Gallery, name: str) -> int:
    """Return an identity's number or raise `IdentityNotFound`."""
    normal = values.name("identity", name)
    number = names.identity_numbers(connection, gallery.id, [normal]).get(normal)
    if number is None:
        raise IdentityNotFound(f"no sample of identity {normal!r} is enrolled in gallery {gallery.name!r}")
    return number


def galleries_list(connection: Connection, samples_in: Callable[[int], int]) -> list[GalleryInfo]:
    """List all galleries by name; `samples_in` counts the samples of one."""
    people_in = select(func.count()).where(identities.c.gallery_id == galleries.c.id).scalar_subquery()
    query = select(
        galleries.c.id, galleries.c.name, galleries.c.retention_days, galleries.c.store_images, people_in
    ).where(STANDING)
    return [
        GalleryInfo(name, retention, store_images, samples_in(number), people)
        for number, name, retention, store_images, people in connection.execute(query.order_by(galleries.c.name))
    ]


def audit_page(connection: Connection, limit: int, cursor: str | None) -> Page[AuditEntry]:
    """List the audit log, newest first."""
    before = _read_cursor(cursor, 0)
    query = audit.ENTRIES.order_by(audit_log.c.id.desc()).limit(_checked(limit) + 1)
    rows = connection.execute(query if cursor is None else query.where(audit_log.c.id < before)).all()
    items = tuple(_audit_entry(*row) for row in rows[:limit])
    return Page(items, _write_cursor(items[-1].number) if len(rows) > limit else None)


def _audit_entry(number: int, at: int, actor: str | None, action: str, *rest: Any) -> AuditEntry:  # noqa: ANN401
    return AuditEntry(number, values.moment(at), actor, Action(action), *rest)


def _summaries(connection: Connection, rows: Sequence[tuple[int, str]]) -> list[IdentitySummary]:
    numbers = [number for number, _ in rows]
    seen = {}
    for chunk in chunks(numbers):
        query = select(
            samples.c.identity_id,
            func.count().label("samples"),
            func.min(samples.c.captured_at).label("first"),
            func.max(samples.c.captured_at).label("last"),
        ).where(samples.c.identity_id.in_(chunk))
        seen.update({row.identity_id: row for row in connection.execute(query.group_by(samples.c.identity_id))})
    places = _cameras_of(connection, numbers)
    return [
        IdentitySummary(
            identity=name,
            samples=seen[number].samples,
            cameras=tuple(sorted(places.get(number, ()))),
            first_seen=None if seen[number].first is None else values.moment(seen[number].first),
            last_seen=None if seen[number].last is None else values.moment(seen[number].last),
        )
        for number, name in rows
    ]


def _cameras_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    for chunk in chunks(numbers):
        query = (
            select(samples.c.identity_id, cameras.c.name)
            .distinct()
            .join(cameras, cameras.c.id == samples.c.camera_id)
            .where(samples.c.identity_id.in_(chunk))
        )
        for number, name in connection.execute(query):
            places.setdefault(number, []).append(name)
    return places


def _checked(limit: int) -> int:
    if not 1 <= limit <= MOST:
        raise InvalidValue("limit", f"expected limit from 1 to {MOST}, found {limit}")
    return limit


def _write_cursor(key: int | str) -> str:
    written = json.dumps(key, ensure_ascii=False)  # escaped, the longest names would be longer than a cursor may be
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def _read_cursor(cursor: str | None, start: Key) -> Key:
    if cursor is None:
        return start
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        json.dumps(key, ensure_ascii=False).encode()  # half a surrogate is JSON, and no text that a database takes
    except (binascii.Error, ValueError, RecursionError) as exc:
        raise InvalidValue("cursor", "expected the next_cursor of an earlier page, found something else") from exc
    if type(key) is not type(start):
        raise InvalidValue("cursor", "expected the next_cursor of an earlier page of the same listing")
    return key
