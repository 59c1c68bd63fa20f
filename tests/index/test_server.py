"""The catalogue on a PostgreSQL server: what is asked of the server alone, and what is said when it fails."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, make_url, text
from sqlalchemy.pool import NullPool

from index import catalogue, ledger
from index import server as server_module
from index.database import Database
from index.errors import BackupRefused, InvalidValue, StoreUnavailable
from index.gallery import GalleryStore
from index.records import EnrolStatus, SampleFilter
from index.schema import change_log, metadata
from tests.index.people import DIM, SERVER, VERSION, crowd, database_url, enrol, open_store, sample, vector
from tests.index.postgres import PostgreSQL

pytestmark = pytest.mark.databases("postgresql")


def fetch(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    engine = create_engine(database_url(folder), poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        return [tuple(row) for row in result] if result.returns_rows else []


def _wrong(clock: Callable[[], int], error: int) -> int:
    return clock() + error


def searched(store: GalleryStore) -> int:
    return store.search("default", vector(1)[None], model_version=VERSION)[0].searched


@pytest.fixture
def other(folder: Path, tmp_path: Path) -> Iterator[GalleryStore]:
    """Open the same store as another machine does: with the same server and pictures, and its own snapshots."""
    with GalleryStore.open(
        database_url(folder), f"{folder}/pictures", model_version=VERSION, dim=DIM, snapshots=tmp_path / "other"
    ) as opened:
        yield opened


# --- the schema -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_the_tables_of_the_schema(folder: Path, server: PostgreSQL) -> None:
    columns = (
        "SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable, "
        "column_default FROM information_schema.columns WHERE table_schema = 'public' "
        "AND table_name <> 'alembic_version' ORDER BY table_name, column_name"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE 'alembic%' ORDER BY 1"
    made = folder / "made"
    made.mkdir()
    name = server.fresh_name()
    (made / SERVER).write_text(server.create(name))
    engine = create_engine(database_url(made), poolclass=NullPool)
    metadata.create_all(engine)
    migrated = create_engine(database_url(folder), poolclass=NullPool)
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert fetch(folder, columns) == fetch(made, columns)
    assert fetch(folder, indexes) == fetch(made, indexes)
    server.drop(name)


def test_who_starts_together_on_an_empty_database_migrates_it_once(tmp_path: Path, server: PostgreSQL) -> None:
    name = server.fresh_name()
    (tmp_path / SERVER).write_text(server.create(name))
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: open_store(tmp_path), range(4)))
    (key,) = enrol(stores[0], [sample(1)])
    assert [store.get("default", key).identity for store in stores] == ["p1"] * 4
    for store in stores:
        store.close()
    server.drop(name)


@pytest.mark.parametrize("url", ["mysql://host/reid", "postgresql+asyncpg://host/reid", "postgresql+psycopg2://host/x"])
def test_only_one_driver_is_known(url: str) -> None:
    with pytest.raises(InvalidValue, match="expected sqlite or postgresql"):
        Database(url)


def test_the_driver_need_not_be_named(folder: Path) -> None:
    database = Database(database_url(folder).replace("+psycopg", ""))
    with database.read() as connection:
        assert connection.dialect.driver == "psycopg"
    database.close()


def test_a_database_that_takes_no_unicode_is_refused(tmp_path: Path, server: PostgreSQL) -> None:
    name = server.fresh_name()
    latin = "ENCODING LATIN1 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    (tmp_path / SERVER).write_text(server.create(name, more=latin))
    with pytest.raises(StoreUnavailable, match="encoding UTF8, found LATIN1"):
        open_store(tmp_path)
    server.drop(name)


# --- transactions ---------------------------------------------------------------------------------------------


def test_a_reader_sees_one_moment_and_writes_nothing(folder: Path, store: GalleryStore) -> None:
    database = Database(database_url(folder))
    with database.read() as connection:
        before = ledger.last_seq(connection)
        enrol(store, [sample(1)])
        assert ledger.last_seq(connection) == before
        assert catalogue.count(connection) == 0
    with pytest.raises(StoreUnavailable, match="takes no writes"), database.read() as connection:
        connection.execute(insert(change_log).values(seq=99, gallery_id=1))
    database.close()


def test_writers_take_turns_and_see_each_other(folder: Path) -> None:
    databases = [Database(database_url(folder)) for _ in range(2)]

    def count_up(database: Database) -> None:
        for _ in range(30):
            with database.write() as connection:
                ledger.log(connection, 1, [1])  # reads the last number, and writes the next

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count_up, databases * 2))
    assert fetch(folder, "SELECT count(*), min(seq), max(seq) FROM change_log") == [(120, 1, 120)]
    for database in databases:
        database.close()


def test_a_commit_is_on_the_disk_also_where_the_server_would_not_wait(folder: Path) -> None:
    fetch(folder, "ALTER ROLE reid SET synchronous_commit = off")
    try:
        database = Database(database_url(folder))
        with database.write() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        database.close()
    finally:
        fetch(folder, "ALTER ROLE reid RESET synchronous_commit")


def test_a_store_that_stays_locked_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.database._BUSY_SECONDS", 0.1)
    holder = Database(database_url(folder))
    with open_store(folder) as store:
        with holder.write(), pytest.raises(StoreUnavailable, match="another process holds the store"):
            store.enrol("default", [sample(1)], model_version=VERSION)
        assert searched(store) == 0
        enrol(store, [sample(1)])
    holder.close()


def test_a_writer_that_is_paused_does_not_keep_the_others_out(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped, or a machine that is cut off, in the middle of a transaction."""
    begin = server_module.WRITING["begin"].replace("'60s'", "'200ms'")
    monkeypatch.setitem(server_module.WRITING, "begin", begin)
    paused = Database(database_url(folder))

    def write() -> None:
        with paused.write() as connection:
            ledger.log(connection, 1, [1])
            enrol(store, [sample(1)])  # waits for the door, and gets it

    with pytest.raises(StoreUnavailable, match="closed the connection"):
        write()
    paused.close()
    assert searched(store) == 1
    assert fetch(folder, "SELECT count(*) FROM change_log") == [(1,)]


