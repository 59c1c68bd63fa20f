"""The audit log tells of every deletion, and names nobody."""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from index import audit, catalogue, erasure, ledger, values
from index.catalogue import Entry
from index.database import Database
from index.errors import InvalidValue, MigrationState, StoreUnavailable
from index.gallery import GalleryStore
from index.migration import State
from index.pictures import PictureStore
from index.records import Action, AuditEntry, SampleFilter
from tests.index.moving import NEW, NEW_DIM, advance, fill, free_all, move
from tests.index.people import DIM, VERSION, enrol, open_store, sample, vector


def entries(store: GalleryStore) -> list[AuditEntry]:
    return list(store.audit(limit=1000).items)


def told(entry: AuditEntry) -> tuple[object, ...]:
    return entry.action, entry.gallery, entry.samples, entry.pictures, entry.vectors, entry.verified


@pytest.mark.databases
def test_every_deletion_is_told_newest_first(store: GalleryStore) -> None:
    before = datetime.now(UTC)
    store.put_gallery("bare", store_images=False)
    keys = enrol(store, [sample(number, "a") for number in range(3)] + [sample(9, "b")])
    enrol(store, [sample(5), sample(6)], "bare")
    store.delete("default", keys[0])
    store.erase("default", "a")
    store.delete_gallery("bare")
    assert [told(entry) for entry in entries(store)] == [
        (Action.DELETE_GALLERY, "bare", 2, 0, 2, True),
        (Action.ERASE_IDENTITY, "default", 2, 2, 2, True),
        (Action.DELETE_SAMPLE, "default", 1, 1, 1, None),
    ]
    assert [entry.gallery_number for entry in entries(store)] == [2, 1, 1]
    assert all(entry.actor is None and before <= entry.at <= datetime.now(UTC) for entry in entries(store))


@pytest.mark.databases
def test_the_log_is_paged_by_key(store: GalleryStore) -> None:
    keys = enrol(store, [sample(number) for number in range(7)])
    for key in keys[:5]:
        store.delete("default", key)
    first = store.audit(limit=2)
    for key in keys[5:]:  # what is new does not shift the pages
        store.delete("default", key)
    second = store.audit(limit=2, cursor=first.next_cursor)
    third = store.audit(limit=2, cursor=second.next_cursor)
    numbers = [entry.number for page in (first, second, third) for entry in page.items]
    assert numbers == [5, 4, 3, 2, 1]
    assert third.next_cursor is None
    with pytest.raises(InvalidValue, match="limit from 1"):
        store.audit(limit=0)
    with pytest.raises(InvalidValue, match="next_cursor"):
        store.audit(limit=1, cursor="?")


def moves(store: GalleryStore) -> Sequence[tuple[object, ...]]:
    """Return what the log says of migrations, the oldest first."""
    told = [(each.action, each.actor, each.migration_id, each.source, each.target) for each in entries(store)]
    return told[::-1]


@pytest.mark.databases
def test_who_moved_the_galleries_and_back_is_told(store: GalleryStore) -> None:
    fill(store)
    first = store.migrations.plan(NEW, NEW_DIM, actor="anna").migration_id
    store.migrations.cancel(first, "bert")
    second = store.migrations.plan(NEW, NEW_DIM, actor="carl")
    while second.state in (State.PLANNED, State.RUNNING, State.VALIDATING):
        second = advance(store, second)
    assert store.migrations.roll_back(second.migration_id, "dora") is not None
    store.indexes.serve(VERSION)
    assert moves(store) == [
        (Action.START_MIGRATION, "anna", first, VERSION, NEW),
        (Action.CANCEL_MIGRATION, "bert", first, VERSION, NEW),
        (Action.START_MIGRATION, "carl", second.migration_id, VERSION, NEW),
        (Action.SWITCH_VERSION, "carl", second.migration_id, VERSION, NEW),
        (Action.ROLL_BACK_MIGRATION, "dora", second.migration_id, VERSION, NEW),
    ]
    assert {(each.gallery, each.samples, each.vectors) for each in entries(store)} == {(None, 0, 0)}


@pytest.mark.databases
def test_a_switch_for_good_is_told_and_one_of_empty_galleries_too(store: GalleryStore) -> None:
    long = "command line, " + 60 * "x"
    empty = store.migrations.plan(NEW, NEW_DIM, actor=long).migration_id
    store.migrations.load_serving()
    store.indexes.serve(NEW)
    assert moves(store) == [
        (Action.START_MIGRATION, long[:64], empty, VERSION, NEW),
        (Action.SWITCH_VERSION, long[:64], empty, VERSION, NEW),
    ]
    with pytest.raises(MigrationState):
        store.migrations.finalize(empty, "eve")
    assert len(moves(store)) == 2


