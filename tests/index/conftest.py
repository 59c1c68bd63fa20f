from collections.abc import Iterator
from pathlib import Path

import pytest

from index.gallery import GalleryStore
from tests.index.people import open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[GalleryStore]:
    with open_store(folder) as opened:
        yield opened
        report = opened.check()
        assert report.problems == ()
