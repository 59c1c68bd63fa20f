"""What the service and the command line both work with: registry, models and gallery, opened once."""

import logging
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from app.errors import SettingsInvalid, VersionPinned
from app.settings import Settings
from index.database import file_of
from index.gallery import GalleryStore
from index.migration import Migration, State
from index.opening import serving_version
from index.vectors import IndexOptions
from model.card import Card
from model.errors import ProviderMissing, RegistryError, VersionNotFound
from model.registry import Registry
from model.runtime import Embedder

log = logging.getLogger(__name__)
_GRACE_SECONDS = 10.0  # that a version which serves no more still answers requests that began before
_BOTH_INDEXES = (State.VALIDATING, State.SWITCHED)


@dataclass(frozen=True, slots=True)
class Model:
    """A version at work: what embeds, and its card."""

    embedder: Embedder
    card: Card

    @property
    def version(self) -> str:
        """The version's name."""
        return self.card.version


class Engine:
    """The opened parts; a request takes `model` once: what it embeds, searches and decides is then of one version."""

    def __init__(self, settings: Settings, registry: Registry, model: Model, gallery: GalleryStore) -> None:
        self.settings = settings
        self.registry = registry
        self.gallery = gallery
        self.model = model
        self.others: tuple[Model, ...] = ()  # that new samples are embedded with besides, while galleries migrate
        self._models = {model.version: model}
        self._unwanted: dict[str, float] = {}  # since when a version is needed no more
        self._following = threading.Lock()
        self._opening = threading.Lock()  # of its own: to follow may take as long as reading all vectors

    @property
    def embedder(self) -> Embedder:
        """What embeds with the version that serves."""
        return self.model.embedder

    def open_model(self, version: str) -> Model:
        """Open a version, or return it where it is at work; raise `ModelError` for one that cannot be used."""
        with self._opening:
            if version not in self._models:
                self._models[version] = open_model(self.settings, self.registry, version)
            return self._models[version]

    def require_unpinned(self, version: str) -> None:
        """Raise `VersionPinned` where REID_MODEL names another version, which would be wanted after a restart."""
        pinned = self.settings.model
        if pinned is not None and pinned != version:
            raise VersionPinned(
                f"expected REID_MODEL to be unset or {version}, found {pinned}, which would be wanted after a restart"
            )

    def follow(self) -> Migration | None:
        """Take over what the catalogue says: which version serves, and which others a migration needs; return that.

        Another process may have begun or switched it. Raises `ModelError` when a version cannot be opened; what is
        at work stays so.
        """
        with self._following:
            moving = self.gallery.migrations.under_way()
            serving = self.gallery.migrations.serving()
            wanted = {serving} | ({moving.source, moving.target} if moving is not None else set())
            models = {version: self.open_model(version) for version in wanted}
            self._load(moving, serving)
            self._serve(models[serving])
            self.others = tuple(model for version, model in models.items() if version != serving)
            self._let_go(wanted)
            return moving

    def catch_up(self) -> None:
        """Serve the version that the catalogue says serves: who is told of a switch finds it made."""
        if self.gallery.migrations.serving() != self.model.version:
            self.follow()

    def _load(self, moving: Migration | None, serving: str) -> None:
        if moving is not None and moving.state in _BOTH_INDEXES:
            for version_id in (moving.source_id, moving.target_id):
                self.gallery.migrations.load(version_id)
        if serving != self.model.version:
            self.gallery.migrations.load_serving()

    def _serve(self, model: Model) -> None:
        if model.version == self.model.version:
            return
        self.gallery.indexes.serve(model.version)
        log.info("%s serves instead of %s", model.version, self.model.version)
        self.model = model
        _call_active(self.registry, model.version)

    def _let_go(self, wanted: set[str]) -> None:
        """Close the models and indexes of versions that nothing has needed for a while."""
        now = time.monotonic()
        there = {*self._models, *self.gallery.indexes.versions()} - wanted
        self._unwanted = {version: self._unwanted.get(version, now) for version in there}
        for version, since in self._unwanted.items():
            if now - since > _GRACE_SECONDS:
                self.gallery.indexes.drop(version)
                self._models.pop(version, None)

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

    The version is the one that what is enrolled was embedded with, and the registry's active one where nothing is.
    Raises `SettingsInvalid` for a setting that is to blame, `ModelError` for a version that cannot be used and
    `GalleryError` for a gallery that cannot.
    """
    _make_data_dir(settings)
    registry = Registry(settings.registry_dir)
    model = _open_first(settings, registry)
    gallery = GalleryStore.open(
        settings.database_url,
        settings.blob_url,
        model_version=model.version,
        dim=model.embedder.dim,
        snapshots=settings.data_dir / "index" if file_of(settings.database_url) is None else None,
        index=IndexOptions(settings.index_recall, settings.index_storage, settings.index_exact_rows),
    )
    # a filled gallery's own version; a registry elsewhere may be that of other galleries too
    own = settings.registry_dir.is_relative_to(settings.data_dir)
    if own and settings.model is None and not _is_active(registry, model.version):
        _call_active(registry, model.version)
    return Engine(settings, registry, model, gallery)


def _is_active(registry: Registry, version: str) -> bool:
    try:
        return registry.active() == version
    except RegistryError:  # it names none, or what is no version
        return False


def _call_active(registry: Registry, version: str) -> None:
    """Let the registry name the version that serves: an empty gallery begins with it, and training measures beside it.

    `reid evaluate` and `reid export` know the registry alone.
    """
    try:
        registry.activate(version)
    except RegistryError as exc:
        log.warning("the registry still calls another version active: %s", exc)


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        in_the_way = isinstance(exc, FileExistsError | NotADirectoryError)
        found = "found a file" if in_the_way else f"and making it failed: {exc.strerror}"
        expected = type(settings).model_fields["data_dir"].description
        raise SettingsInvalid(f"REID_DATA_DIR={settings.data_dir}: expected {expected}, {found}") from exc


def _open_first(settings: Settings, registry: Registry) -> Model:
    try:
        return open_model(settings, registry, active_version(settings, registry))
    except VersionNotFound as exc:
        if settings.model is None:
            raise
        raise SettingsInvalid(f"REID_MODEL={settings.model}: {exc}") from exc
    except ProviderMissing as exc:
        raise SettingsInvalid(f"REID_PROVIDERS={','.join(settings.providers)}: {exc}") from exc


def active_version(settings: Settings, registry: Registry) -> str:
    """Return the version to open the data folder with; raise `VersionNotFound` where there is none."""
    return settings.model or serving_version(settings.database_url) or registry.active()


def open_model(settings: Settings, registry: Registry, version: str) -> Model:
    """Open a version with the settings' precision, threads and providers, and keep it beside what it embeds.

    A later release may bring another version: without this one it could not open the gallery.
    """
    embedder = registry.open(
        version,
        precision=settings.precision,
        threads=settings.threads,
        providers=settings.providers,
        side_by_side=True,
    )
    try:
        registry.keep(version)
    except RegistryError as exc:
        log.warning("%s is not kept in the registry, so save it before the package is replaced: %s", version, exc)
    return Model(embedder, registry.card(version))
