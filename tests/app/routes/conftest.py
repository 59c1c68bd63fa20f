from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.application import create_app
from tests.app.parts import tiny_settings
from tests.app.server import serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the whole service over an empty gallery."""
    with serving(create_app(tiny_settings(tmp_path))) as client:
        yield client
