"""The picture store: files named by the sha256 of their bytes, in a folder or behind any fsspec address."""

import asyncio
import errno
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from index.database import FILE_MODE, file_number, make_folder, sync_folder
from index.errors import InvalidValue, PictureNotStored, SampleDamaged, StoreUnavailable
from index.faults import disk_faults, drivers_faults, remote_faults

_WHAT = "the picture store"
_AT_ONCE = 16  # a disk takes the fsyncs of sixteen threads in little more time than that of one
_STALE_SECONDS = 3600  # a temporary file of that age belongs to a process that died
_S3 = re.compile(r"s3a?://")
# A dead server is given up after some 17 seconds, and not after the six minutes of the drivers' own retries. Each store
# has a connection of its own: fsspec would share one, also where the endpoint or the credentials are others.
_S3_OPTIONS: dict[str, Any] = {
    "config_kwargs": {
        "connect_timeout": 3,
        "read_timeout": 8,
        "retries": {"total_max_attempts": 2},
        "max_pool_connections": _AT_ONCE,
    },
    "skip_instance_cache": True,
}
_PUT_SECONDS = 30.0
T = TypeVar("T")


class PictureStore:
    """Pictures by their digest. A picture that can be read is whole and on the disk.

    Names are `ab/abcd…`: 256 folders, which a batch can make durable with few fsyncs. What is being written lies above
    them, as `.abcd….tmp`: few files, of which an erasure finds its own.
    """

    def __init__(self, url: str) -> None:
        with disk_faults(_WHAT):
            self._files, self._root = _open(url)
        self._folder = Path(self._root) if isinstance(self._files, LocalFileSystem) else None
        self._bucket = self._root.partition("/")[0] if _S3.match(url) else None
        self._faults = disk_faults if self._folder is not None else remote_faults
        if self._folder is not None:
            make_folder(self._folder)
            self._opened = file_number(self._folder)
        self.require()
        if self.keeps_removed():
            raise InvalidValue(
                "blob_url",
                "REID_BLOB_URL: expected a bucket without versioning, found one that keeps or kept versions: what is "
                "erased would stay in it; use one in which versioning was never enabled",
            )
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pictures")

    @property
    def folder(self) -> Path | None:
        """Where the files lie; None when that is no folder of this machine."""
        return self._folder

    def is_empty(self) -> bool:
        """Tell whether the folder has not ever held a picture: the folders in it stay when all are removed."""
        with disk_faults(_WHAT):
            return self._folder is not None and not any(self._folder.iterdir())

    def require(self) -> None:
        """Raise `StoreUnavailable` where the store is away: before a transaction, which others would wait for."""
        with self._faults(_WHAT):
            self._require_there()

    def keeps_removed(self) -> bool:
        """Tell whether the bucket keeps versions of what is removed, or has since it was made."""
        if self._bucket is None:
            return False
        with self._faults(_WHAT):
            try:
                return "Status" in self._ask("call_s3", "get_bucket_versioning", Bucket=self._bucket)
            except OSError as exc:
                if exc.errno == errno.ENOSYS:  # a server that knows no versions
                    return False
                raise

    def put(self, pictures: Mapping[bytes, bytes]) -> None:
        """Store pictures by digest; when this returns, all of them survive a power cut."""
        with self._faults(_WHAT):
            if self._folder is not None:
                self._require_there()  # below a disk that is not mounted any more nobody would find them
            self._all([partial(self._put, digest, data) for digest, data in pictures.items()])
            if self._folder is not None:
                folders = {self._folder / digest.hex()[:2] for digest in pictures}
                self._all([partial(sync_folder, folder) for folder in folders])

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Return those that are not there."""
        asked = list(digests)
        with self._faults(_WHAT):
            there = self._all([partial(self._ask, "exists", self._path(digest)) for digest in asked])
            if not all(there):
                self._require_there()  # without it every picture would seem removed
        return [digest for digest, exists in zip(asked, there, strict=True) if not exists]

    def get(self, digest: bytes) -> bytes:
        """Read a picture; raise `SampleDamaged` when its bytes are not those that were stored."""
        with self._faults(_WHAT):
            data = self._read(digest)
        if data is None:
            raise PictureNotStored("the picture's file is missing: run `reid gallery check`")
        if not _is_of(data, digest):
            raise SampleDamaged("the picture was altered: enrol the very same file again, or delete the sample")
        return data

    def whole(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return those that are there, with the bytes that were stored."""
        asked = list(digests)
        with self._faults(_WHAT):
            found = self._all([partial(self._is_whole, digest) for digest in asked])
        return {digest for digest, whole in zip(asked, found, strict=True) if whole}

    def remove(self, digests: Iterable[bytes]) -> set[bytes]:
        """Remove pictures for good, and what a writer that died left of them; return those that were there."""
        digests = set(digests)
        there = digests - set(self.missing(digests))
        with self._faults(_WHAT):
            names = {digest.hex() for digest in digests}
            for draft in self._drafts():
                if draft.name[1:65] in names:
                    draft.unlink(missing_ok=True)
            self._all([partial(self._ask, "rm_file", self._path(digest)) for digest in there])
            if self._folder is not None:
                folders = {self._folder / digest.hex()[:2] for digest in there}
                self._all([partial(sync_folder, folder) for folder in folders])
        return there

    def stored(self) -> Iterator[bytes]:
        """List the digests of all files."""
        with self._faults(_WHAT):
            paths = self._ask("find", self._root)
            for path in paths:
                name = path.rpartition("/")[2]
                if len(name) == 64 and not name.startswith("."):
                    yield bytes.fromhex(name)

    def sweep(self) -> None:
        """Remove what writers that died have left half-written."""
        with self._faults(_WHAT):
            for draft in self._drafts():
                with suppress(FileNotFoundError):  # its writer lives, and is done with it
                    if draft.stat().st_mtime < time.time() - _STALE_SECONDS:
                        draft.unlink()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def _all(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """Do everything at once; when some of it fails, raise after all of it has ended.

        Once there was no answer, nothing more is begun: each would wait as long for one.
        """
        away = threading.Event()
        futures = [self._pool.submit(_unless, away, one) for one in work]
        wait(futures)
        return [future.result() for future in futures]

    def _is_whole(self, digest: bytes) -> bool:
        data = self._read(digest)
        return data is not None and _is_of(data, digest)

    def _read(self, digest: bytes) -> bytes | None:
        try:
            return bytes(self._ask("cat_file", self._path(digest)))
        except FileNotFoundError:
            self._require_there()
            return None

    def _drafts(self) -> list[Path]:
        return [] if self._folder is None else list(self._folder.glob(".*.tmp"))

    def _require_there(self) -> None:
        if self._bucket is not None:
            self._ask("info", self._bucket)
        if self._folder is not None and file_number(self._folder) != self._opened:
            raise StoreUnavailable(
                "the folder of pictures was moved, removed or unmounted while it was in use: stop this process, and "
                "start it again once the folder is as it should be"
            )

    def _ask(self, name: str, *given: object, **named: object) -> Any:  # noqa: ANN401 - as the driver answers
        with drivers_faults():
            return getattr(self._files, name)(*given, **named)

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name}"

    def _put(self, digest: bytes, data: bytes) -> None:
        if self._folder is not None:
            _write_durably(self._folder, Path(self._path(digest)), data)
        elif self._files.async_impl:  # object stores show an object whole or not at all
            with drivers_faults():
                sync(self._files.loop, _within, self._files._pipe_file(self._path(digest), data))
        else:
            self._ask("pipe_file", self._path(digest), data)


