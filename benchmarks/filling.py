"""Galleries of simulated people, of any size, and requests about drawn ones."""

from collections.abc import Mapping

import numpy as np

from app.engine import open_engine
from app.settings import Settings
from benchmarks.simulator import Simulator, measured
from benchmarks.wire import post
from index.records import Embedding, NewSample
from model.synthetic import encode_jpeg, render

PICTURES = 16
SAMPLES_PER_IDENTITY = 20
CAMERAS = 6


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
    """Enrol embeddings like the bundled model's, without pictures, through the store's one door."""
    with open_engine(settings) as engine:
        for name, count in galleries.items():
            engine.gallery.put_gallery(name, retention_days=None, store_images=False)
            world = Simulator(measured(), people=-(-count // SAMPLES_PER_IDENTITY), cameras=CAMERAS)
            for first in range(0, count, 1000):
                numbers = np.arange(first, min(first + 1000, count))
                vectors = world.pictures(numbers // SAMPLES_PER_IDENTITY, numbers % CAMERAS)
                samples = [_sample(number, vector) for number, vector in zip(numbers.tolist(), vectors, strict=True)]
                engine.gallery.enrol(name, samples, model_version=engine.embedder.version)


def _sample(number: int, vector: Embedding) -> NewSample:
    return NewSample(
        identity=f"{number // SAMPLES_PER_IDENTITY:05d}",
        embedding=vector,
        picture=number.to_bytes(8, "big"),
        camera=f"c{number % CAMERAS + 1}",
    )
