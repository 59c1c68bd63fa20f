"""The picture store: files named by the sha256 of their bytes, in a folder or behind any fsspec address."""

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from index.database import FILE_MODE, make_folder, sync_folder
from index.errors import InvalidValue, PictureNotStored, StoreDamaged
from index.faults import disk_faults

_WHAT = "the picture store"
_AT_ONCE = 16  # a disk takes the fsyncs of sixteen threads in little more time than that of one
_STALE_SECONDS = 3600  # a temporary file of that age belongs to a process that died
T = TypeVar("T")


class PictureStore:
    """Pictures by their digest. A picture that can be read is whole and on the disk.

    Names are `ab/abcd…`: 256 folders, which a batch can make durable with few fsyncs.
    """

    def __init__(self, url: str) -> None:
        try:
            with disk_faults(_WHAT):
                self._files, self._root = fsspec.core.url_to_fs(url)
        except ValueError as exc:
            expected = "a folder or an address such as s3://bucket/pictures as REID_BLOB_URL"
            raise InvalidValue("blob_url", f"expected {expected}: {exc}") from exc
        self._folder = Path(self._root) if isinstance(self._files, LocalFileSystem) else None
        if self._folder is not None:
            make_folder(self._folder)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pictures")

    @property
    def folder(self) -> Path | None:
        """Where the files lie; None when that is no folder of this machine."""
        return self._folder

    def put(self, pictures: Mapping[bytes, bytes]) -> None:
        """Store pictures by digest; when this returns, all of them survive a power cut."""
        with disk_faults(_WHAT):
            self._all([partial(self._put, digest, data) for digest, data in pictures.items()])
            if self._folder is not None:
                folders = {self._folder / digest.hex()[:2] for digest in pictures}
                self._all([partial(sync_folder, folder) for folder in folders])

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Return those that are not there."""
        with disk_faults(_WHAT):
            asked = list(digests)
            there = self._all([partial(self._files.exists, self._path(digest)) for digest in asked])
        return [digest for digest, exists in zip(asked, there, strict=True) if not exists]

    def get(self, digest: bytes) -> bytes:
        """Read a picture; raise `StoreDamaged` when its bytes are not those that were stored."""
        with disk_faults(_WHAT):
            try:
                data = bytes(self._files.cat_file(self._path(digest)))
            except FileNotFoundError as exc:
                raise PictureNotStored("the picture's file is missing: run `reid gallery check`") from exc
        if hashlib.sha256(data).digest() != digest:
            raise StoreDamaged("the picture's bytes are not those that were stored: run `reid gallery check`")
        return data

    def remove(self, digests: Iterable[bytes]) -> set[bytes]:
        """Remove pictures for good and return those that were there."""
        digests = set(digests)
        there = digests - set(self.missing(digests))
        with disk_faults(_WHAT):
            self._all([partial(self._files.rm_file, self._path(digest)) for digest in there])
            if self._folder is not None:
                folders = {self._folder / digest.hex()[:2] for digest in there}
                self._all([partial(sync_folder, folder) for folder in folders])
        return there

    def stored(self) -> Iterator[bytes]:
        """List the digests of all files."""
        with disk_faults(_WHAT):
            self._files.invalidate_cache()
            for path in self._files.find(self._root):
                name = path.rpartition("/")[2]
                if len(name) == 64 and not name.startswith("."):
                    yield bytes.fromhex(name)

    def sweep(self) -> None:
        """Remove what writers that died have left half-written."""
        if self._folder is None:
            return
        with disk_faults(_WHAT):
            for path in self._folder.glob("*/.*.tmp"):
                if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def _all(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """Do everything at once; when some of it fails, raise after all of it has ended."""
        futures = [self._pool.submit(one) for one in work]
        wait(futures)
        return [future.result() for future in futures]

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name}"

    def _put(self, digest: bytes, data: bytes) -> None:
        if self._folder is None:
            self._files.pipe_file(self._path(digest), data)  # object stores show an object whole or not at all
        else:
            _write_durably(Path(self._path(digest)), data)


def _write_durably(path: Path, data: bytes) -> None:
    """Write, fsync, rename: fsspec's own local files do no fsync and take their temporary file from elsewhere."""
    if path.exists() and path.stat().st_size == len(data):
        return
    if not path.parent.exists():
        make_folder(path.parent)
    temporary = path.with_name(f".{path.name[:16]}-{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