def _open(url: str) -> tuple[Any, str]:
    """Open the driver of an address; return it, and the address as it names things."""
    if "::" in url:
        raise InvalidValue(
            "blob_url", "REID_BLOB_URL: expected one address, found several (::): a cache would keep what is erased"
        )
    on_s3 = _S3.match(url) is not None
    if on_s3 and "@" in url.split("/")[2]:
        raise InvalidValue(
            "blob_url",
            "REID_BLOB_URL: expected s3://bucket/folder, found credentials in it: they belong in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY",
        )
    try:
        files, root = fsspec.core.url_to_fs(url, **(_S3_OPTIONS if on_s3 else {}))
    except ValueError as exc:
        found = url.partition("://")[0]
        raise InvalidValue(
            "blob_url", f"REID_BLOB_URL: expected a folder or an address such as s3://bucket/pictures, found {found}://"
        ) from exc
    files.dircache.use_listings_cache = False  # other processes add and remove pictures
    if on_s3:
        files.retries = 1  # times the attempts above
    return files, root


def _is_of(data: bytes, digest: bytes) -> bool:
    return hashlib.sha256(data).digest() == digest


async def _within(upload: Awaitable[object]) -> None:
    """Give an upload up in time: no timeout of the drivers counts until the server says that it may begin."""
    await asyncio.wait_for(upload, _PUT_SECONDS)


def _unless(away: threading.Event, work: Callable[[], T]) -> T:
    """Do a piece of work unless the store is away, and tell when it is."""
    if away.is_set():
        raise ConnectionError
    try:
        return work()
    except (ConnectionError, TimeoutError):
        away.set()
        raise


def _write_durably(folder: Path, path: Path, data: bytes) -> None:
    """Write, fsync, rename: fsspec's own local files do no fsync and take their temporary file from elsewhere."""
    if not path.parent.exists():
        make_folder(path.parent)
    for last in (False, True):
        try:
            if not path.exists() or path.read_bytes() != data:
                _put_in_place(folder / f".{path.name}-{secrets.token_hex(8)}.tmp", path, data)
            return
        except FileNotFoundError:  # an erasure of the same picture took the draft for that of a writer that died
            if last:
                raise


def _put_in_place(draft: Path, path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
