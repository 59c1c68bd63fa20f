"""What the service and the command line both work with: registry, embedder and gallery, opened once."""

from types import TracebackType
from typing import Self

from app.settings import Settings
from index.database import file_of
from index.gallery import GalleryStore
from index.vectors import IndexOptions
from model.registry import Registry
from model.runtime import Embedder


class Engine:
    """The opened parts; `embedder` and `gallery` always speak of the same model version."""

    def __init__(self, settings: Settings, registry: Registry, embedder: Embedder, gallery: GalleryStore) -> None:
        self.settings = settings
        self.registry = registry
        self.embedder = embedder
        self.gallery = gallery

    def activate(self, version: str) -> Embedder:
        """Make another version the active one; raise `GalleryFilled` while any sample is enrolled."""
        embedder = open_embedder(self.settings, self.registry, version)
        self.gallery.rebind(version, embedder.dim)
        self.registry.activate(version)
        self.embedder = embedder
        return embedder

    def close(self) -> None:
        """Close what holds files."""
        self.gallery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_engine(settings: Settings) -> Engine:
    """Open everything that the settings name; the data folder is made when it is missing.

    Raises `ModelError` for a version that cannot be used and `GalleryError` for a gallery that cannot.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    registry = Registry(settings.registry_dir)
    embedder = open_embedder(settings, registry, settings.model or registry.active())
    gallery = GalleryStore.open(
        settings.database_url,
        settings.blob_url,
        model_version=embedder.version,
        dim=embedder.dim,
        snapshots=settings.data_dir / "index" if file_of(settings.database_url) is None else None,
        index=IndexOptions(settings.index_recall, settings.index_storage, settings.index_exact_rows),
    )
    return Engine(settings, registry, embedder, gallery)


def open_embedder(settings: Settings, registry: Registry, version: str) -> Embedder:
    """Open a version with the settings' precision, threads and providers."""
    return registry.open(version, precision=settings.precision, threads=settings.threads, providers=settings.providers)
