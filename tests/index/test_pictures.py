import hashlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index.errors import PictureNotStored, StoreDamaged, StoreUnavailable
from index.pictures import PictureStore


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def by_digest(*pictures: bytes) -> dict[bytes, bytes]:
    return {digest(data): data for data in pictures}


@pytest.fixture(params=["folder", "memory", "s3"])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PictureStore]:
    if request.param == "s3":
        url = f"s3://{request.getfixturevalue('bucket')}/pictures"
    else:
        url = str(tmp_path / "p") if request.param == "folder" else f"memory://{tmp_path}"
    store = PictureStore(url)
    yield store
    store.close()


def test_a_picture_is_given_back_as_it_was_put(pictures: PictureStore) -> None:
    pictures.put(by_digest(b"one", b"two"))
    assert pictures.get(digest(b"one")) == b"one"
    assert set(pictures.stored()) == {digest(b"one"), digest(b"two")}
    assert pictures.missing([digest(b"one"), digest(b"three")]) == [digest(b"three")]


def test_removing_says_what_was_there(pictures: PictureStore) -> None:
    pictures.put(by_digest(b"one", b"two"))
    assert pictures.remove([digest(b"one"), digest(b"three")]) == {digest(b"one")}
    assert set(pictures.stored()) == {digest(b"two")}
    with pytest.raises(PictureNotStored):
        pictures.get(digest(b"one"))


def test_many_are_asked_for_and_removed_at_once(pictures: PictureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other would take a slow store minutes, and whoever writes to the catalogue waits for it."""
    held = by_digest(*(b"%d" % number for number in range(32)))
    pictures.put(held)
    for name in ("exists", "rm_file"):
        together, call = threading.Barrier(16), getattr(pictures._files, name)

        def waiting(path: str, together: threading.Barrier = together, call: Callable[[str], object] = call) -> object:
            together.wait(timeout=30)
            return call(path)

        monkeypatch.setattr(pictures._files, name, waiting)
    assert pictures.missing(held) == []
    assert pictures.remove(held) == set(held)


def test_a_picture_that_cannot_be_removed_keeps_no_other(
    pictures: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = by_digest(b"two", *(b"%d" % number for number in range(20)))
    pictures.put(held)
    remove = pictures._files.rm_file

    def failing(path: str) -> None:
        if path.endswith(digest(b"two").hex()):
            raise PermissionError(1, "Operation not permitted")
        remove(path)

    monkeypatch.setattr(pictures._files, "rm_file", failing)
    with pytest.raises(StoreUnavailable, match="read-only" if pictures.folder else "with the rights to"):
        pictures.remove(held)
    assert list(pictures.stored()) == [digest(b"two")]


def test_an_empty_store_lists_nothing(pictures: PictureStore) -> None:
    assert list(pictures.stored()) == []


@pytest.mark.parametrize("altered", [b"on", b"onf"])
def test_a_picture_that_was_altered_is_damaged(tmp_path: Path, altered: bytes) -> None:
    pictures = PictureStore(str(tmp_path))
    pictures.put(by_digest(b"one"))
    name = digest(b"one").hex()
    (tmp_path / name[:2] / name).write_bytes(altered)
    with pytest.raises(StoreDamaged):
        pictures.get(digest(b"one"))
    pictures.put(by_digest(b"one"))
    assert pictures.get(digest(b"one")) == b"one"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is: file written and fsynced, renamed, folder fsynced."""
    done: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        done.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        fsync(descriptor)

    def seen_rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    pictures = PictureStore(str(tmp_path))
    pictures.put(by_digest(b"one"))
    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_rename)
    other = next(data for data in map(b"%d".__mod__, range(1000)) if digest(data)[:1] == digest(b"one")[:1])
    pictures.put(by_digest(other))
    assert done == ["fsync file", "rename", "fsync folder"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    pictures = PictureStore(str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="the disk is full") as caught:
        pictures.put(by_digest(b"one"))
    assert str(tmp_path) not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_writer_left_goes_with_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(draft: Path, path: Path) -> Path:
        assert draft.read_bytes() in (b"one", b"two")
        shutil.copy(draft, draft.with_name(draft.name[:70] + ".tmp"))
        raise KeyboardInterrupt

    pictures = PictureStore(str(tmp_path))
    with monkeypatch.context() as kill:
        kill.setattr(Path, "replace", killed)
        for data in (b"one", b"two"):
            with pytest.raises(KeyboardInterrupt):
                pictures.put(by_digest(data))
    pictures.put(by_digest(b"one"))
    assert pictures.remove([digest(b"one")]) == {digest(b"one")}
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"two"]


def test_a_picture_that_is_removed_while_it_is_written_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, rename = PictureStore(str(tmp_path)), Path.replace
    begun: list[Path] = []

    def removed_before(draft: Path, path: Path) -> Path:
        begun.append(draft)
        if len(begun) == 1:
            pictures.remove([digest(b"one")])
        return rename(draft, path)

    monkeypatch.setattr(Path, "replace", removed_before)
    pictures.put(by_digest(b"one"))
    assert len(begun) == 2
    assert pictures.get(digest(b"one")) == b"one"


def test_only_old_temporary_files_are_swept(tmp_path: Path) -> None:
    pictures = PictureStore(str(tmp_path))
    pictures.put(by_digest(b"one"))
    old, young = (tmp_path / f".{digest(age).hex()}-0123.tmp" for age in (b"old", b"young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    pictures.sweep()
    assert (old.exists(), young.exists()) == (False, True)
    assert set(pictures.stored()) == {digest(b"one")}
