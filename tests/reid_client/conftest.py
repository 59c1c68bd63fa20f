from collections.abc import Iterator
from pathlib import Path

import pytest

from app.application import create_app
from reid_client import Client
from tests.app.parts import tiny_settings
from tests.app.server import serving
from tests.reid_client.both import KINDS, opened


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the whole service over an empty gallery."""
    for name in ("REID_URL", "REID_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving(create_app(tiny_settings(tmp_path / "data"))) as http:
        yield str(http.base_url)


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Client]:
    """A client of it, of each kind."""
    with opened(request.param, address) as client:
        yield client
