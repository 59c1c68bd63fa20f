"""Erased means gone from the bytes of every file."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from index import erasure, residue
from index.database import Database
from index.errors import IdentityNotFound, StoreUnavailable
from index.gallery import GalleryStore
from index.pictures import PictureStore
from index.records import NewSample, SampleFilter
from tests.index.people import VERSION, crowd, enrol, open_store, sample, vector


def traces(folder: Path, items: list[NewSample], ids: list[str]) -> list[str]:
    """Return the files in which a vector, a picture, a name or an id of these samples lies."""
    needles = [item.embedding.tobytes() for item in items] + [item.picture for item in items]
    needles += [item.identity.encode() for item in items] + [key.encode() for key in ids]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted({path.name for path in files for needle in needles if needle in path.read_bytes()})


def secret(number: int) -> NewSample:
    return sample(
        1000 + number, "Erika Mustermann", attributes={"coat": "x" * 50}, picture=b"secret picture %d" % number
    )


@pytest.mark.parametrize("closed_before", [False, True])
def test_no_file_holds_an_erased_person(folder: Path, closed_before: bool) -> None:
    persons = [secret(number) for number in range(6)]
    store = open_store(folder)
    others = crowd(120, identities=9, cameras=3)
    enrol(store, others[:60])
    keys = enrol(store, persons)
    enrol(store, others[60:])
    if closed_before:  # so that a snapshot holds the vectors
        store.close()
        assert (folder / "reid.index" / "gallery-1.v1.snapshot").exists()
        store = open_store(folder)
    assert traces(folder, persons, keys) != []
    erased = store.erase("default", "Erika Mustermann")
    assert (erased.samples_deleted, erased.images_deleted, erased.vectors_deleted) == (6, 6, 6)
    assert erased.verified
    assert traces(folder, persons, keys) == []
    store.close()
    assert traces(folder, persons, keys) == []
    with open_store(folder) as again:
        assert again.indexes.sample_count() == 120
        assert again.check().problems == ()
        with pytest.raises(IdentityNotFound):
            again.identity("default", "Erika Mustermann")


def test_a_deleted_sample_leaves_no_vector_and_no_picture(folder: Path) -> None:
    store = open_store(folder)
    enrol(store, crowd(40, identities=5, cameras=2))
    keys = enrol(store, [secret(0), secret(1)])
    store.delete("default", keys[0])
    assert secret(0).picture not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert (
        secret(0).embedding.tobytes() not in (folder / "reid.db").read_bytes() + (folder / "reid.db-wal").read_bytes()
    )
    assert store.picture("default", keys[1]) == secret(1).picture
    store.close()


@pytest.mark.databases
def test_a_picture_that_another_sample_uses_stays(store: GalleryStore) -> None:
    _, kept = enrol(store, [sample(1, "a", picture=b"both"), sample(1, "b", picture=b"both")])
    erased = store.erase("default", "a")
    assert (erased.samples_deleted, erased.images_deleted, erased.vectors_deleted) == (1, 0, 1)
    assert erased.verified  # the same vector is rightly there for b
    assert store.picture("default", kept) == b"both"
    assert store.erase("default", "b").images_deleted == 1


def test_the_embeddings_that_stay_are_gone_through_once(store: GalleryStore) -> None:
    """However many of the erased samples have a twin."""
    twins = [sample(number, "a") for number in range(40)]
    enrol(store, twins)
    store.put_gallery("other")
    enrol(store, [*twins, sample(41, "b")], "other")
    asked: list[str] = []
    event.listen(store._database._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert store.delete_gallery("other").verified
    assert sum("substr(embeddings.vector" in statement for statement in asked) == 1


def test_pictures_whose_disk_is_not_mounted_are_not_called_gone(folder: Path) -> None:
    pictures, away = folder / "pictures", folder / "away"
    with open_store(folder) as store:
        enrol(store, [secret(0), sample(1)])
        pictures.rename(away)
        with pytest.raises(StoreUnavailable, match="unmounted while it was in use"):
            store.erase("default", "Erika Mustermann")
        with pytest.raises(StoreUnavailable, match="unmounted while it was in use"):
            store.enrol("default", [sample(2)], model_version=VERSION)
    with pytest.raises(StoreUnavailable, match="found their folder empty: mount its disk"):
        open_store(folder)
    pictures.rmdir()
    away.rename(pictures)
    with open_store(folder) as store:
        assert store.check().clean
    assert [path.read_bytes() for path in pictures.rglob("*") if path.is_file()] == [sample(1).picture]


def test_pictures_are_removed_in_several_transactions(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write between two; all of them wait while pictures are removed."""
    enrol(store, [sample(number, "a") for number in range(30)] + [sample(30, "b")])
    remove, sizes = PictureStore.remove, []

    def counting(self: PictureStore, digests: list[bytes]) -> set[bytes]:
        sizes.append(len(digests))
        return remove(self, digests)

    monkeypatch.setattr(erasure, "_BATCH", 7)
    monkeypatch.setattr(PictureStore, "remove", counting)
    erased = store.erase("default", "a")
    assert (erased.images_deleted, erased.verified, sizes) == (30, True, [7, 7, 7, 7, 2])


