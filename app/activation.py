"""Changing the active version while nothing is enrolled."""

from app.errors import MigrationState
from app.migrations import Migration
from app.service import Service
from index.errors import GalleryFilled
from model.card import Card


async def activate(service: Service, version: str) -> Migration:
    """Make a version the active one; raise `VersionNotFound`, or `MigrationState` where that is not possible."""
    async with service.activating:
        source = service.engine.embedder.version
        card = await service.pipeline.keep(service.engine.registry.card, version)
        _require_possible(service, source, card.version)
        try:
            await service.pipeline.keep(_switch, service, card)
        except GalleryFilled as exc:
            raise MigrationState(
                "expected no sample in any gallery, found some; moving a filled gallery to another version is not "
                "available yet"
            ) from exc
        return service.migrations.add_finalized(source, card.version)


def _switch(service: Service, card: Card) -> None:
    service.engine.activate(card.version)
    service.card = card


def _require_possible(service: Service, source: str, target: str) -> None:
    if target == source:
        raise MigrationState(f"expected a version that is not active, found {target}, which is")
    pinned = service.engine.settings.model
    if pinned is not None and pinned != target:
        raise MigrationState(f"expected REID_MODEL to be unset, found {pinned}, which would be back after a restart")
