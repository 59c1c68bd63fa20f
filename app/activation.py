"""Moving the galleries to another version: through the promotion gate, then planned; the migrator does the rest."""

import logging
from dataclasses import dataclass

from app.engine import Engine
from app.reembedding import same_model
from index.migration import Migration
from model.errors import RegistryError
from model.history import Promotion
from model.promotion import MARGIN, approve

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which version is to serve, who says so, and what may not stop it."""

    version: str
    by: str
    force: bool = False  # what speaks against the version itself does not stop it
    leave_out: bool = False  # nor do samples that cannot be embedded again
    margin: float = MARGIN
    check_set: str | None = None


def begin(engine: Engine, wish: Wish) -> Migration:
    """Plan the migration; one of empty galleries is done at once.

    Raises `ModelError` for a version that cannot be used, `PromotionRefused` with what speaks against it unless it is
    forced, and what `Migrations.plan` raises.
    """
    engine.require_unpinned(wish.version)
    target = engine.open_model(wish.version)  # first: a file that cannot be used is refused, and nothing is begun
    serving = engine.gallery.migrations.serving()
    promotion = approve(
        engine.registry,
        wish.version,
        serving,
        force=wish.force,
        by=wish.by,
        margin=wish.margin,
        check_set=wish.check_set,
    )
    planned = engine.gallery.migrations.plan(
        wish.version,
        target.embedder.dim,
        leave_out=wish.leave_out,
        same_model=same_model(engine, serving, wish.version),
        forced=wish.force,
        actor=wish.by,
    )
    _record(engine, promotion)
    engine.follow()
    return planned


def _record(engine: Engine, promotion: Promotion) -> None:
    """Write the promotion down, in the log where the registry cannot be written.

    It comes after the plan, for one that is refused must leave no record; and what was planned takes place, so that
    whoever asked must not be told that it failed.
    """
    try:
        engine.registry.record_promotion(promotion)
    except RegistryError as exc:
        told = promotion.model_dump_json()
        log.error("%s takes over, but its promotion could not be recorded: %s: %s", promotion.version, exc, told)