def test_a_migration_that_is_final_is_told(store: GalleryStore) -> None:
    fill(store)
    switched = move(store)
    store.migrations.finalize(switched.migration_id, "anna")
    free_all(store)
    assert moves(store)[-1] == (Action.FINALIZE_MIGRATION, "anna", switched.migration_id, VERSION, NEW)


def test_what_was_not_deleted_is_not_told(store: GalleryStore) -> None:
    enrol(store, [sample(1, "a"), sample(2, "b")])
    store.rename("default", "a", "b")
    with pytest.raises(Exception, match="no sample of identity"):
        store.erase("default", "a")
    assert entries(store) == []


@pytest.mark.databases
def test_the_entry_and_the_deletion_are_one_transaction(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = enrol(store, [sample(1), sample(2)])
    with monkeypatch.context() as patch:
        patch.setattr(audit, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.delete("default", keys[0])
    assert store.get("default", keys[0]).sample_id == keys[0]
    with monkeypatch.context() as patch:  # the process dies right after the commit
        patch.setattr(erasure.Eraser, "delete", lambda *_: None)
        store.delete("default", keys[0])
    assert told(entries(store)[0]) == (Action.DELETE_SAMPLE, "default", 1, None, 1, None)


def test_what_is_not_clean_is_told_so(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(store, [sample(1, "a")])
    with monkeypatch.context() as patch:
        patch.setattr(PictureStore, "remove", lambda *_: set())
        store.erase("default", "a")
    assert told(entries(store)[0]) == (Action.ERASE_IDENTITY, "default", 1, 0, 1, False)
    store.rebuild()


@pytest.mark.databases
def test_a_deletion_is_done_also_when_its_entry_cannot_be_settled(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enrol(store, [sample(1, "a")])
    write = Database.write
    turns = iter([True, True, False])  # the deletion, its pictures, the entry

    def third(self: Database) -> AbstractContextManager[Connection]:
        if next(turns):
            return write(self)
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", third)
        assert store.erase("default", "a").verified
    assert "stays without its pictures" in caplog.text


def test_no_name_of_an_erased_identity_is_left_in_the_catalogue(folder: Path) -> None:
    dice = random.Random(7)
    people = [f"{dice.randrange(10**9)} Mustermann {number}" for number in range(400)]
    with open_store(folder) as store:
        for start in range(0, len(people), 50):
            enrol(store, [sample(start + step, name) for step, name in enumerate(people[start : start + 50])])
        erased = dice.sample(people, 12)
        ids = [store.page("default", SampleFilter(identity=name), limit=1).items[0].sample_id for name in erased]
        for name in erased:
            assert store.erase("default", name).verified
        written = b"".join(path.read_bytes() for path in folder.glob("reid.db*"))
        assert [name for name in erased if name.encode() in written] == []
        assert [key for key in ids if key.encode() in written] == []
        assert len(entries(store)) == 12


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table that the first schema has."""
    connection = sqlite3.connect(folder / "reid.db")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    kept = [
        name
        for name in names
        if not name.startswith("sqlite_")
        and name
        not in (
            "audit_log",
            "backups",
            "keys",
            "migrations",
            "right_labels",
            "people_apart",
            "awaited_pictures",
            "alembic_version",
        )
    ]
    found = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in kept}
    connection.close()
    return found


def test_a_gallery_of_the_first_schema_is_migrated_without_losing_anything(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = Database(f"sqlite:///{folder}/reid.db")
    config = Config()
    config.set_main_option("script_location", str(Path(audit.__file__).parent / "revisions"))
    people = [sample(number, f"p{number % 3}", camera="c", attributes={"n": number}) for number in range(20)]
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    pictures = PictureStore(f"{folder}/pictures")
    with database.write() as connection:
        catalogue.ensure_default(connection)
        version = ledger.version(connection, VERSION, DIM)
        ledger.serve(connection, version.number)
        made = [
            Entry(
                one.identity, one.camera, None, values.attributes(one.attributes), None,
                bytes.fromhex(f"{index:064x}"), {VERSION: one.embedding.tobytes()},
            )
            for index, one in enumerate(people)
        ]  # fmt: skip
        keys = catalogue.add(connection, catalogue.gallery(connection, "default"), {VERSION: version.number}, made)
    pictures.close()
    (folder / "pictures/00").mkdir()  # in which the first of them would be
    database.close()
    before = rows(folder)
    with open_store(folder) as store:
        assert rows(folder) == before
        assert [item.sample_id for item in store.page("default", SampleFilter(), limit=100).items] == keys
        (answer,) = store.search("default", vector(7)[None], model_version=VERSION, top_k=1)
        assert answer.identities[0].samples[0].sample.sample_id == keys[7]
        assert entries(store) == []
        store.erase("default", "p1")
        assert entries(store)[0].samples == 7
