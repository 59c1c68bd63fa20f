"""How many strangers a gallery takes for somebody: it is searched for its own people as if they were not there."""

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from app.strangers import Strangers
from index.errors import GalleryError, GalleryNotFound, ModelMismatch
from index.gallery import GalleryStore

log = logging.getLogger(__name__)
MOST_STRANGERS = 1000
LEAST_IDENTITIES = 20
_KEPT = 64  # galleries
_PAUSES = (1.0, 60.0)  # seconds until what failed is begun again: after the first time, and at most


def measure(
    store: GalleryStore, gallery: str, version: str, samples: int, stopped: Callable[[float], bool] = lambda _: False
) -> Strangers:
    """Search for a gallery's own people; `stopped(seconds)` waits between two of them, and tells whether to give up.

    Raises `GalleryNotFound`, `ModelMismatch`.
    """
    scores: list[float] = []
    began = time.perf_counter()
    blocks = store.strangers(gallery, model_version=version, most=MOST_STRANGERS, least_people=LEAST_IDENTITIES)
    for block in blocks:
        scores += block
        if stopped(time.perf_counter() - began):
            break
        began = time.perf_counter()
    return Strangers(tuple(sorted(scores)), samples)


_Key = tuple[str, str]  # gallery and model version


class _Queue:
    """Measurements one after another on a thread, of each gallery once."""

    def __init__(self, name: str) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.begun: dict[_Key, Future[Strangers]] = {}


@dataclass(frozen=True, slots=True)
class _Failed:
    """What failed in the background, until it has been measured."""

    pause: float
    again: float  # by time.monotonic, when a query may begin it anew


class FalseAlarms:
    """What is known of each gallery's strangers.

    The background leaves half of its thread's time free. Who waits for a gallery does not queue behind all of them,
    and is told why it cannot be measured; in the background that is logged, and tried again after a pause.
    """

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._background, self._waited_for = _Queue("strangers"), _Queue("strangers-waited-for")
        self._stopped = threading.Event()
        self._lock = threading.RLock()  # what ends while it is begun is kept by the same thread
        self._known: OrderedDict[_Key, Strangers] = OrderedDict()
        self._failed: dict[_Key, _Failed] = {}

    def start(self, version: str) -> None:
        """Begin with the galleries that are there."""
        self._background.pool.submit(self._begin_all, version)

    def latest(self, gallery: str, version: str, samples: int) -> Strangers | None:
        """Return what was measured last, if anything; what does not fit `samples` is measured anew meanwhile."""
        key = (gallery, version)
        with self._lock:
            known = self._known.get(key)
            failed = self._failed.get(key)
            fits = known is not None and known.fits(samples)
            if not fits and (failed is None or time.monotonic() >= failed.again):
                self._begin(self._background, key, samples, self._measure_quietly)
            return known

    async def measured(self, gallery: str, version: str, samples: int) -> Strangers:
        """Return what fits `samples`, and wait for it; raise `GalleryNotFound`."""
        key = (gallery, version)
        while True:
            with self._lock:
                known = self._known.get(key)
                if known is not None and known.fits(samples):
                    return known
                begun = self._begin(self._waited_for, key, samples, self._measure)
            await asyncio.shield(asyncio.wrap_future(begun))  # it may have begun when the gallery was smaller

    def forget(self, gallery: str) -> None:
        """Drop what is known of a gallery that was deleted, and what is being measured of it."""
        with self._lock:
            for each in (self._known, self._failed, self._background.begun, self._waited_for.begun):
                for key in [key for key in each if key[0] == gallery]:
                    del each[key]

    def close(self) -> None:
        """End what runs, and the threads."""
        self._stopped.set()
        for each in (self._background, self._waited_for):
            each.pool.shutdown(cancel_futures=True)

    def _begin(
        self, queue: _Queue, key: _Key, samples: int, how: Callable[[_Key, int], Strangers]
    ) -> Future[Strangers]:
        if key not in queue.begun:
            begun = queue.begun[key] = queue.pool.submit(how, key, samples)
            begun.add_done_callback(partial(self._keep, queue, key))
            return begun
        return queue.begun[key]

    def _begin_all(self, version: str) -> None:
        try:
            for each in self._store.galleries()[:_KEPT]:
                self.latest(each.name, version, each.samples)
        except GalleryError as exc:  # the first query of each will begin
            log.warning("no gallery's strangers are measured yet: %s", exc)

    def _keep(self, queue: _Queue, key: _Key, ended: Future[Strangers]) -> None:
        with self._lock:
            if queue.begun.get(key) is not ended:  # forgotten
                return
            del queue.begun[key]
            if ended.cancelled():
                return
            if error := ended.exception():
                if queue is self._background:
                    self._put_off(key, error)
                return
            self._failed.pop(key, None)
            self._known[key] = ended.result()
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)

    def _put_off(self, key: _Key, error: BaseException) -> None:
        if isinstance(error, GalleryNotFound | ModelMismatch):  # deleted meanwhile, or its version serves no more
            return
        first, most = _PAUSES
        pause = min(2 * self._failed[key].pause, most) if key in self._failed else first
        self._failed[key] = _Failed(pause, time.monotonic() + pause)
        log.error(
            "the strangers of gallery %r could not be measured, queries try again after %g s: %s",
            *(key[0], pause, error),
            exc_info=None if isinstance(error, GalleryError) else error,
        )

    def _measure(self, key: _Key, samples: int) -> Strangers:
        return measure(self._store, *key, samples, lambda _: self._stopped.is_set())

    def _measure_quietly(self, key: _Key, samples: int) -> Strangers:
        with self._lock:
            known = self._known.get(key)
        if known is not None and known.fits(samples):  # somebody waited for it meanwhile
            return known
        return measure(self._store, *key, samples, self._stopped.wait)
