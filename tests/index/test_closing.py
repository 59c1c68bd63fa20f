"""A gallery is deleted bit by bit, and nobody sees it go."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from index import closing, removal, residue
from index.errors import GalleryNotFound, StoreUnavailable
from index.gallery import GalleryStore
from index.records import Action, SampleFilter
from index.removal import Removed
from tests.index.moving import NEW, NEW_DIM
from tests.index.people import VERSION, crowd, enrol, open_store, sample, vector, vectors

ALL = SampleFilter()
DYING = """
import os, signal, sys
from pathlib import Path
from index import closing, removal
from tests.index.people import open_store

remove, rounds = removal.remove, []

def dying(*given):
    rounds.append(given)
    return remove(*given) if len(rounds) < 3 else os.kill(os.getpid(), signal.SIGKILL)

removal.remove, closing._BATCH = dying, 7
open_store(Path(sys.argv[1])).delete_gallery("g")
"""


def filled(store: GalleryStore) -> None:
    store.put_gallery("g", retention_days=1)
    enrol(store, crowd(30, identities=5, cameras=2), gallery="g")


def pictures(folder: Path) -> int:
    return sum(path.is_file() for path in (folder / "pictures").rglob("*"))


@pytest.mark.databases
def test_a_gallery_is_deleted_in_several_transactions(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write between two, and none of them finds it."""
    filled(store)
    remove, sizes = removal.remove, []

    def counting(connection: Connection, gallery: int, keys: Sequence[int]) -> Removed:
        sizes.append(len(keys))
        with pytest.raises(GalleryNotFound):
            store.page("g", ALL, limit=1)
        with pytest.raises(GalleryNotFound):
            store.search("g", vectors(1), model_version=VERSION)
        assert [info.name for info in store.galleries()] == ["default"]
        return remove(connection, gallery, keys)

    monkeypatch.setattr(closing, "_BATCH", 7)
    monkeypatch.setattr(removal, "remove", counting)
    erased = store.delete_gallery("g")
    assert sizes == [7, 7, 7, 7, 2]
    assert (erased.samples_deleted, erased.images_deleted, erased.vectors_deleted) == (30, 30, 30)
    assert erased.verified
    entry = store.audit(limit=1).items[0]
    assert (entry.action, entry.gallery, entry.samples, entry.vectors) == (Action.DELETE_GALLERY, "g", 30, 30)
    assert (entry.pictures, entry.verified) == (30, True)


def test_what_is_read_back_of_a_gallery_is_held_once_and_after_its_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million vectors only what is looked for."""
    contents = removal.contents
    held: list[int] = []

    def watched(connection: Connection, gallery: int) -> Removed:
        assert len(store.indexes.serving) == 0
        found = contents(connection, gallery)
        held.extend(map(len, found.vectors))
        return found

    monkeypatch.setattr(removal, "contents", watched)
    with open_store(folder, NEW, 512) as store:
        store.put_gallery("g")
        items = [sample(number, embedding=vector(number, 512)) for number in range(3)]
        store.enrol("g", items, model_version=NEW)
        assert store.delete_gallery("g").verified
    assert held == [residue.WINDOW] * 3


def test_a_deletion_that_was_killed_goes_on_at_the_next_opening(folder: Path) -> None:
    with open_store(folder) as store:
        filled(store)
        enrol(store, [sample(1)])
    died = subprocess.run([sys.executable, "-c", DYING, str(folder)], check=False)
    assert died.returncode == -9
    with open_store(folder) as store:
        assert [info.name for info in store.galleries()] == ["default"]
        entry = store.audit(limit=1).items[0]
        assert (entry.samples, entry.pictures, entry.verified) == (30, None, None)
        assert pictures(folder) == 1
        assert not list((folder / "reid.index").glob("gallery-2.*"))
        store.put_gallery("g")
        assert store.search("g", vectors(1), model_version=VERSION)[0].searched == 0
        report = store.check()
        assert (report.samples, report.clean) == (1, True)


def test_a_deletion_that_failed_goes_on_with_the_expiry(
    store: GalleryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    bare = store.put_gallery("bare", store_images=False)
    remove, rounds = removal.remove, []

    def failing(connection: Connection, gallery: int, keys: Sequence[int]) -> Removed:
        rounds.append(keys)
        if len(rounds) == 3:
            raise StoreUnavailable("the disk is full: nothing of this request was taken; send it again")
        return remove(connection, gallery, keys)

    monkeypatch.setattr(closing, "_BATCH", 7)
    monkeypatch.setattr(removal, "remove", failing)
    with pytest.raises(StoreUnavailable, match=r"gallery is deleted .* the disk is full; once that is put") as failed:
        store.delete_gallery("g")
    assert "nothing of this request" not in str(failed.value)
    assert bare in store.galleries()
    assert store.check().problems == ()
    assert store.retention.overdue() == {}
    store.migrations.plan(NEW, NEW_DIM)
    store.put_gallery("g")
    assert store.retention.expire() == {}
    assert pictures(folder) == 0
    assert store.audit(limit=9).items[-1].samples == 30