def test_what_is_left_over_is_not_called_verified(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enrol(store, [sample(1, "a"), sample(2, "b")])
    with monkeypatch.context() as patch:
        patch.setattr(PictureStore, "remove", lambda *_: set())
        assert not store.erase("default", "a").verified
    assert "left something in the pictures" in caplog.text
    with monkeypatch.context() as patch:
        patch.setattr(residue, "find", lambda *_: {0})
        assert not store.erase("default", "b").verified
    assert "left something in the files" in caplog.text
    store.rebuild()


def test_copies_that_the_database_left_behind_are_rewritten(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [{0}, set()]
    monkeypatch.setattr(residue, "find", lambda *_: answers.pop(0))
    keys = enrol(store, [sample(number, "a") for number in range(3)] + [sample(4, "b")])
    assert store.erase("default", "a").verified
    assert answers == []
    assert store.get("default", keys[-1]).identity == "b"


def leave_copies(file: Path, *texts: bytes) -> None:
    """Copy the last place of each text, with what is around it, to where nothing lies, as SQLite does now and then."""
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'versions'").fetchone()
    data = bytearray(file.read_bytes())
    for number, text in enumerate(texts):
        place, free = data.rindex(text), (page - 1) * 8192 + 1000 * (number + 1)
        data[free : free + 100] = data[place - 30 : place + 70]
    file.write_bytes(data)


@pytest.mark.parametrize("text", ["Erika Mustermann", "employee 4711"])
def test_a_copy_of_a_name_that_the_database_left_behind_is_rewritten(folder: Path, text: str) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number, "a") for number in range(3)])
        enrol(store, [sample(9, "Erika Mustermann", external_id="employee 4711")])
    leave_copies(folder / "reid.db", text.encode())
    with open_store(folder) as store:
        assert store.erase("default", "Erika Mustermann").verified
        assert store.check().clean
    assert text.encode() not in (folder / "reid.db").read_bytes()


def test_what_could_not_be_cleaned_away_goes_with_a_rebuild(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Database) -> None:
        raise StoreUnavailable("the disk is full")

    with open_store(folder) as store:
        enrol(store, [sample(number, "a") for number in range(3)] + [sample(9, "Erika Mustermann")])
    leave_copies(folder / "reid.db", b"Erika Mustermann")
    with open_store(folder) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "vacuum", full)
            assert not store.erase("default", "Erika Mustermann").verified
        assert b"Erika Mustermann" in (folder / "reid.db").read_bytes()
        assert store.rebuild() == 3
        assert b"Erika Mustermann" not in (folder / "reid.db").read_bytes()
        assert store.check().clean


def test_who_is_enrolled_again_meanwhile_is_not_left_behind(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(1, "Erika Mustermann", external_id="employee 4711")])
    find = residue.find

    def late(files: Sequence[Path], needles: Sequence[tuple[bytes, int]]) -> set[int]:
        enrol(store, [sample(2, "Erika Mustermann", external_id="employee 4711")])
        return find(files, needles)

    monkeypatch.setattr(residue, "find", late)
    monkeypatch.setattr(Database, "vacuum", lambda *_: pytest.fail("nothing was left behind"))
    assert store.erase("default", "Erika Mustermann").verified
    assert store.identity("default", "Erika Mustermann").samples == 1


def test_a_name_that_another_rightly_has_is_no_copy(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera 1 is called as identity 1 was; an external id and a name that stay have the number of one that goes."""
    enrol(store, [sample(1, "door", camera="door")])
    moved, *_ = enrol(store, [sample(2, "two", external_id="two"), sample(3, "two")])
    enrol(store, [sample(4, "more", external_id="moved")])
    store.update("default", moved, {"identity": "moved"})
    store.put_gallery("other")
    enrol(store, [sample(1, "door", camera="door", external_id="two")], "other")
    monkeypatch.setattr(Database, "vacuum", lambda *_: pytest.fail("nothing was left behind"))
    for identity in ("door", "two", "more"):
        assert store.erase("default", identity).verified
    assert store.get("default", moved).external_id == "two"
    assert store.identity("other", "door").samples == 1


def test_a_removal_that_was_cut_short_is_taken_up_at_the_next_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(folder)
    keys = enrol(store, [sample(1), sample(2)])
    store.close()
    store = open_store(folder)
    with monkeypatch.context() as patch:  # the process dies right after the commit
        patch.setattr(erasure.Eraser, "clear", lambda *_: set())
        store.delete("default", keys[0])
    assert sample(1).picture in b"".join(
        path.read_bytes() for path in (folder / "pictures").rglob("*") if path.is_file()
    )
    assert vector(1).tobytes() in (folder / "reid.index" / "gallery-1.v1.snapshot").read_bytes()
    with open_store(folder) as again:
        left = [path.read_bytes() for path in (folder / "pictures").rglob("*") if path.is_file()]
        assert left == [sample(2).picture]
        assert not (folder / "reid.index" / "gallery-1.v1.snapshot").exists()
        assert [item.sample_id for item in again.page("default", SampleFilter(), limit=5).items] == keys[1:]
        assert again.search("default", vector(1)[None], model_version=VERSION)[0].searched == 1
    store.close()
