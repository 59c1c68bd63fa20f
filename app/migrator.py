"""Moving a filled gallery to another version while it is in use: one thread that gives way to everything else."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from app.engine import Engine, Model, open_model
from app.metrics import Metrics
from app.parameters import Decision
from app.process import is_gone, own_name
from app.reembedding import embed_picture, embed_some
from app.verdict import draw_line
from index.errors import GalleryError, MigrationState
from index.migration import BEFORE_SWITCH, Migration, State
from index.validation import Side
from model.errors import ModelError

log = logging.getLogger(__name__)
_NICE = 19  # the lowest priority: its work takes what the service's leaves
_WAIT_SECONDS = 1.0  # between two looks at the catalogue
_RETRY_SECONDS = 10.0  # after a version could not be opened: to look at a damaged one is to read all of it
_FREE_SECONDS = 10.0  # after the end of a migration, for requests that began before
_FREE_PAUSE = 0.05  # between two transactions that free vectors
_HOLD_SECONDS = 10.0  # of those that the catalogue gives; then it is told again
_LATELY = 0.9  # weight of the past in the rate


class Migrator:
    """Does the next step of whatever migration the catalogue has, in this process or for all that share the store."""

    def __init__(self, engine: Engine, metrics: Metrics | None = None) -> None:
        self._engine = engine
        self._metrics = metrics
        self._owner = own_name()
        self._model: Model | None = None  # a session of its own, whose threads have this thread's priority
        self._rate: float | None = None
        self._held: tuple[str, float] | None = None  # which migration, and until when
        self._refused: str | None = None  # why a version or the catalogue could not be opened, once it was told
        self._moving = False  # whether a migration was under way when the catalogue was last read
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="migration", daemon=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Migrator"]:
        """Work in the background until the block ends; a batch under way is finished."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._wake.set()
            await asyncio.to_thread(self._thread.join)

    def wake(self) -> None:
        """Look at the catalogue now."""
        self._wake.set()

    def step(self) -> bool:
        """Do one step; False when there is nothing to do, or another process does it."""
        moving = self._engine.follow()
        self._moving = moving is not None
        if moving is None:
            return self._free()
        if not self._holds(moving):
            return False
        try:
            return self._advance(moving)
        except MigrationState as exc:  # it was cancelled or finalized meanwhile
            log.info("migration %s: %s", moving.migration_id, exc)
            return True

    def release(self) -> None:
        """Let another process take the work on at once."""
        self._engine.gallery.migrations.release(self._owner)

    def _work(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stopped.is_set():
            busy, wait = False, _WAIT_SECONDS
            try:
                busy = self.step()
                self._refused = None
            except ModelError as exc:
                self._give_up(exc)
                wait = _RETRY_SECONDS
            except GalleryError as exc:
                self._failed(exc)
            except Exception:  # the boundary of the background: nothing in it may stop the service
                log.exception("a migration's step failed; it is tried again in %g seconds", _WAIT_SECONDS)
                self._count()
            if not busy:
                self._wake.wait(wait)
            self._wake.clear()
        with suppress(GalleryError):
            self.release()

    def _failed(self, error: GalleryError) -> None:
        """Tell once what keeps the catalogue or the pictures from being used; no migration fails where none is."""
        told = f"the catalogue cannot be followed, which is tried every {_WAIT_SECONDS:g} seconds: {error}"
        if told != self._refused:
            log.error("%s", told)
        self._refused = told
        if self._moving:
            self._count()

    def _count(self) -> None:
        if self._metrics is not None:
            self._metrics.migration_failed()

    def _give_up(self, error: ModelError) -> None:
        """Fail a migration whose target cannot be opened; after the switch, tell once that there is no way back.

        The version that serves is at work already.
        """
        moving = self._engine.gallery.migrations.under_way()
        told = str(error)
        if moving is not None and moving.state in BEFORE_SWITCH:
            with suppress(MigrationState):
                self._engine.gallery.migrations.fail(moving, told)
        elif moving is not None:
            told += f"; bring it back, or give up the way back with: reid migrations finalize {moving.migration_id}"
        if told != self._refused:
            log.error("a model version cannot be used: %s", told)
        self._refused = told

    def _holds(self, moving: Migration) -> bool:
        now = time.monotonic()
        if self._held is not None and self._held[0] == moving.migration_id and now < self._held[1]:
            return True
        dead = moving.owner if moving.owner is not None and is_gone(moving.owner) else None
        if not self._engine.gallery.migrations.hold(moving.migration_id, self._owner, dead):
            return False
        self._held = moving.migration_id, now + _HOLD_SECONDS
        return True

    def _advance(self, moving: Migration) -> bool:
        store = self._engine.gallery.migrations
        if moving.state is State.SWITCHED:
            return self._keep_way_back(moving)
        if moving.state is State.VALIDATING:
            self._validate(moving)
        elif self._embed(moving, moving.target) == 0:
            store.begin_validation(moving)
        return True

    def _keep_way_back(self, moving: Migration) -> bool:
        """Embed with the source what another process enrolled without it; False when there is nothing."""
        if self._engine.gallery.migrations.pending(moving, 1):
            return self._embed(moving, moving.source) > 0
        self._model = None
        return False

    def _embed(self, moving: Migration, version: str) -> int:
        started = time.monotonic()
        progress = embed_some(self._engine, moving, self._own(version), self._rate)
        if progress.samples:
            now = progress.samples / (time.monotonic() - started)
            self._rate = now if self._rate is None else _LATELY * self._rate + (1 - _LATELY) * now
        return progress.samples

    def _own(self, version: str) -> Model:
        if self._model is None or self._model.version != version:
            self._model = None
            self._model = open_model(self._engine.settings, self._engine.registry, version)
            self._rate = None
        return self._model

    def _validate(self, moving: Migration) -> None:
        """Switch where all is well; samples that were enrolled meanwhile are embedded first."""
        store = self._engine.gallery.migrations
        source, target = (self._engine.open_model(version) for version in (moving.source, moving.target))
        validation = store.validate(moving, _side(source), _side(target))
        if not validation["passed"]:
            store.fail(moving, "; ".join(validation["problems"]), validation)
            log.error("%s does not serve: %s", moving.target, "; ".join(validation["problems"]))
            return
        while (switched := store.switch(moving, validation)) is None:
            self._embed(store.get(moving.migration_id), moving.target)
        self._engine.follow()
        log.info("migration %s: all galleries are searched with %s now", switched.migration_id, switched.target)

    def _free(self) -> bool:
        """Free what an ended migration left over, some at a time."""
        self._model, self._rate, self._held = None, None, None
        if not self._engine.gallery.migrations.free_some(_FREE_SECONDS):
            return False
        self._stopped.wait(_FREE_PAUSE)
        return True


def roll_back(engine: Engine, migration_id: str, by: str) -> Migration:
    """Let the version before serve again, with what was enrolled since; the audit log tells who asked for it."""
    store = engine.gallery.migrations
    moving = store.get(migration_id)
    engine.require_unpinned(moving.source)
    while (done := store.roll_back(migration_id, by)) is None:
        embed_some(engine, store.get(migration_id), engine.open_model(moving.source), None)
    engine.follow()
    return done


def _side(model: Model) -> Side:
    return Side(draw_line(model.card.calibration, Decision()).threshold, partial(embed_picture, model))
