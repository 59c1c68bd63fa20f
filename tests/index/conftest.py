import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.gallery import GalleryStore
from tests.index.people import SERVER, open_store
from tests.index.postgres import PostgreSQL, why_not

DATABASES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the databases that its marker names, and a marker without names on all."""
    marker = metafunc.definition.get_closest_marker("databases")
    if marker is not None and "database" in metafunc.fixturenames:
        metafunc.parametrize("database", marker.args or DATABASES, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Return the kind of database that the store of this test is on."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a new store, to be copied: making the schema takes longer than most tests."""
    folder = tmp_path_factory.mktemp("empty")
    open_store(folder).close()
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """Start a database server of our own."""
    if reason := why_not():
        pytest.skip(reason)
    with PostgreSQL() as started:
        yield started


@pytest.fixture(scope="session")
def empty_database(server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a database with a new store, to be copied."""
    folder = tmp_path_factory.mktemp("empty-server")
    (folder / SERVER).write_text(server.create("empty"))
    open_store(folder).close()
    return "empty"


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Path]:
    """Return a folder in which a new store lies, or the address of one."""
    made = tmp_path / "data"
    if database == "sqlite":
        yield Path(shutil.copytree(request.getfixturevalue("empty_store"), made))
        return
    made.mkdir()
    server: PostgreSQL = request.getfixturevalue("server")
    name = server.fresh_name()
    (made / SERVER).write_text(server.create(name, request.getfixturevalue("empty_database")))
    yield made
    server.drop(name)


@pytest.fixture
def store(folder: Path) -> Iterator[GalleryStore]:
    with open_store(folder) as opened:
        yield opened
        report = opened.check()
        assert report.problems == ()
