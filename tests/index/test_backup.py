"""A backup is the store at one moment, whole, and can be restored; anything else is no backup."""

import fcntl
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest

from index import archive, copies, known_backups, ledger
from index import backup as making
from index.archive import Archive
from index.database import Database
from index.errors import BackupRefused, InvalidValue, StoreDamaged, StoreUnavailable
from index.gallery import GalleryStore
from index.pictures import PictureStore
from index.records import Action, Ranking, Restored, Sample, SampleFilter
from index.restore import _Restore, restore
from tests.index.people import VERSION, crowd, enrol, open_store, sample, vectors

QUERIES = vectors(20, seed=99)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "backups-disk"


def restored(kept: Path, folder: Path, name: str | None = None) -> Restored:
    done = restore(kept, f"sqlite:///{folder}/reid.db", f"{folder}/pictures", name=name)
    assert done.report.problems == ()
    return done


def rows(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that a restored store has in common with the one that was backed up."""
    connection = sqlite3.connect(folder / "reid.db")
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = [name for (name,) in found if name not in ("audit_log", "backups", "sqlite_sequence")]
    tables = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    [(one, store_id, *rest)] = tables["ledger"]
    assert len(store_id) == 32
    connection.close()
    return {**tables, "ledger": [(one, *rest)]}


def store_id(folder: Path) -> str:
    with copies.reading(folder / "reid.db") as connection:
        return copies.content(connection).store_id


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures(folder: Path) -> dict[str, bytes]:
    """Return the pictures; what a killed writer left under another name is swept an hour later."""
    return {name: data for name, data in files(folder / "pictures").items() if not name.endswith(".tmp")}


def held(store: GalleryStore, gallery: str = "default") -> list[Sample]:
    return list(store.page(gallery, SampleFilter(), limit=1000).items)


def answers(store: GalleryStore, gallery: str = "default") -> list[Ranking]:
    return store.search(gallery, QUERIES, model_version=VERSION, top_k=50, samples_per_identity=50)


def remembered(store: GalleryStore) -> set[str]:
    with store._database.read() as connection:
        return known_backups.names(connection)


def fill(store: GalleryStore) -> None:
    store.put_gallery("blind", retention_days=30, store_images=False)
    people = crowd(60, identities=9, cameras=3)
    enrol(store, [replace(one, external_id=f"x{place}") for place, one in enumerate(people)])
    enrol(store, crowd(20, identities=4, cameras=2, seed=5), "blind")
    enrol(store, [sample(7, "twin", picture=b"both"), sample(8, "other", picture=b"both")])
    store.erase("default", "p3")
    store.rename("default", "p1", "p2")


def test_what_is_restored_is_what_was_backed_up(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        fill(store)
        made = store.backup(kept)
        expected = {name: (held(store, name), answers(store, name)) for name in ("default", "blind")}
        settings = store.galleries()
        pictures = {one.sample_id: store.picture("default", one.sample_id) for one in expected["default"][0]}
        assert made.samples == store.indexes.sample_count() == len(expected["default"][0]) + 20
        assert made.pictures == made.copied == len(set(pictures.values()))
        assert made.left_out == 0
    done = restored(kept, tmp_path / "new")
    assert (done.name, done.model_version, done.report.samples) == (made.name, VERSION, made.samples)
    assert rows(tmp_path / "new") == rows(folder)
    assert files(tmp_path / "new" / "pictures") == files(folder / "pictures") == files(kept / "pictures")
    assert store_id(tmp_path / "new") != store_id(folder)
    with open_store(tmp_path / "new") as store:
        for name, (samples, found) in expected.items():
            assert held(store, name) == samples
            assert answers(store, name) == found
        assert store.galleries() == settings
        assert {key: store.picture("default", key) for key in pictures} == pictures
        (entry, *_) = store.audit(limit=10).items
        assert (entry.action, entry.gallery, entry.samples, entry.pictures, entry.vectors, entry.verified) == (
            Action.RESTORE, None, made.samples, made.pictures, made.samples, True
        )  # fmt: skip
        (again,) = enrol(store, [sample(500)])  # numbers and ids go on
        assert again > max(one.sample_id for samples, _ in expected.values() for one in samples)
        assert store.check().clean


def test_pictures_and_vectors_are_not_for_every_user_of_the_machine(kept: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for place in (tmp_path / "first", tmp_path / "second"):
            if place.name == "second":
                restored(kept, place)
            with open_store(place) as store:
                enrol(store, crowd(3, identities=2, cameras=2))
                store.backup(kept)
                running = [path for path in place.rglob("*") if path.is_file()]
                open_to_all = [path.name for path in running if path.stat().st_mode & 0o007]
                assert ("reid.db-wal" in {path.name for path in running}, open_to_all) == (True, [])
    finally:
        os.umask(before)
    found = [path for folder in (tmp_path / "first", tmp_path / "second", kept) for path in folder.rglob("*")]
    assert {".db", ".snapshot", ""} <= {path.suffix for path in found if path.is_file()}
    told = {"manifest.json"}  # how many, and never who
    assert {path.name for path in found if path.is_file() and path.stat().st_mode & 0o007} <= told


def test_a_backup_is_one_moment_of_a_store_in_use(folder: Path, kept: Path, tmp_path: Path) -> None:
    dice = random.Random(3)
    states: dict[int, frozenset[str]] = {}
    stop = threading.Event()
    with open_store(folder) as store:
        living = set(enrol(store, [sample(number, f"p{number % 20}") for number in range(100)]))

        def remember() -> None:
            with store._database.read() as connection:
                states[ledger.last_seq(connection)] = frozenset(living)

        def work() -> None:
            number = 1000
            while not stop.is_set():
                if dice.random() < 0.5 and len(living) > 20:
                    key = dice.choice(sorted(living))
                    store.delete("default", key)
                    living.discard(key)
                else:
                    living.update(enrol(store, [sample(number + step, f"p{dice.randrange(20)}") for step in range(3)]))
                    number += 3
                remember()

        remember()
        worker = threading.Thread(target=work)
        worker.start()
        try:
            made = [store.backup(kept) for _ in range(4)]
        finally:
            stop.set()
            worker.join()
    assert len(states) > 8
    for place, one in enumerate(made):
        target = tmp_path / f"new{place}"
        restored(kept, target, one.name)
        seq = Archive(kept).manifest(one.name).content.last_seq - one.left_out  # each that is left out is one change
        with open_store(target) as store:
            found = {each.sample_id for each in held(store)}
        assert found <= states[seq]
        assert len(states[seq] - found) == one.left_out
        assert not (states[seq] - found) & living


def test_who_is_erased_meanwhile_is_left_out_and_told(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_BATCH", 5)
    with open_store(folder) as store:
        enrol(store, crowd(60, identities=6, cameras=2))
        told: list[tuple[int, int]] = []
        named: list[tuple[str, ...]] = []

        def erasing(done: int, total: int) -> None:
            told.append((done, total))
            if done == 5:
                erased = store.erase("default", "p2")
                assert erased.verified
                named.append(erased.backups)

        before = len(held(store))
        made = store.backup(kept, progress=erasing)
        assert told == [(done, 60) for done in range(5, 65, 5)]
        assert named == [(made.name,)]  # it may hold some of it, and was not finished yet
        assert 0 < made.left_out <= before - len(held(store))
        assert made.samples == 60 - made.left_out
        assert made.pictures == len(files(kept / "pictures"))
        secret = next(one for one in crowd(60, identities=6, cameras=2) if one.identity == "p2")
        assert secret.embedding.tobytes() not in (folder / "reid.db").read_bytes()
    restored(kept, tmp_path / "new")


def test_no_trace_of_what_is_left_out_is_in_the_copy(folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_BATCH", 1)
    with open_store(folder) as store:
        enrol(store, crowd(40, identities=6, cameras=2))
        secret = sample(1000, "Erika Mustermann", picture=b"secret")
        while not store.get("default", enrol(store, [secret])[0]).digest.startswith(("8", "9", "a", "b", "c", "d")):
            store.erase("default", "Erika Mustermann")  # so that it is not the first to be copied
            secret = replace(secret, picture=secret.picture + b"!")

        def erasing(done: int, _total: int) -> None:
            if done == 1:
                store.erase("default", "Erika Mustermann")

        made = store.backup(kept, progress=erasing)
        assert made.left_out == 1
    everything = b"".join(files(kept).values())
    assert secret.embedding.tobytes() not in everything
    assert b"Erika" not in everything
    assert secret.picture not in everything


def test_a_second_backup_copies_only_what_is_new(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(folder) as store:
        keys = enrol(store, [sample(number) for number in range(10)])
        first = store.backup(kept)
        store.delete("default", keys[0])
        enrol(store, [sample(number) for number in range(20, 23)])
        written: list[int] = []
        put = PictureStore.put

        def counting(self: PictureStore, pictures: dict[bytes, bytes]) -> None:
            written.append(len(pictures))
            put(self, pictures)

        with monkeypatch.context() as patch:
            patch.setattr(PictureStore, "put", counting)
            second = store.backup(kept)
        assert sum(written) == second.copied == 3
        assert second.pictures == 12
        assert len(files(kept / "pictures")) == 13
        assert remembered(store) == {first.name, second.name} == set(Archive(kept).names())
    restored(kept, tmp_path / "old", first.name)
    assert restored(kept, tmp_path / "new").name == second.name
    with open_store(tmp_path / "old") as old, open_store(tmp_path / "new") as new:
        assert (len(held(old)), len(held(new))) == (10, 12)


def test_only_the_newest_are_kept(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(5)])
        names = []
        for number in range(4):
            names.append(store.backup(kept).name)
            enrol(store, [sample(100 + number)])
            store.erase("default", f"p{number}")
        assert len(files(kept / "pictures")) == 8
        last = store.backup(kept, keep=2)
        assert last.pruned == tuple(names[:3])
        assert Archive(kept).names() == [names[3], last.name]
        assert remembered(store) == {names[3], last.name}
        assert len(files(kept / "pictures")) == 6  # p3, p4 and 100 to 102 of the one, 103 of the other
        assert store.backup(kept, keep=9).pruned == ()
        with pytest.raises(InvalidValue, match="at least 1"):
            store.backup(kept, keep=0)
    restored(kept, tmp_path / "new", names[3])


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=1)


def test_a_backup_after_the_clock_was_put_back_is_the_newest(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        with monkeypatch.context() as clock:
            clock.setattr(archive, "datetime", Tomorrow)
            before = store.backup(kept)
        enrol(store, [sample(2)])
        last = store.backup(kept, keep=1)
        assert last.pruned == (before.name,)
        assert Archive(kept).names() == [last.name]
    assert restored(kept, tmp_path / "new").report.samples == 2


def test_backups_of_another_store_are_not_pruned(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(tmp_path / "other") as other:
        enrol(other, [sample(1)])
        theirs = other.backup(kept).name
    with open_store(folder) as store:
        enrol(store, [sample(2)])
        ours = store.backup(kept, keep=1).name
        newest = store.backup(kept, keep=1).name
        assert set(Archive(kept).names()) == {theirs, newest}
        assert ours not in remembered(store)
    restored(kept, tmp_path / "new", theirs)


def test_an_erasure_names_the_backups_that_still_hold_it(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1, "a")])
        empty = store.erase("default", "a")
        assert empty.backups == ()
        enrol(store, [sample(1, "a"), sample(2, "b")])
        first = store.backup(kept).name
        enrol(store, [sample(3, "c")])
        second = store.backup(kept).name
        enrol(store, [sample(4, "d"), sample(5, "a")])
        assert store.erase("default", "d").backups == ()
        assert store.erase("default", "c").backups == (second,)
        assert store.erase("default", "a").backups == (first, second)
        store.backup(kept, keep=1)
        assert store.erase("default", "b").backups == tuple(Archive(kept).names())
        assert store.delete_gallery("default").backups == ()  # nothing was in it
    restored(kept, tmp_path / "new")


def test_a_restored_store_knows_the_backups_too(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1, "a"), sample(2, "b")])
        first = store.backup(kept).name
        enrol(store, [sample(3, "c")])
        second = store.backup(kept).name
    restored(kept, tmp_path / "one", first)
    with open_store(tmp_path / "one") as store:
        third = store.backup(kept).name
        enrol(store, [sample(4, "d")])  # the number that c has in the second
        assert store.erase("default", "d").backups == ()
        assert store.erase("default", "a").backups == (first, second, third)
    restored(kept, tmp_path / "two", first)  # the third is of a store that came from the first
    with open_store(tmp_path / "two") as store:
        assert store.erase("default", "b").backups == (first, second, third)


def test_a_snapshot_of_the_old_store_is_not_used(
    folder: Path, kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(20, identities=4, cameras=2))
        store.backup(kept)
    restored(kept, tmp_path / "new")
    shutil.copyfile(
        folder / "reid.index" / "gallery-1.v1.snapshot", tmp_path / "new" / "reid.index" / "gallery-1.v1.snapshot"
    )
    with open_store(tmp_path / "new") as store:
        assert "expected store" in caplog.text
        assert store.check().clean


# --- what is refused ------------------------------------------------------------------------------------------


def flip(file: Path, place: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def a_picture(kept: Path) -> Path:
    return next(path for path in sorted((kept / "pictures").rglob("*")) if path.is_file())


def test_a_damaged_backup_is_refused_before_anything_is_touched(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(20, identities=4, cameras=2))
        first = store.backup(kept).name
        enrol(store, [sample(99)])
        name = store.backup(kept).name
    place, target = kept / "backups" / name, tmp_path / "new"
    whole = tmp_path / "whole"
    shutil.copytree(kept, whole)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["content"]["samples"] += 1

    def damages() -> Any:  # noqa: ANN401 - pairs of a damage and what is told
        yield lambda: flip(a_picture(kept)), r"picture [0-9a-f]{64} is missing or was altered"
        yield lambda: a_picture(kept).unlink(), r"picture [0-9a-f]{64} is missing or was altered"
        yield lambda: flip(place / "catalogue.db", 9000), "catalogue.db of sha256"
        yield lambda: (place / "catalogue.db").write_bytes(b""), "catalogue.db of sha256"
        yield lambda: flip(place / "manifest.json", 0), "manifest.json is not one of this release"
        yield lambda: (place / "manifest.json").write_text(json.dumps(manifest)), "samples=22"
        yield lambda: (place / "manifest.json").write_text(json.dumps({**manifest, "format": 2})), "format 1, found 2"
        yield lambda: shutil.copy(kept / "backups" / first / "manifest.json", place), f"that of {first}"

    for damage, told in damages():
        shutil.rmtree(kept)
        shutil.copytree(whole, kept)
        damage()
        with pytest.raises(StoreDamaged, match=told) as caught:
            restored(kept, target, name)
        assert f"restore another with --backup, such as {first}" in str(caught.value)
        assert files(target) == {} if target.exists() else True
    assert restored(whole, target).name == name


def test_an_altered_picture_in_the_backups_is_copied_again(
    folder: Path, kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(4)])
        store.backup(kept)
        flip(a_picture(kept))
        assert store.backup(kept).copied == 1
    assert "is altered in the folder of backups" in caplog.text
    restored(kept, tmp_path / "new")


def test_what_is_written_is_read_back(
    folder: Path, kept: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(number) for number in range(4)])
    put = PictureStore.put

    def writing_badly(self: PictureStore, pictures: dict[bytes, bytes]) -> None:
        put(self, {digest: data[:-1] for digest, data in pictures.items()})

    with monkeypatch.context() as patch:
        patch.setattr(PictureStore, "put", writing_badly)
        with pytest.raises(StoreDamaged, match="was read back other than it was written"):
            store.backup(kept)
    assert Archive(kept).names() == []
    assert files(kept / "pictures") == {}
    copy = copies.compact

    def damaging(file: Path) -> None:
        copy(file)
        flip(file, 5 * 8192)

    with monkeypatch.context() as patch:
        patch.setattr(copies, "compact", damaging)
        with pytest.raises(StoreDamaged, match="damaged"):
            store.backup(kept)
    assert Archive(kept).names() == []


def test_a_lost_picture_of_the_store_is_told_and_no_backup_is_left(folder: Path, kept: Path) -> None:
    with open_store(folder) as store:
        keys = enrol(store, [sample(1), sample(2)])
        digest = store.get("default", keys[0]).digest
        lost = folder / "pictures" / digest[:2] / digest
        data = lost.read_bytes()
        lost.unlink()
        with pytest.raises(StoreDamaged, match=f"picture {digest} cannot be backed up: the picture's file is missing"):
            store.backup(kept)
        assert [path for path in (kept / "backups").iterdir() if path.name != ".lock"] == []
        assert files(kept / "pictures") == {}
        assert remembered(store) == set()
        lost.write_bytes(data)
        assert store.backup(kept).samples == 2


@pytest.mark.parametrize("there", ["reid.db", "reid.db-wal", "reid.index/gallery-1.v1.snapshot", "pictures/ab/ab"])
def test_a_folder_that_is_not_empty_is_refused(folder: Path, kept: Path, tmp_path: Path, there: str) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        store.backup(kept)
    file = tmp_path / "new" / (there if there != "pictures/ab/ab" else f"pictures/ab/{'ab' * 32}")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    (tmp_path / "new" / "models").mkdir()
    with pytest.raises(
        BackupRefused, match=r"expected an empty data folder .* found .*: stop what uses it and move it away, or set"
    ) as caught:
        restored(kept, tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert files(tmp_path / "new") == {file.name: b"mine"}
    file.unlink()
    restored(kept, tmp_path / "new")


def test_what_is_no_place_for_backups_is_refused(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        for place in (folder, folder / "pictures" / "kept"):
            with pytest.raises(BackupRefused, match="found the store's own"):
                store.backup(place)
        (kept / "pictures").mkdir(parents=True)
        with pytest.raises(BackupRefused, match="found one with pictures: name a folder of its own"):
            store.backup(kept)
        (kept / "pictures").rmdir()
        for wrong in (kept, tmp_path / "nothing"):
            with pytest.raises(BackupRefused, match=r"expected backups in .*, found none"):
                restored(wrong, tmp_path / "new")
        name = store.backup(kept).name
        with pytest.raises(BackupRefused, match=f"a backup named 'other' in .*, found {name}"):
            restored(kept, tmp_path / "new", "other")
        with (kept / "backups" / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(BackupRefused, match="found another backup at work"):
                store.backup(kept)
        assert len(files(folder / "pictures")) == 1


def test_a_database_server_has_its_own_tool(
    folder: Path, kept: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "file", None)
        with pytest.raises(BackupRefused, match="pg_dump"):
            store.backup(kept)
    assert not kept.exists()
    with pytest.raises(BackupRefused, match="pg_restore"):
        restore(kept, "postgresql+psycopg://host/reid", str(folder / "pictures"))


def test_a_full_disk_leaves_no_backup(
    folder: Path, kept: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(number) for number in range(3)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            store.backup(kept)
    assert Archive(kept).names() == []
    made = store.backup(kept)  # sweeps what the full disk did not let be removed
    assert Archive(kept).unfinished() == []
    assert remembered(store) == {made.name}


# --- kill -9 --------------------------------------------------------------------------------------------------


def die(at: int, work: str, data: Path, kept: Path, *name: str) -> int | None:
    """Let a process die before its Nth step on the disk; return how many steps it took when it did not die."""
    command = [sys.executable, "-m", "tests.index.dying", str(at), work, str(data), str(kept), *name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return int(done.stdout) if done.returncode == 0 else None


def points(steps: int, count: int) -> list[int]:
    """Choose moments to die, the first and the last among them."""
    return sorted({1, steps, *random.Random(11).sample(range(2, steps), count)})


@pytest.mark.parametrize("then", ["restored", "removed"])
def test_a_store_whose_folder_was_moved_away_takes_nothing(folder: Path, kept: Path, tmp_path: Path, then: str) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        store.backup(kept)
        folder.rename(tmp_path / "old")
        if then == "restored":
            restored(kept, folder)
        with pytest.raises(StoreUnavailable, match="moved away, removed or replaced"):
            store.enrol("default", [sample(2)], model_version=VERSION)
        with pytest.raises(StoreUnavailable, match="moved away, removed or replaced"):
            answers(store)
    assert not (folder / "reid.db-wal").exists()
    for each in [tmp_path / "old"] + [folder] * (then == "restored"):
        with open_store(each) as again:
            assert again.check().clean
            assert [item.identity for item in held(again)] == ["p1"]


def test_a_killed_backup_leaves_nothing_that_looks_like_one(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(4)])
    steps = die(0, "backup", folder, kept)
    assert steps is not None
    for round_, at in enumerate(points(steps, 6)):
        with open_store(folder) as store:  # so that every round has something to copy and to remove
            enrol(store, [sample(100 + round_)])
            store.erase("default", f"p{round_}" if round_ < 4 else f"p{96 + round_}")
        die(at, "backup", folder, kept)
        whole = Archive(kept).names()
        assert whole
        for name in whole:
            restored(kept, tmp_path / f"new-{round_}-{name}", name)
        with open_store(folder) as store:
            assert set(whole) <= remembered(store)
            assert store.check().clean
    with open_store(folder) as store:
        made = store.backup(kept, keep=1)
        assert remembered(store) == {made.name}
    assert [path.name for path in (kept / "backups").iterdir() if path.name != ".lock"] == [made.name]
    assert pictures(kept) == pictures(folder)


def test_a_killed_restore_can_be_done_again(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(6, identities=3, cameras=2))
        store.backup(kept)
        expected = answers(store)
    wanted = rows(folder)
    steps = die(0, "restore", tmp_path / "whole", kept)
    assert steps is not None
    unfinished = 0
    for at in points(steps, 6):
        target = tmp_path / f"new{at}"
        assert die(at, "restore", target, kept) is None
        if not (target / "reid.db").exists():
            if (target / "reid.db.restoring").exists():
                unfinished += 1
                with pytest.raises(StoreUnavailable, match="was cut short: run it again"):
                    open_store(target)
            else:
                assert files(target) == {}
            restored(kept, target)
        assert rows(target) == wanted
        assert pictures(target) == pictures(folder)
        assert not (target / "reid.db.restoring").exists()
        with open_store(target) as store:
            assert answers(store) == expected
            assert store.check().clean
    assert unfinished


def test_another_backup_can_be_restored_after_one_that_was_cut_short(folder: Path, kept: Path, tmp_path: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(6)])
        first = store.backup(kept).name
        store.erase("default", "p0")
        enrol(store, [sample(50)])
        store.backup(kept)
    steps, target = die(0, "restore", tmp_path / "whole", kept, first), tmp_path / "new"
    assert steps is not None
    for at in range(steps, 0, -4):  # among the last steps before the catalogue has its name
        shutil.rmtree(target, ignore_errors=True)
        die(at, "restore", target, kept, first)
        if not (target / "reid.db").exists():
            break
    assert len(pictures(target)) == 6
    restored(kept, target)
    assert pictures(target) == pictures(folder)
    assert rows(target) == rows(folder)


@pytest.mark.parametrize("broken", ["copyfile", "open"])
def test_a_restore_that_fails_over_one_that_was_cut_short_keeps_its_mark(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(6)])
        store.backup(kept)
    target = tmp_path / "new"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def busy(_: object) -> None:
        raise StoreUnavailable("another process holds the store")

    def fail() -> None:
        with monkeypatch.context() as patch:
            if broken == "copyfile":
                patch.setattr(shutil, "copyfile", full)
            else:
                patch.setattr(Database, "open", busy)
            with pytest.raises(StoreUnavailable):
                restored(kept, target)

    fail()
    assert files(target) == {}  # nothing was in place yet
    with monkeypatch.context() as patch:
        patch.setattr(_Restore, "_publish", full)
        with pytest.raises(OSError, match="No space"):
            restored(kept, target)
    assert len(pictures(target)) == 6
    fail()
    with pytest.raises(StoreUnavailable, match="was cut short: run it again"):
        open_store(target)
    restored(kept, target)
    assert rows(target) == rows(folder)
    assert pictures(target) == pictures(folder)
