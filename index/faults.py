"""Where errors of the database and of the disk become the gallery's own."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from index.errors import GalleryError, InvalidValue, StoreDamaged, StoreUnavailable

_FULL = "the disk is full: nothing of this request was taken; free some space and send it again"
_READ_ONLY = "the store is read-only: nothing was written; give the service the right to write its data folder"
_BUSY = "another process holds the store for too long: nothing was written; try again"

_SQLITE: dict[int, type[GalleryError]] = {
    sqlite3.SQLITE_NOTADB: StoreDamaged,
    sqlite3.SQLITE_CORRUPT: StoreDamaged,
}
_SQLITE_TEXT = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_CANTOPEN: "the catalogue cannot be opened: its folder must exist and be writable",
    sqlite3.SQLITE_IOERR: "the disk of the catalogue failed to read or write: look at the disk, then try again",
    sqlite3.SQLITE_NOTADB: "the catalogue's file is not a database: restore it from a backup",
    sqlite3.SQLITE_CORRUPT: "the catalogue's file is damaged: restore it from a backup",
}
_AWAY = "the database server does not answer, or closed the connection: look whether it runs, then try again"
# By SQLSTATE, or its first two characters (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_SERVER_TEXT = {
    "08": _AWAY,
    "25006": "the database server takes no writes: nothing was written; give the service the primary server",
    "25P03": _AWAY,
    "28": "the database server does not let the service in: look at REID_DATABASE_URL and the server's rules",
    "40": _BUSY,
    "42501": "the database server does not give the service the right to this: let it own the catalogue's tables",
    "53": "the database server has no memory or connections left: nothing was written; try again",
    "53100": "the database server's disk is full: nothing of this request was taken; free some space and send it again",
    "55P03": _BUSY,
    "57": _AWAY,
    "58": "the disk of the database server failed to read or write: look at the disk, then try again",
    "XX001": "the database server found its data damaged: restore them from a backup",
    "XX002": "the database server found an index damaged: rebuild it with REINDEX, or restore from a backup",
}
_OS_TEXT = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}
_NO_ANSWER = (
    "expected an answer: look whether the server runs, and whether its address and region are right; then try again"
)
_REMOTE_TEXT: dict[type[OSError], str] = {
    PermissionError: "expected credentials that the server takes, with the rights to list, read, write and delete, and "
    "on S3 s3:GetBucketVersioning",
    FileNotFoundError: "expected the bucket that REID_BLOB_URL names: make it, or correct the address",
}


@contextmanager
def database_faults() -> Iterator[None]:
    """Raise `StoreUnavailable` or `StoreDamaged` for what the database reports about its disk, file or connection.

    `InvalidValue` for text that a server cannot hold.
    """
    try:
        yield
    except PoolTimeout as exc:
        raise StoreUnavailable("all connections to the catalogue are in use: try again") from exc
    except UnicodeDecodeError as exc:
        raise StoreDamaged(_SQLITE_TEXT[sqlite3.SQLITE_CORRUPT]) from exc
    except (DBAPIError, sqlite3.Error) as exc:
        cause = getattr(exc, "orig", exc)
        fault = _server_fault(exc, cause.sqlstate) if hasattr(cause, "sqlstate") else _sqlite_fault(cause)
        if fault is None:
            raise
        raise fault from exc


@contextmanager
def disk_faults(what: str) -> Iterator[None]:
    """Raise `StoreUnavailable` for an `OSError`; `what` names the thing that was read or written."""
    try:
        yield
    except OSError as exc:
        reason = _OS_TEXT.get(exc.errno or 0, exc.strerror or type(exc).__name__)
        raise StoreUnavailable(f"{what} cannot be read or written: {reason}") from exc


def _sqlite_fault(error: object) -> GalleryError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # the driver's own, of no code; and a table or column that every catalogue has
    if isinstance(error, sqlite3.OperationalError) and re.search(
        r"decode to UTF-8|^no such (table|column)", str(error)
    ):
        code = sqlite3.SQLITE_CORRUPT
    return _SQLITE.get(code, StoreUnavailable)(_SQLITE_TEXT[code]) if code in _SQLITE_TEXT else None


def _server_fault(error: Exception, state: str | None) -> GalleryError | None:
    if state is None and isinstance(error, DataError):  # the driver's own: a server's text holds no NUL
        return InvalidValue("text", "expected text without the character U+0000")
    if state is None:
        return StoreUnavailable(_AWAY) if isinstance(error, OperationalError | InterfaceError) else None
    text = _SERVER_TEXT.get(state, _SERVER_TEXT.get(state[:2]))
    if text is None:
        return None
    return StoreDamaged(text) if state.startswith("XX") else StoreUnavailable(text)


@contextmanager
def drivers_faults() -> Iterator[None]:
    """Raise an `OSError` for whatever the driver of a store elsewhere has of its own; only its call belongs inside."""
    try:
        yield
    except OSError:
        raise
    except Exception as exc:  # each driver has another tree of errors, and none is installed with the service
        kind = PermissionError if "Credentials" in type(exc).__name__ else ConnectionError
        raise kind from exc


@contextmanager
def remote_faults(what: str) -> Iterator[None]:
    """Raise `StoreUnavailable` for an `OSError` of a store elsewhere.

    What its driver says stays out, also of the log: an address may be in it, and a password in that.
    """
    try:
        yield
    except OSError as exc:
        cause = exc.__cause__ or exc
        answer = getattr(cause, "response", None)  # of S3, with a code such as NoSuchBucket
        name = answer["Error"]["Code"] if isinstance(answer, dict) else type(cause).__name__
        text = next((text for kind, text in _REMOTE_TEXT.items() if isinstance(exc, kind)), _NO_ANSWER)
        raise StoreUnavailable(f"{what} cannot be read or written: {name}: {text}") from None
