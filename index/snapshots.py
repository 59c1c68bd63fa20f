"""Snapshots of the index: what makes opening fast, and can be thrown away at any time."""

import hashlib
import json
import logging
import mmap
import os
import re
import secrets
import struct
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from index.database import make_file, make_folder, sync_folder
from index.errors import StoreDamaged
from index.faults import disk_faults
from index.records import Embedding
from index.roster import TYPES, Facts, Ints

_log = logging.getLogger(__name__)
_MAGIC = b"REID-SNAPSHOT-2\n"
_LENGTH = struct.Struct("<I")
_CHECKSUM_BYTES = 32
_ALIGNED = 64  # bytes: arrays that lie across words are read slowly
_WHAT = "an index snapshot"
_NAME = re.compile(r"gallery-(?P<gallery>[0-9]+)\.v(?P<version>[0-9]+)\.snapshot")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a snapshot is of."""

    store: str
    gallery: int
    version: str
    dim: int
    count: int
    seq: int  # the last change of the catalogue that is in


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the index learnt of its vectors to search them faster: a code, without any vector's, and its setting."""

    content: bytes
    setting: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was read and found whole. Its arrays lie in the file."""

    stamp: Stamp
    facts: Facts  # (N,) each, ids ascending
    vectors: Embedding  # (N, D)
    learnt: Learnt | None


class Snapshots:
    """One file for each gallery and version: stamp, facts, vectors, what was learnt, and the sha256 of all that.

    A file is written under another name, fsynced and renamed: it is there whole or not at all. This object writes
    and reads those of one version; what removes a gallery's snapshots removes those of every version.
    """

    def __init__(self, folder: Path, version_id: int) -> None:
        self._folder = folder
        self._version_id = version_id
        make_folder(folder)

    def path(self, gallery: int) -> Path:
        """Return where a gallery's snapshot lies."""
        return self._folder / f"gallery-{gallery}.v{self._version_id}.snapshot"

    def draft(self, stamp: Stamp, facts: Facts, blocks: Iterable[Embedding], learnt: Learnt | None) -> Path:
        """Write a snapshot under a temporary name and fsync it."""
        temporary = self.path(stamp.gallery).with_suffix(f".{secrets.token_hex(8)}.tmp")
        with disk_faults(_WHAT):
            try:
                make_file(temporary)
                with temporary.open("wb") as file:
                    _write(file, stamp, facts, blocks, learnt)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return temporary

    def publish(self, draft: Path, gallery: int) -> None:
        """Give a draft its name; a draft that an erasure has removed meanwhile is let go."""
        with disk_faults(_WHAT):
            try:
                draft.replace(self.path(gallery))
            except FileNotFoundError:
                _log.info("a snapshot of the index was given up: samples were erased while it was written")
            sync_folder(self._folder)

    def read(self, gallery: int) -> Snapshot | None:
        """Read a gallery's snapshot; None when there is none, `StoreDamaged` when it is not whole."""
        try:
            with self.path(gallery).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreDamaged(f"the snapshot cannot be read: {exc.strerror}") from exc
        return _parse(memoryview(data))

    def discard(self, gallery: int) -> None:
        """Remove a gallery's snapshots of every version, and the drafts of them that are being written."""
        self._remove(f"gallery-{gallery}.*")

    def discard_version(self) -> None:
        """Remove every gallery's snapshot of this version, and the drafts."""
        self._remove(f"gallery-*.v{self._version_id}.*")

    def any_of(self, gallery: int) -> bool:
        """Tell whether a gallery has a snapshot of any version."""
        return any(self._folder.glob(f"gallery-{gallery}.*snapshot"))

    def discard_others(self, galleries: Collection[int], versions: Collection[int]) -> None:
        """Remove the snapshots of other galleries and other versions than these, and those of an older release."""
        with disk_faults(_WHAT):
            for path in self._folder.glob("*.snapshot"):
                named = _NAME.fullmatch(path.name)
                if named is None or int(named["gallery"]) not in galleries or int(named["version"]) not in versions:
                    path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what writers that died have left."""
        self._remove("*.tmp")

    def _remove(self, pattern: str) -> None:
        with disk_faults(_WHAT):
            there = list(self._folder.glob(pattern))
            for path in there:
                path.unlink(missing_ok=True)
            if there:
                sync_folder(self._folder)


def _write(file: BinaryIO, stamp: Stamp, facts: Facts, blocks: Iterable[Embedding], learnt: Learnt | None) -> None:
    said = {"stamp": asdict(stamp), "learnt": None if learnt is None else [len(learnt.content), learnt.setting]}
    header = json.dumps(said).encode()
    header += b" " * (-(len(_MAGIC) + _LENGTH.size + len(header)) % _ALIGNED)
    checksum = hashlib.sha256()

    def put(part: bytes | memoryview) -> None:
        checksum.update(part)
        file.write(part)

    for part in (_MAGIC, _LENGTH.pack(len(header)), header):
        put(part)
    for column in facts:
        put(np.ascontiguousarray(column).data)
    for block in blocks:
        put(np.ascontiguousarray(block).data)
    if learnt is not None:
        put(learnt.content)
    file.write(checksum.digest())
    file.flush()
    os.fsync(file.fileno())


def _parse(data: memoryview) -> Snapshot:
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) < len(_MAGIC) + _LENGTH.size + _CHECKSUM_BYTES or body[: len(_MAGIC)] != _MAGIC:
        raise StoreDamaged("the file is no snapshot of this release")
    if hashlib.sha256(body).digest() != checksum:
        raise StoreDamaged("the snapshot's checksum is not that of its content")
    start = len(_MAGIC) + _LENGTH.size
    (length,) = _LENGTH.unpack(body[len(_MAGIC) : start])
    try:
        said = json.loads(bytes(body[start : start + length]))
        stamp = Stamp(**said["stamp"])
        return _content(stamp, said["learnt"], body[start + length :])
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreDamaged("the snapshot's stamp does not fit its content") from exc


def _content(stamp: Stamp, learnt: list[Any] | None, rest: memoryview) -> Snapshot:
    columns: list[Ints] = []
    for kind in TYPES:
        columns.append(np.frombuffer(rest, dtype=kind, count=stamp.count))
        rest = rest[columns[-1].nbytes :]
    size = 0 if learnt is None else learnt[0]
    vectors = np.frombuffer(rest[: len(rest) - size], dtype=np.float32).reshape(stamp.count, stamp.dim)
    found = None if learnt is None else Learnt(bytes(rest[len(rest) - size :]), learnt[1])
    return Snapshot(stamp, Facts(*columns), vectors, found)
