"""Small people for gallery tests: embeddings in clusters, pictures of a few bytes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from index.gallery import GalleryStore
from index.records import Embedding, NewSample
from index.vectors import IndexOptions

DIM = 16
VERSION = "test@1"
BY_DEFAULT = IndexOptions()
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

Opener = Callable[[], GalleryStore]


def unit(values: ArrayLike) -> Embedding:
    vector = np.asarray(values, dtype=np.float64)
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / length, dtype=np.float32)


def vector(seed: int, dim: int = DIM) -> Embedding:
    return unit(np.random.default_rng(seed).standard_normal(dim))


def vectors(count: int, seed: int = 0, dim: int = DIM) -> Embedding:
    return unit(np.random.default_rng(seed).standard_normal((count, dim)))


def sample(
    number: int,
    identity: str | None = None,
    *,
    camera: str | None = None,
    captured_at: datetime | None = None,
    attributes: Mapping[str, Any] | None = None,
    external_id: str | None = None,
    embedding: Embedding | None = None,
    picture: bytes | None = None,
) -> NewSample:
    return NewSample(
        identity=f"p{number}" if identity is None else identity,
        embedding=vector(number) if embedding is None else embedding,
        picture=b"picture %d" % number if picture is None else picture,
        camera=camera,
        captured_at=captured_at,
        attributes=attributes or {},
        external_id=external_id,
    )


def crowd(count: int, *, identities: int, cameras: int, seed: int = 0) -> list[NewSample]:
    """Samples with random facts; some without camera or time."""
    random = np.random.default_rng(seed)
    found = vectors(count, seed)
    return [
        sample(
            index,
            f"p{random.integers(identities)}",
            camera=None if random.random() < 0.1 else f"c{random.integers(cameras)}",
            captured_at=None if random.random() < 0.1 else NOON + timedelta(minutes=int(random.integers(600))),
            attributes={"side": ["left", "right"][random.integers(2)], "age": int(random.integers(3))},
            embedding=found[index],
        )
        for index in range(count)
    ]


def open_store(folder: Path, version: str = VERSION, dim: int = DIM, index: IndexOptions = BY_DEFAULT) -> GalleryStore:
    return GalleryStore.open(
        f"sqlite:///{folder}/reid.db", f"{folder}/pictures", model_version=version, dim=dim, index=index
    )


def enrol(store: GalleryStore, items: Sequence[NewSample], gallery: str = "default") -> list[str]:
    """Enrol samples that must all be taken; return their ids."""
    outcome = store.enrol(gallery, items, model_version=store.model_version)
    assert [item.error for item in outcome] == [None] * len(items)
    return [item.sample_id or "" for item in outcome]
