"""Galleries of made-up embeddings, of any size, and requests about drawn people."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.engine import open_engine
from app.settings import Settings
from benchmarks.wire import post
from index.records import Embedding, NewSample
from model.synthetic import encode_jpeg, render

PICTURES = 16
SAMPLES_PER_IDENTITY = 20


def pictures() -> list[bytes]:
    """Return drawn people as JPEGs of the model's size."""
    return [encode_jpeg(render(number, number % 6, 0)) for number in range(PICTURES)]


def queries(gallery: str) -> list[bytes]:
    """Return a `POST /query` for each picture."""
    return [post("/query", [picture], {"gallery": gallery}) for picture in pictures()]


def batches(gallery: str) -> list[bytes]:
    """Return a `POST /query/batch` of all pictures."""
    return [post("/query/batch", pictures(), {"gallery": gallery})]


def fill(settings: Settings, galleries: Mapping[str, int]) -> None:
    """Enrol made-up embeddings, without pictures, through the store's one door."""
    with open_engine(settings) as engine:
        for name, count in galleries.items():
            engine.gallery.put_gallery(name, retention_days=None, store_images=False)
            for first in range(0, count, 1000):
                samples = [
                    _sample(first + row, vector)
                    for row, vector in enumerate(_unit_vectors(first, min(1000, count - first), engine.embedder.dim))
                ]
                engine.gallery.enrol(name, samples, model_version=engine.embedder.version)


def _unit_vectors(seed: int, count: int, dim: int) -> Embedding:
    vectors: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _sample(number: int, vector: Embedding) -> NewSample:
    return NewSample(
        identity=f"{number // SAMPLES_PER_IDENTITY:05d}",
        embedding=vector,
        picture=number.to_bytes(8, "big"),
        camera=f"c{number % 6 + 1}",
    )
