"""Embedding enrolled pictures again, with another version."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.engine import Engine, Model
from index.errors import PictureNotStored, StoreDamaged
from index.migration import Migration
from index.reembedding import LEFT_OUT, Pending
from model.errors import ImageError
from model.preprocess import prepare

log = logging.getLogger(__name__)
BATCH = 8  # pictures; a query that comes meanwhile shares the cores with one batch
COPIED = 256  # vectors of one transaction where the model is the same


@dataclass(frozen=True, slots=True)
class Progress:
    """What one batch came to."""

    migration: Migration
    samples: int


def embed_some(engine: Engine, moving: Migration, model: Model, rate: float | None) -> Progress:
    """Embed the next samples with the version that does not serve; none: all that are enrolled have a vector of it.

    Raises `GalleryError` when the catalogue or the picture store cannot be used. A sample whose picture is lost or
    cannot be read is left out, which the validation tells.
    """
    store = engine.gallery.migrations
    if model.version == moving.target and same_model(engine, moving.source, moving.target):
        vectors = store.copied(moving, COPIED)
    else:
        vectors = _embedded(engine, store.pending(moving, BATCH), model)
    if not vectors:
        return Progress(moving, 0)
    return Progress(store.put(moving, vectors, max(vectors), rate=rate), len(vectors))


def same_model(engine: Engine, one: str, other: str) -> bool:
    """Tell whether two versions have the very same files: they differ in their cards, such as a calibration."""
    source, target = engine.open_model(one).card, engine.open_model(other).card
    return (source.files, source.input, source.output) == (target.files, target.input, target.output)


def embed_picture(model: Model, data: bytes) -> NDArray[np.float32]:
    """Return a picture's embedding, (D,); raise `ImageError`."""
    embeddings = model.embedder.embed(prepare(data, model.embedder.contract)[None])
    return np.asarray(embeddings[0])


def _embedded(engine: Engine, samples: list[Pending], model: Model) -> dict[int, bytes]:
    vectors = {sample.number: LEFT_OUT for sample in samples}
    pixels = {}
    for sample in samples:
        try:
            pixels[sample.number] = prepare(engine.gallery.read_picture(sample.digest), model.embedder.contract)
        except (PictureNotStored, StoreDamaged, ImageError) as exc:
            log.warning("sample %s cannot be embedded with %s: %s", sample.sample_id, model.version, exc)
    if pixels:
        embeddings = model.embedder.embed(np.stack(list(pixels.values())))
        vectors |= {key: vector.tobytes() for key, vector in zip(pixels, embeddings, strict=True)}
    return vectors
