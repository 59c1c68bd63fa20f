import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.gallery import GalleryStore
from tests.index.people import open_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a new store, to be copied: making the schema takes longer than most tests."""
    folder = tmp_path_factory.mktemp("empty")
    open_store(folder).close()
    return folder


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path) -> Path:
    return Path(shutil.copytree(empty_store, tmp_path / "data"))


@pytest.fixture
def store(folder: Path) -> Iterator[GalleryStore]:
    with open_store(folder) as opened:
        yield opened
        report = opened.check()
        assert report.problems == ()
