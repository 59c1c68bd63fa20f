from pathlib import Path
from typing import Any

import pytest

from app.engine import open_engine
from index.errors import StoreUnavailable
from index.gallery import GalleryStore
from tests.app.parts import tiny_settings


@pytest.mark.parametrize(
    ("url", "folder"), [("sqlite:///{}/reid.db", None), ("postgresql+psycopg://me@host/reid", "index")]
)
def test_a_server_leaves_the_snapshots_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, folder: str | None
) -> None:
    given: dict[str, Any] = {}

    def opened(*_: str, **options: Any) -> GalleryStore:  # noqa: ANN401
        given.update(options)
        raise StoreUnavailable("nobody is there")

    monkeypatch.setattr(GalleryStore, "open", opened)
    settings = tiny_settings(tmp_path, database_url=url.format(tmp_path))
    with pytest.raises(StoreUnavailable):
        open_engine(settings)
    assert given["snapshots"] == (None if folder is None else settings.data_dir / folder)
