"""The running service deletes what is past its gallery's retention by itself."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.engine import Engine
from app.metrics import Metrics
from app.pipeline import Pipeline

log = logging.getLogger(__name__)
FIRST_SECONDS = 10.0  # after the start, so that the start itself is not slower


class Expiry:
    """Runs again and again; a failure is logged and counted, and the next run tries anew."""

    def __init__(self, engine: Engine, pipeline: Pipeline, metrics: Metrics) -> None:
        self._engine = engine
        self._pipeline = pipeline
        self._metrics = metrics
        self._interval = engine.settings.expiry_interval_s
        self._stopped = threading.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background until the block ends; an interval of 0 is never."""
        if self._interval == 0:
            yield
            return
        task = asyncio.create_task(self._repeat(), name="expiry")
        try:
            yield
        finally:
            self._stopped.set()  # a run under way ends after the transaction in hand
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _repeat(self) -> None:
        await asyncio.sleep(min(FIRST_SECONDS, self._interval))
        while True:
            try:
                await self._pipeline.keep(self._once)
            except Exception:  # the boundary of the background: nothing in it may stop the service
                log.exception("expiry failed; it is tried again in %g seconds", self._interval)
                self._metrics.expiry_failed()
            await asyncio.sleep(self._interval)

    def _once(self) -> None:
        for gallery, erased in self._engine.gallery.retention.expire(stopped=self._stopped.is_set).items():
            if erased.samples_deleted:
                log.info("%d samples of gallery %r were past their retention", erased.samples_deleted, gallery)
            self._metrics.expired(erased.samples_deleted)
            if not erased.verified:
                log.error("the expiry of gallery %r could not be read back as clean", gallery)
                self._metrics.expiry_failed()
