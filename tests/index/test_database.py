"""What the disk and the file can do to the store, and what the store says then."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine

from index import ledger
from index.database import Database
from index.errors import InvalidValue, StoreDamaged, StoreUnavailable
from index.records import SampleFilter
from index.schema import HEAD, metadata
from tests.index.people import VERSION, enrol, open_store, sample, vector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def tables(engine: Engine) -> dict[str, str]:
    """Return the statements that made everything, for what Alembic does not compare."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in rows}


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_the_tables_of_the_schema(folder: Path) -> None:
    open_store(folder).close()
    migrated, made = create_engine(f"sqlite:///{folder}/reid.db"), create_engine("sqlite://")
    metadata.create_all(made)
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert tables(migrated) == tables(made)
    migrated.dispose()
    made.dispose()


def test_a_database_of_a_newer_release_is_refused(folder: Path) -> None:
    open_store(folder).close()
    connection = sqlite3.connect(folder / "reid.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreUnavailable, match=f"revision 9999, this release knows up to {HEAD}"):
        open_store(folder)


def test_opening_again_needs_no_migration(folder: Path) -> None:
    open_store(folder).close()
    code = (
        "import sys; from pathlib import Path; from tests.index.people import open_store;"
        "open_store(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_catalogue_is_as_durable_as_it_says(folder: Path) -> None:
    database = Database(f"sqlite:///{folder}/reid.db")
    with database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "not a url"])
def test_a_database_that_would_not_last_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidValue, match="database"):
        Database(url)


def test_a_file_that_is_no_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "reid.db").write_bytes(b"This is no database." * 500)
    with pytest.raises(StoreDamaged, match="not a database") as caught:
        open_store(folder)
    assert str(folder) not in str(caught.value)


def test_a_damaged_database(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(number) for number in range(200)])
    data = bytearray((folder / "reid.db").read_bytes())
    for page in range(3, len(data) // 8192):
        data[page * 8192 : page * 8192 + 100] = os.urandom(100)
    (folder / "reid.db").write_bytes(data)
    with pytest.raises(StoreDamaged, match="restore it from a backup"):
        open_store(folder)


@pytest.mark.parametrize("name", [b"picture_stored", b"TABLE samples "])
def test_a_damaged_name_in_the_schema(folder: Path, name: bytes) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
    data = (folder / "reid.db").read_bytes()
    assert name in data
    (folder / "reid.db").write_bytes(data.replace(name, name[:-3] + b"x" + name[-2:]))
    with pytest.raises(StoreDamaged, match="restore it from a backup"), open_store(folder) as store:
        store.check()


def test_writers_in_two_processes_wait_for_each_other(folder: Path) -> None:
    with open_store(folder) as store:
        holder = sqlite3.connect(folder / "reid.db", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: holder.execute("COMMIT")).start()
        enrol(store, [sample(1)])
        holder.close()


def test_a_store_that_stays_locked_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.database._BUSY_SECONDS", 0.1)
    with open_store(folder) as store:
        holder = sqlite3.connect(folder / "reid.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process holds the store"):
            store.enrol("default", [sample(1)], model_version=VERSION)
        assert store.search("default", vector(1)[None], model_version=VERSION)[0].searched == 0
        holder.execute("ROLLBACK")
        holder.close()
        enrol(store, [sample(1)])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


_REWRITE = """
import sys
from pathlib import Path
from index.copies import compact
from index.database import Database
database = Database("sqlite:///" + sys.argv[1])
with database.write() as connection:
    connection.exec_driver_sql("CREATE TABLE large (content BLOB)")
    connection.exec_driver_sql("INSERT INTO large VALUES (randomblob(8000000))")
database.vacuum()
database.close()
compact(Path(sys.argv[1]))
"""


def test_a_rewrite_needs_no_room_elsewhere(small_disk: Path, tmp_path: Path) -> None:
    elsewhere = {**os.environ, "SQLITE_TMPDIR": str(small_disk)}
    subprocess.run([sys.executable, "-c", _REWRITE, str(tmp_path / "it's.db")], env=elsewhere, check=True)


@pytest.mark.parametrize("store_images", [True, False])
def test_a_full_disk_takes_nothing_half(small_disk: Path, store_images: bool) -> None:
    folder = small_disk / "data"
    with open_store(folder) as store:
        store.put_gallery("g", store_images=store_images)
        enrol(store, [sample(1)], gallery="g")
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(shutil.disk_usage(small_disk).free - 200_000))
        taken, batches = 1, iter(range(1, 40))

        def fill() -> None:
            nonlocal taken
            for batch in batches:
                items = [sample(100 * batch + step, picture=os.urandom(2000)) for step in range(10)]
                taken += len(enrol(store, items, gallery="g"))

        with pytest.raises(StoreUnavailable, match="disk is full") as caught:
            fill()
        assert str(folder) not in str(caught.value)
        assert len(store.page("g", SampleFilter(), limit=1000).items) == taken
        assert store.search("g", vector(1)[None], model_version=VERSION)[0].searched == taken
        pictures = [path for path in (folder / "pictures").rglob("*") if path.is_file()]
        assert len(pictures) == (taken if store_images else 0)
        ballast.unlink()
        enrol(store, [sample(1000 + step) for step in range(10)], gallery="g")
        assert store.check().problems == ()


def test_a_read_only_disk_says_so(small_disk: Path) -> None:
    folder = small_disk / "data"
    with open_store(folder) as store:
        enrol(store, [sample(1)])
    done = subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the small disk cannot be made read-only here: {done.stderr.strip()}")
    with pytest.raises(StoreUnavailable, match=r"read-only|cannot be opened") as caught:
        open_store(folder)
    assert str(folder) not in str(caught.value)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with open_store(folder) as store:
        enrol(store, [sample(2)])


def test_opening_a_file_again_keeps_the_locks_of_who_has_it_open(tmp_path: Path) -> None:
    """Another process would take its last connection for the last of all, and remove the log under the first."""
    file = tmp_path / "reid.db"
    with closing(Database.open(f"sqlite:///{file}")) as database:
        with database.read() as connection:
            ledger.last_seq(connection)
        Database.open(f"sqlite:///{file}").close()
        look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM ledger'); c.close()"
        subprocess.run([sys.executable, "-c", look, str(file)], check=True)
        assert Path(f"{file}-wal").exists()
