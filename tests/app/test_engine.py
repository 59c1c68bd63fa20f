import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import engine
from app.engine import Model, open_engine
from app.settings import Settings
from index.errors import StoreUnavailable
from index.gallery import GalleryStore
from index.records import NewSample
from model.registry import Registry
from tests.app.parts import VERSION, person, tiny_settings, write_version


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


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of versions that come with the package, which has the tiny one."""
    folder = tmp_path / "package"
    write_version(folder)
    monkeypatch.setattr(engine, "Registry", lambda root: Registry(root, folder))
    return folder


def test_a_gallery_opens_when_the_package_brings_another_version(tmp_path: Path, package: Path) -> None:
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "data" / "kept", model=None)
    enrol_one(settings)
    shutil.rmtree(package)
    write_version(package, "tiny@2", shift=100.0)
    with open_engine(settings) as after:
        assert after.model.version == VERSION
        assert after.registry.versions() == [VERSION, "tiny@2"]
        assert after.gallery.indexes.sample_count() == 1
        assert after.registry.active() == VERSION


def test_a_version_that_several_ask_for_at_once_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, begun = engine.open_model, list[str]()

    def slowly(settings: Settings, registry: Registry, version: str) -> Model:
        begun.append(version)
        time.sleep(0.05)  # as the reading of a large file takes
        return opened(settings, registry, version)

    settings = tiny_settings(tmp_path)
    write_version(settings.registry_dir, "tiny@2")
    with open_engine(settings) as shared, ThreadPoolExecutor(4) as threads:
        monkeypatch.setattr(engine, "open_model", slowly)
        models = list(threads.map(shared.open_model, ["tiny@2"] * 4))
        assert begun == ["tiny@2"]
        assert all(model is models[0] for model in models)


def enrol_one(settings: Settings) -> None:
    with open_engine(settings) as opened:
        vector = np.eye(1, opened.embedder.dim, dtype=np.float32)[0]
        opened.gallery.enrol("default", [NewSample("anna", vector, person(0))], model_version=VERSION)


@pytest.mark.parametrize("record", [None, "no version"])
def test_the_registry_calls_active_what_a_filled_gallery_serves(
    tmp_path: Path, package: Path, record: str | None
) -> None:
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "data" / "kept", model=None)
    enrol_one(settings)
    write_version(package, "tiny@2", shift=100.0)
    registry = Registry(settings.registry_dir, package)
    registry.activate("tiny@2")
    if record is not None:
        (settings.registry_dir / "active").write_text(record)
    open_engine(settings).close()
    assert registry.active() == VERSION


def test_an_empty_gallery_or_a_pinned_version_leaves_the_registry_as_it_is(tmp_path: Path, package: Path) -> None:
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "data" / "kept", model=None)
    open_engine(settings).close()
    assert not (settings.registry_dir / "active").exists()
    enrol_one(settings)
    write_version(package, "tiny@2", shift=100.0)
    registry = Registry(settings.registry_dir, package)
    registry.activate("tiny@2")
    open_engine(settings.model_copy(update={"model": VERSION})).close()
    assert registry.active() == "tiny@2"


def test_a_registry_elsewhere_is_not_the_gallerys_own(tmp_path: Path, package: Path) -> None:
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "shared", model=None)
    enrol_one(settings)
    write_version(package, "tiny@2", shift=100.0)
    registry = Registry(settings.registry_dir, package)
    registry.activate("tiny@2")
    open_engine(settings).close()
    assert registry.active() == "tiny@2"


def test_a_damaged_copy_of_the_packages_version_does_not_stop_the_start(tmp_path: Path, package: Path) -> None:
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "data" / "kept", model=None)
    open_engine(settings).close()
    copy = settings.registry_dir / "tiny" / "1" / "model.onnx"
    whole = copy.read_bytes()
    copy.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with open_engine(settings) as opened:
        assert opened.model.version == VERSION
    assert copy.read_bytes() == whole


def test_a_registry_that_cannot_be_written_is_told_and_serves(
    tmp_path: Path, package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    settings = tiny_settings(tmp_path / "data", registry_dir=tmp_path / "file" / "kept", model=None)
    with open_engine(settings) as opened:
        assert opened.model.version == VERSION
    assert f"{VERSION} is not kept in the registry" in caplog.text
