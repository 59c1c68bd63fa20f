"""Snapshots: what was saved is loaded, and nothing that is wrong is used."""

import json
import logging
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from index import loading, upkeep
from index.gallery import GalleryStore
from index.snapshots import Snapshots
from tests.index.people import VERSION, crowd, enrol, open_store, sample, unit, vectors

pytestmark = pytest.mark.databases
NAME = "reid.index/gallery-1.v1.snapshot"


def answer(store: GalleryStore) -> object:
    return store.search("default", vectors(3, 5), model_version=store.model_version, top_k=100)


def written(folder: Path, count: int = 60) -> object:
    with open_store(folder) as store:
        enrol(store, crowd(count, identities=9, cameras=2))
        return answer(store)


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def restamp(file: Path, **changes: object) -> None:
    """Change the stamp and make the checksum fit."""
    data = file.read_bytes()[:-32]
    (length,) = struct.unpack("<I", data[16:20])
    said = json.loads(data[20 : 20 + length])
    stamp = json.dumps({**said, "stamp": {**said["stamp"], **changes}}).encode()
    stamp += b" " * (-(20 + len(stamp)) % 64)
    data = data[:16] + struct.pack("<I", len(stamp)) + stamp + data[20 + length :]
    file.write_bytes(data + sha256(data).digest())


def test_a_store_opens_from_its_snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(folder)
    monkeypatch.setattr(loading, "from_catalogue", lambda *_: pytest.fail("the catalogue's vectors were read"))
    with open_store(folder) as store:
        assert answer(store) == before


def test_what_came_after_the_snapshot_is_loaded_too(folder: Path) -> None:
    written(folder)
    store = open_store(folder)
    late = enrol(store, [sample(500), sample(501)])
    store.update("default", late[0], {"camera": "late"})
    expected = answer(store)
    with open_store(folder) as again:
        assert answer(again) == expected
        assert again.check().problems == ()
    store.close()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: flip(file, 200),
        lambda file: flip(file, 3),
        lambda file: flip(file, -1),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"not a snapshot at all" * 10),
        lambda file: restamp(file, version="other@9"),
        lambda file: restamp(file, store="0" * 32),
        lambda file: restamp(file, gallery=2),
        lambda file: restamp(file, seq=10**9),
        lambda file: restamp(file, dim=8, count=60),
        lambda file: restamp(file, count=61),
        lambda file: restamp(file, surprise=1),
    ],
)
def test_a_snapshot_with_anything_wrong_is_told_and_rebuilt(
    folder: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    before = written(folder)
    spoil(folder / NAME)
    with caplog.at_level(logging.ERROR), open_store(folder) as store:
        assert "index snapshot of gallery 1 not used, rebuilding from the catalogue" in caplog.text
        assert answer(store) == before
        assert store.check().problems == ()
    caplog.clear()
    with open_store(folder) as store:
        assert caplog.text == ""
        assert answer(store) == before


def test_a_snapshot_is_not_missed(folder: Path) -> None:
    before = written(folder)
    (folder / NAME).unlink()
    with open_store(folder) as store:
        assert answer(store) == before
    assert (folder / NAME).exists()


def test_drafts_of_the_dead_are_swept(folder: Path) -> None:
    written(folder)
    draft = folder / "reid.index" / "gallery-1.0123.tmp"
    draft.write_bytes(b"half")
    with open_store(folder):
        assert not draft.exists()


def test_a_snapshot_is_written_from_time_to_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_LEAST_CHANGES", 20)
    store = open_store(folder)
    enrol(store, crowd(19, identities=5, cameras=2))
    assert not (folder / NAME).exists()
    enrol(store, [sample(100), sample(101)])
    thread = store.indexes.serving.keeper._thread
    assert thread is not None
    thread.join()
    held = Snapshots(folder / "reid.index", 1).read(1)
    assert held is not None
    assert held.stamp.count == 21
    store.close()


def test_a_removal_while_a_snapshot_is_written_makes_it_void(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.vectors.BLOCK_ROWS", 8)
    store = open_store(folder)
    keys = enrol(store, crowd(30, identities=5, cameras=2))
    publish = Snapshots.draft

    def delete_first(self: Snapshots, *arguments: object) -> Path:
        made = publish(self, *arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        store.delete("default", keys[3])
        return made

    monkeypatch.setattr(Snapshots, "draft", delete_first)
    store.indexes.serving.keeper.save_all()
    assert list((folder / "reid.index").iterdir()) == []
    store.indexes.serving.keeper.save_all()
    assert (folder / NAME).exists()
    store.close()


def test_a_process_that_has_not_seen_a_deletion_publishes_no_snapshot(folder: Path) -> None:
    with open_store(folder) as writer, open_store(folder) as stale:
        keys = enrol(stale, crowd(30, identities=5, cameras=2))
        writer.delete("default", keys[3])
        stale.indexes.serving.keeper.save_all()
        assert not (folder / NAME).exists()


def test_space_of_removed_rows_is_taken_back(store: GalleryStore) -> None:
    keys = enrol(store, crowd(40, identities=5, cameras=2))
    for key in keys[:25]:
        store.delete("default", key)
    store.indexes.settle()
    shard = store.indexes.serving.follower.shards[1]
    assert len(shard.roster) == 15
    assert len(shard.vectors) == shard.roster.rows < 30
    (found,) = store.search("default", unit(vectors(1, 9)), model_version=VERSION, top_k=100)
    assert found.searched == 15