# --- two processes --------------------------------------------------------------------------------------------


def test_what_one_enrols_the_next_query_of_another_sees(store: GalleryStore, other: GalleryStore) -> None:
    for number in range(5):
        (key,) = enrol((store, other)[number % 2], [sample(number)])
        (answer,) = (other, store)[number % 2].search("default", vector(number)[None], model_version=VERSION)
        assert answer.identities[0].samples[0].sample.sample_id == key
    store.erase("default", "p1")
    assert searched(other) == 4


def test_two_that_enrol_the_same_at_once_make_it_once(store: GalleryStore, other: GalleryStore) -> None:
    items = [sample(number, f"p{number % 3}", camera="c", external_id=f"e{number}") for number in range(20)]

    def run(place: int) -> list[EnrolStatus]:
        turn = items[place:] + items[:place]
        outcome = [(store, other)[place % 2].enrol("default", [item], model_version=VERSION)[0] for item in turn]
        return [item.status for item in outcome]

    with ThreadPoolExecutor(4) as threads:
        statuses = [status for found in threads.map(run, range(4)) for status in found]
    assert (statuses.count(EnrolStatus.CREATED), statuses.count(EnrolStatus.DUPLICATE)) == (20, 60)
    assert searched(store) == searched(other) == 20
    keys = [[item.sample_id for item in one.page("default", SampleFilter(), limit=100).items] for one in (store, other)]
    assert keys[0] == keys[1] == sorted(keys[0])
    assert other.check().clean


def test_a_snapshot_of_another_process_goes_when_it_follows(
    store: GalleryStore, other: GalleryStore, tmp_path: Path
) -> None:
    enrol(other, crowd(30, identities=5, cameras=2))
    other.indexes.serving.keeper.save_all()
    snapshot = tmp_path / "other" / "gallery-1.v1.snapshot"
    enrol(store, [sample(100)])
    assert searched(other) == 31
    assert snapshot.exists()
    assert store.erase("default", "p1").verified
    assert searched(other) < 31
    assert not snapshot.exists()


