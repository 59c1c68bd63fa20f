"""The active version's file in ONNX Runtime, with nothing around it: what the service is held against."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from app.settings import Settings
from model.card import Card
from model.registry import Registry

BATCHES = (1, 2, 4, 8, 16, 32)


class Bare:
    """The active version's file in ONNX Runtime, with nothing around it."""

    def __init__(self, file: Path, card: Card, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._name = card.input.name
        self._size = (card.input.height, card.input.width)

    def latencies(self, calls: int) -> list[float]:
        """Return the seconds of each call with one picture."""
        return list(self._times(1, lambda done, _elapsed: done < calls))

    def rate(self, batch: int, seconds: float) -> float:
        """Return pictures per second at a batch size."""
        times = list(self._times(batch, lambda _done, elapsed: elapsed < seconds))
        return batch * len(times) / sum(times)

    def _times(self, batch: int, more: Callable[[int, float], bool]) -> Iterator[float]:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *self._size, 3), dtype=np.uint8)
        done, elapsed = 0, 0.0
        self._session.run(None, {self._name: pixels})
        while more(done, elapsed):
            started = time.perf_counter()
            self._session.run(None, {self._name: pixels})
            took = time.perf_counter() - started
            done, elapsed = done + 1, elapsed + took
            yield took

    def best_batch(self) -> int:
        """Return the batch size with the most pictures per second."""
        return max(BATCHES, key=lambda batch: self.rate(batch, 0.7))


def open_bare(settings: Settings, version: str) -> Bare:
    """Open the version that the settings serve, with their threads."""
    registry = Registry(settings.registry_dir)
    return Bare(registry.file(version, settings.precision), registry.card(version), settings.threads)
