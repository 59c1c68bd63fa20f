"""Keys: who may call. A key is shown once; the catalogue keeps its id and a salted hash of its secret.

The secret is 256 random bits, which nobody guesses, so a fast hash is enough: one that is slow on purpose protects
passwords, and here would only make every request slower. The salt keeps two stores' hashes apart.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Row, bindparam, insert, or_, select, update

from index import audit, catalogue, clock, values
from index.database import Database
from index.errors import InvalidValue, KeyNotFound
from index.notes import Notes
from index.records import Action
from index.schema import keys

TOUCH_SECONDS = 60  # the time of a key's last use is this exact: reading stays reading
MAX_RATE = 1_000_000.0
_KEY = re.compile(r"reid_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ID = re.compile(r"[0-9a-f]{12}")


class Scope(StrEnum):
    """What a key is good for; `admin` includes the others."""

    QUERY = "query"
    ENROLL = "enroll"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, but for its secret."""

    key_id: str
    scopes: frozenset[Scope]
    gallery: str | None  # by name; None: any
    rate: float | None  # requests a second; None: any
    label: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def names(self) -> list[str]:
        """Return the names of its scopes, always in the same order."""
        return [scope.value for scope in Scope if scope in self.scopes]


_BY_ID = select(keys).where(keys.c.id == bindparam("key_id"))
_ANY = select(keys.c.id).limit(1)


class Keys:
    """The keys of one data folder. Each call reads them anew; `notes` are for who asks often."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, database_url: str) -> Self:
        """Open the catalogue's database alone, or make it; raise `StoreUnavailable` or `StoreDamaged`."""
        return cls(Database.open(database_url))

    def close(self) -> None:
        """Close the database; only for who opened it here."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create(
        self,
        scopes: Collection[Scope],
        *,
        gallery: str | None = None,
        rate: float | None = None,
        label: str | None = None,
        actor: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key; return it with its text, which is told this once and can never be read again."""
        _check(scopes, rate)
        key_id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_bytes(16)
        row = {
            "id": key_id,
            "salt": salt,
            "digest": _digest(secret, salt),
            "scopes": " ".join(sorted(set(scopes))),
            "gallery": None if gallery is None else values.gallery_name(gallery),
            "rate": rate,
            "label": values.optional_name("label", label),
            "created_at": clock.now(),
        }
        with self._database.write() as connection:
            connection.execute(insert(keys).values(row))
            audit.write_key(connection, Action.CREATE_KEY, key_id, gallery, actor)
            made = _key(connection.execute(_BY_ID, {"key_id": key_id}).one())
        return made, f"reid_{key_id}_{secret}"

    def notes(self) -> Notes:
        """Return notes for what was read here; to be closed."""
        return Notes(self._database.file)

    def made(self) -> bool:
        """Tell whether any key was ever made; one that is revoked counts."""
        with self._database.read() as connection:
            return connection.execute(_ANY).first() is not None

    def all(self) -> list[Key]:
        """List all keys, also those that are revoked, the oldest first."""
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id))]

    def has_gallery(self, name: str) -> bool:
        """Tell whether a gallery to which a key may be bound is there; the default one always is."""
        with self._database.read() as connection:
            return name == catalogue.DEFAULT_GALLERY or name in catalogue.gallery_numbers(connection)

    def verify(self, text: str) -> Key | None:
        """Return the key whose text this is; None for one that was never made, or is revoked."""
        parts = _KEY.fullmatch(text)
        if parts is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(_BY_ID, {"key_id": parts[1]}).one_or_none()
        if row is None or not hmac.compare_digest(_digest(parts[2], row.salt), row.digest):
            return None
        return None if row.revoked_at is not None else _key(row)

    def touch(self, key_id: str) -> None:
        """Write down that a key is used, unless that was done less than `TOUCH_SECONDS` ago."""
        now = clock.now()
        stale = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= now - TOUCH_SECONDS * 1_000_000)
        with self._database.write() as connection:
            connection.execute(update(keys).where(keys.c.id == key_id, stale).values(last_used_at=now))

    def revoke(self, key_id: str, *, actor: str | None = None) -> Key:
        """Revoke a key for good, in every process at once; raise `KeyNotFound`. One that is revoked stays so."""
        if not _ID.fullmatch(key_id):  # not repeated in the text: it may be a whole key
            raise KeyNotFound("expected the id of a key, 12 hexadecimal digits, found something else: reid keys list")
        with self._database.write() as connection:
            row = connection.execute(_BY_ID, {"key_id": key_id}).one_or_none()
            if row is None:
                raise KeyNotFound(f"no key has the id {key_id}: reid keys list shows them")
            if row.revoked_at is None:
                connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=clock.now()))
                audit.write_key(connection, Action.REVOKE_KEY, key_id, row.gallery, actor)
            return _key(connection.execute(_BY_ID, {"key_id": key_id}).one())


def _check(scopes: Collection[Scope], rate: float | None) -> None:
    if not scopes:
        raise InvalidValue("scopes", f"expected at least one scope out of {', '.join(Scope)}, found none")
    if rate is not None and not 0 < rate <= MAX_RATE:
        raise InvalidValue("rate", f"expected a rate above 0 and up to {MAX_RATE:g} requests a second, found {rate:g}")


def _digest(secret: str, salt: bytes) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=32, salt=salt, person=b"reid key").digest()


def _key(row: Row[Any]) -> Key:
    return Key(
        key_id=row.id,
        scopes=frozenset(map(Scope, row.scopes.split())),
        gallery=row.gallery,
        rate=row.rate,
        label=row.label,
        created_at=values.moment(row.created_at),
        last_used_at=None if row.last_used_at is None else values.moment(row.last_used_at),
        revoked_at=None if row.revoked_at is None else values.moment(row.revoked_at),
    )
