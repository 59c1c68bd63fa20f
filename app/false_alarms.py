"""False alarms: how many strangers a gallery takes for somebody it knows, by the score that they reach.

The false alarm rate of DIR@FAR (Phillips, Grother, Micheals. "Evaluation Methods in Face Recognition", 2011), which is
the false positive identification rate of ISO/IEC 19795-1. It grows with the gallery, so no model's card can have it: it
is measured on the gallery itself, whose people are searched for as if they were not in it.
"""

import asyncio
import logging
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import floor, inf, nextafter

from index.errors import GalleryError
from index.gallery import GalleryStore

log = logging.getLogger(__name__)
MOST_STRANGERS = 1000
LEAST_IDENTITIES = 20
_CHANGED = 0.2  # of the samples that a measurement saw
_OLD_SECONDS = 3600.0  # what was corrected in a gallery of the same size shows after that
_KEPT = 64  # galleries


@dataclass(frozen=True, slots=True)
class Strangers:
    """The best score of each stranger searched for, ascending; none in a gallery with too few people to tell."""

    scores: tuple[float, ...]  # (N,)
    samples: int = 0  # that the gallery had
    measured: float = field(default_factory=time.monotonic)

    def rate(self, score: float) -> float | None:
        """Return which share of strangers reaches a score, in (0, 1]; None where it is not known.

        The one who asks is counted among them: so it is never 0, and one stranger in a hundred gets 0.01 or less
        (Vovk, Gammerman, Shafer. "Algorithmic Learning in a Random World", 2005, chapter 2).
        """
        if not self.scores:
            return None
        reached = len(self.scores) - bisect_left(self.scores, score)
        return (reached + 1) / (len(self.scores) + 1)

    def threshold(self, rate: float) -> float | None:
        """Return the lowest score that at most such a share of strangers reaches; None where so few cannot tell."""
        reach = floor(rate * (len(self.scores) + 1) + 1e-9) - 1  # so many of the measured may
        reach = min(reach, len(self.scores) - 1)
        if reach < 0:
            return None
        return min(1.0, nextafter(self.scores[-1 - reach], inf))

    def fits(self, samples: int) -> bool:
        """Tell whether the gallery is still about as large, and this is not too long ago."""
        return (
            abs(samples - self.samples) <= _CHANGED * self.samples and time.monotonic() < self.measured + _OLD_SECONDS
        )


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


class FalseAlarms:
    """What is known of each gallery's strangers; measured on a thread of its own, half of whose time is free."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="strangers")
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, Strangers] = OrderedDict()
        self._measuring: dict[_Key, Future[Strangers]] = {}

    def start(self, version: str) -> None:
        """Begin with the galleries that are there."""
        self._pool.submit(self._begin_all, version)

    def latest(self, gallery: str, version: str, samples: int) -> Strangers | None:
        """Return what was measured last, if anything; what does not fit `samples` is measured anew meanwhile."""
        key = (gallery, version)
        with self._lock:
            known = self._known.get(key)
            if known is None or not known.fits(samples):
                self._begin(key, samples)
            return known

    async def measured(self, gallery: str, version: str, samples: int) -> Strangers:
        """Return what fits `samples`, and wait for it; raise `GalleryNotFound`."""
        known = self.latest(gallery, version, samples)
        if known is not None and known.fits(samples):
            return known
        with self._lock:
            begun = self._begin((gallery, version), samples)
        return await asyncio.shield(asyncio.wrap_future(begun))

    def forget(self, gallery: str) -> None:
        """Drop what is known of a gallery that was deleted."""
        with self._lock:
            for key in [key for key in self._known if key[0] == gallery]:
                del self._known[key]

    def close(self) -> None:
        """End what runs, and the thread."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, key: _Key, samples: int) -> Future[Strangers]:
        if key not in self._measuring:
            self._measuring[key] = self._pool.submit(self._run, key, samples)
        return self._measuring[key]

    def _begin_all(self, version: str) -> None:
        try:
            for each in self._store.galleries()[:_KEPT]:
                self.latest(each.name, version, each.samples)
        except GalleryError as exc:  # the first query of each will begin
            log.warning("no gallery's strangers are measured yet: %s", exc)

    def _run(self, key: _Key, samples: int) -> Strangers:
        try:
            found = self._measure(key, samples)
            with self._lock:
                self._known[key] = found
                self._known.move_to_end(key)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return found
        finally:
            with self._lock:
                del self._measuring[key]

    def _measure(self, key: _Key, samples: int) -> Strangers:
        try:
            return measure(self._store, *key, samples, self._stopped.wait)
        except GalleryError:  # deleted meanwhile, or its version serves no more
            raise
        except Exception:  # the boundary of the background: nothing in it may stop the service
            log.exception("the strangers of gallery %r could not be measured", key[0])
            return Strangers((), samples)
