"""Drift: whether a camera's pictures, and the scores that queries reach, are still what they are to be like.

The reference is that of the serving version's card, for measures that it has one of, and otherwise what this gallery
saw first: the first 500 values of each measure by each camera. A query does not say which camera took it; its best
score counts to the camera of the best sample.
"""

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.answers import time_text
from app.distribution import Comparison, Distribution
from index.records import Ranking
from model.card import Card
from model.measures import BINS, MEASURES, Measure
from model.quality import Quality

log = logging.getLogger(__name__)
FILE = "drift.json"
OTHER = "(other)"  # cameras over the bound
NO_CAMERA = "(none)"
_CAMERAS = 32  # of a gallery
_ALL_CAMERAS = 256
_GALLERIES = 64  # those beyond are not counted
_SAVE_SECONDS = 300.0
_BY_NAME: dict[str, Measure] = {measure.name: measure for measure in MEASURES}

Camera = dict[str, Distribution]
Serving = Callable[[], Card | None]


@dataclass(frozen=True, slots=True)
class Told:
    """One measure of one camera of a gallery, and how it compares."""

    gallery: str
    camera: str
    counted: Distribution
    compared: Comparison


class Drift:
    """Distributions by gallery, camera and measure, bounded in number; thread-safe."""

    def __init__(self, folder: Path, version: str, serving: Serving = lambda: None) -> None:
        self._serving = serving
        self.since = datetime.now(UTC)
        self._path = folder / FILE
        self._version = version
        self._galleries: dict[str, dict[str, Camera]] = {}
        self._lock = threading.Lock()
        self._saving = threading.Lock()

    def score(self, gallery: str, version: str, ranking: Ranking) -> None:
        """Count a query's best score."""
        if ranking.best is not None and ranking.best.samples:
            best = ranking.best.samples[0]
            with self._lock:
                self._follow(version)
                self._add(gallery, best.sample.camera, "score", best.score)

    def picture(self, gallery: str, camera: str | None, quality: Quality) -> None:
        """Count an enrolled picture."""
        with self._lock:
            self._add(gallery, camera, "height", quality.height)
            self._add(gallery, camera, "brightness", quality.brightness)
            self._add(gallery, camera, "contrast", quality.contrast)
            self._add(gallery, camera, "sharpness", quality.sharpness)

    def forget(self, gallery: str) -> None:
        """Drop what is counted of a gallery that was deleted, also on the disk; its cameras' names were its own."""
        with self._lock:
            known = self._galleries.pop(gallery, None)
        if known is not None:
            self.save()

    def told(self) -> Iterator[Told]:
        """Yield everything that is counted."""
        card = self._serving()
        version, galleries = self._copied()
        for gallery, cameras in galleries.items():
            for camera, measures in cameras.items():
                for each in measures.values():
                    yield Told(gallery, camera, each, _compared(each, card, version))

    def answer(self, gallery: str) -> dict[str, Any]:
        """Return a gallery's cameras with their distributions."""
        card = self._serving()
        version, galleries = self._copied(gallery)
        cameras = [
            {"camera": camera, "measures": _measures(measures, card, version)}
            for camera, measures in sorted(galleries.get(gallery, {}).items())
        ]
        return {
            "gallery": gallery,
            "model_version": version,
            "since": time_text(self.since),
            "card_reference": None if card is None or card.reference is None else card.reference.protocol,
            "cameras": cameras,
        }

    def _copied(self, only: str | None = None) -> tuple[str, dict[str, dict[str, Camera]]]:
        """Return the version, and copies by gallery: queries wait for the lock, so nothing is computed under it."""
        with self._lock:
            return self._version, {
                gallery: {
                    camera: {name: each.copy() for name, each in measures.items()}
                    for camera, measures in cameras.items()
                }
                for gallery, cameras in self._galleries.items()
                if only in (None, gallery)
            }

    def _add(self, gallery: str, camera: str | None, name: str, value: float) -> None:
        cameras = self._galleries.get(gallery)
        if cameras is None:
            if len(self._galleries) >= _GALLERIES:
                return
            cameras = self._galleries[gallery] = {}
        key = NO_CAMERA if camera is None else camera
        if key not in cameras and (len(cameras) >= _CAMERAS or self._count() >= _ALL_CAMERAS):
            key = OTHER
        measures = cameras.setdefault(key, {})
        if name not in measures:
            measures[name] = Distribution(_BY_NAME[name])
        measures[name].add(value)

    def _count(self) -> int:
        return sum(len(cameras) for cameras in self._galleries.values())

    def _follow(self, version: str) -> None:
        """Begin the scores anew with another version: its scores are not comparable."""
        if version != self._version:
            self._version = version
            for cameras in self._galleries.values():
                for measures in cameras.values():
                    measures.pop("score", None)

    def load(self) -> None:
        """Go on from the file of an earlier run, where there is one; what cannot be read is told and begun anew."""
        try:
            self._restore(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            self._galleries.clear()
            log.warning("the drift of earlier runs cannot be read, and is counted anew: %s", exc)

    def _restore(self, state: dict[str, Any]) -> None:
        for gallery, cameras in state["galleries"].items():
            for camera, measures in cameras.items():
                for name, kept in measures.items():
                    each = Distribution(_BY_NAME[name])
                    each.restore(kept)
                    self._galleries.setdefault(gallery, {}).setdefault(camera, {})[name] = each
        self.since = datetime.fromisoformat(state["since"])
        version, self._version = self._version, state["model_version"]
        self._follow(version)

    def save(self) -> None:
        """Write the file so that a reader sees the old one or the new one; a disk that refuses is told."""
        with self._saving:
            self._save()

    def _save(self) -> None:
        version, galleries = self._copied()
        state = {
            "since": self.since.isoformat(),
            "model_version": version,
            "galleries": {
                gallery: {
                    camera: {name: each.state() for name, each in measures.items()}
                    for camera, measures in cameras.items()
                }
                for gallery, cameras in galleries.items()
            },
        }
        temporary = self._path.with_name(f".{FILE}-{os.getpid()}")
        try:
            temporary.write_text(json.dumps(state), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as exc:
            log.warning("the drift could not be written: %s", exc.strerror)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load now, write now and then, and write at the end."""
        await asyncio.to_thread(self.load)
        task = asyncio.create_task(self._repeat(), name="drift")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(self.save)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await asyncio.to_thread(self.save)


def _measures(measures: Camera, card: Card | None, version: str) -> list[dict[str, Any]]:
    counted = [measures[name] for name in _BY_NAME if name in measures]
    return [_told(each, _compared(each, card, version)) for each in counted]


def _compared(each: Distribution, card: Card | None, version: str) -> Comparison:
    """Compare with the card; not the scores of a version that serves no more, or not yet."""
    if each.measure.name == "score" and card is not None and card.version != version:
        card = None
    return each.compared(_reference(card, each.measure))


def _reference(card: Card | None, measure: Measure) -> Sequence[int] | None:
    """Return a card's counts of a measure; None where it has none, or those of other bins."""
    if card is None or card.reference is None:
        return None
    for each in card.reference.measures:
        if (each.measure, each.low, each.high, len(each.counts)) == (measure.name, measure.low, measure.high, BINS):
            return each.counts
    return None


def _told(each: Distribution, compared: Comparison) -> dict[str, Any]:
    return {
        "measure": each.measure.name,
        "low": each.measure.low,
        "high": each.measure.high,
        "counted": each.counted,
        "compared_with": compared.with_what,
        "psi": compared.psi,
        "state": compared.word,
        "psi_first": each.psi,
        "reference": compared.reference,
        "recent": compared.recent,
    }