def test_a_snapshot_goes_at_opening_when_another_process_deleted_meanwhile(
    folder: Path, store: GalleryStore, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"

    def open_mine() -> GalleryStore:
        return GalleryStore.open(
            database_url(folder), f"{folder}/pictures", model_version=VERSION, dim=DIM, snapshots=mine
        )

    store.put_gallery("g")
    with open_mine() as opened:
        enrol(opened, crowd(30, identities=5, cameras=2))
        enrol(opened, crowd(30, identities=5, cameras=2), "g")
    assert len(list(mine.iterdir())) == 2
    for person in store.identities("default", limit=10).items:  # more than half of it
        store.erase("default", person.identity)
    store.delete_gallery("g")
    open_mine()._database.close()  # it is killed
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize(("since", "pooled"), [(0, False), (2, False), (3, False), (0, True)])
def test_a_database_that_was_put_back_from_a_copy_is_read_again(
    folder: Path,
    store: GalleryStore,
    other: GalleryStore,
    server: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
    since: int,
    pooled: bool,
) -> None:
    """So is one whose server took over without the last commits: what comes then has the numbers of what is lost.

    Behind a pooler of connections no server is told from another, but that it has fewer changes.
    """
    if pooled:
        monkeypatch.setattr(server_module, "which", lambda _connection: "a pooler")
    name = make_url(database_url(folder)).database
    assert name is not None
    copy = server.fresh_name()
    enrol(store, [sample(number) for number in range(3)])
    store._database.close()  # nobody may be connected to what is copied
    other._database.close()
    server.create(copy, name)
    enrol(store, [sample(number, "lost") for number in range(10, 12)])
    assert searched(store) == searched(other) == 5
    server.drop(name)
    server.rename(copy, name)
    if since:
        enrol(store, [sample(number, "new") for number in range(20, 20 + since)])
    for each in (other, store):
        (lost,) = each.search("default", vector(10)[None], model_version=VERSION)
        assert (lost.searched, lost.identities[0].score < 0.99) == (3 + since, True)
        assert each.check().clean


def test_a_process_whose_clock_is_wrong_makes_no_sample_old(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = 365 * 86_400 * 1_000_000_000
    store.put_gallery("default", retention_days=30)
    for error in (-year, year):
        with monkeypatch.context() as wrong:
            wrong.setattr("time.time_ns", partial(_wrong, time.time_ns, error))
            enrol(store, [sample(error > 0)])
            assert store.retention.expire()["default"].samples_deleted == 0
        assert store.retention.expire()["default"].samples_deleted == 0
    assert searched(store) == 2


# --- erasure --------------------------------------------------------------------------------------------------


def test_an_erasure_leaves_no_dead_row(folder: Path, store: GalleryStore) -> None:
    enrol(store, crowd(60, identities=6, cameras=2))
    dead = (
        "SELECT relname, dead_tuple_count FROM pg_class, pgstattuple(oid) WHERE relkind = 'r' "
        "AND relname IN ('samples', 'embeddings', 'identities', 'attribute_pairs') AND dead_tuple_count > 0"
    )
    fetch(folder, "CREATE EXTENSION pgstattuple")
    with store._database.write() as connection:
        connection.execute(text("UPDATE embeddings SET vector = vector"))
    assert [name for name, _ in fetch(folder, dead)] == ["embeddings"]
    assert store.erase("default", "p1").verified
    assert fetch(folder, dead) == []


def test_what_an_older_transaction_still_sees_is_not_called_verified(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server takes no row out that somebody may still ask for, such as a pg_dump that began before."""
    monkeypatch.setattr(server_module, "_OLDER_SECONDS", 0.1)
    enrol(store, [sample(1, "a"), sample(2, "b")])
    dump = Database(database_url(folder))
    with dump.read() as connection:
        assert catalogue.count(connection) == 2
        assert not store.erase("default", "a").verified
    assert "keeps the deleted rows for transactions that began before: one of process" in caplog.text
    assert store.erase("default", "b").verified
    dump.close()


def test_an_erasure_waits_for_a_query_that_began_before(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(1, "a")])
    query, looked = Database(database_url(folder)), threading.Event()
    monkeypatch.setattr("time.sleep", lambda _: looked.set())
    with ThreadPoolExecutor(1) as threads, query.read() as connection:
        assert catalogue.count(connection) == 1
        erasing = threads.submit(store.erase, "default", "a")
        assert looked.wait(20)
        connection.rollback()
        assert erasing.result(20).verified
    query.close()


def test_what_the_server_does_not_clean_is_not_called_verified(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: Connection, __: object) -> None:
        raise StoreUnavailable("the server is busy")

    enrol(store, [sample(1, "a")])
    monkeypatch.setattr("index.server.clean", refused)
    assert not store.erase("default", "a").verified
    assert "could not be read back: the server is busy" in caplog.text


def test_a_backup_is_the_servers_own_matter(store: GalleryStore, tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="pg_dump"):
        store.backup(tmp_path / "kept")


# --- what fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get("default", "a\0b"),
        lambda store: store.page("a\0b", SampleFilter(), limit=1),
        lambda store: store.page("default", SampleFilter(exclude_sample="\0"), limit=1),
        lambda store: store.identities("default", limit=1, cursor="Ilx1MDAwMCI"),
    ],
)
def test_text_that_no_server_holds_is_refused(store: GalleryStore, call: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidValue):
        call(store)


def test_attributes_may_hold_it(store: GalleryStore) -> None:
    (key,) = enrol(store, [sample(1, attributes={"a\0": "\0"})])
    assert store.get("default", key).attributes == {"a\0": "\0"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("@127.0.0.1:1/reid", "refused"),
        ("@/none?host={folder}", 'database "none" does not exist'),
        ("@/none?host={folder}&user=me", 'role "me" does not exist'),
        ("@/none?host={folder}&surprise=1", "invalid connection option"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_without_the_password(
    server: PostgreSQL, tmp_path: Path, address: str, reason: str
) -> None:
    user = "" if "user=" in address else "reid"
    url = f"postgresql+psycopg://{user}:hush{address.format(folder=server.folder)}"
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        GalleryStore.open(url, f"{tmp_path}/pictures", model_version=VERSION, dim=DIM, snapshots=tmp_path)
    assert "hush" not in str(caught.value)


def test_a_server_that_goes_is_told_and_one_that_comes_back_is_used(store: GalleryStore, server: PostgreSQL) -> None:
    keys = enrol(store, [sample(1)])
    server.stop()
    try:
        for call in (lambda: searched(store), lambda: enrol(store, [sample(2)]), lambda: store.get("default", keys[0])):
            with pytest.raises(StoreUnavailable, match="does not answer") as caught:
                call()
            assert "secret" not in str(caught.value)
    finally:
        server.start()
    assert searched(store) == 1
    enrol(store, [sample(2)])
    assert searched(store) == 2


def test_a_connection_that_was_cut_while_nobody_used_it_is_made_anew(folder: Path, store: GalleryStore) -> None:
    fetch(folder, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
                  "current_database()")  # fmt: skip
    enrol(store, [sample(1)])
    assert searched(store) == 1


def test_a_connection_that_is_cut_in_the_middle_takes_nothing(
    folder: Path, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = catalogue.add

    def cut(connection: Connection, *values: Any) -> list[str]:  # noqa: ANN401
        done = add(connection, *values)
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        fetch(folder, f"SELECT pg_terminate_backend({pid})")
        connection.exec_driver_sql("SELECT pg_sleep(5)")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "add", cut)
        with pytest.raises(StoreUnavailable, match="closed the connection"):
            store.enrol("default", [sample(1)], model_version=VERSION)
    assert searched(store) == 0
    assert [path for path in (folder / "pictures").rglob("*") if path.is_file()] == []
    enrol(store, [sample(1)])


def test_a_server_needs_a_folder_for_snapshots(folder: Path) -> None:
    with pytest.raises(InvalidValue, match="expected a folder for index snapshots"):
        GalleryStore.open(database_url(folder), f"{folder}/pictures", model_version=VERSION, dim=DIM)
