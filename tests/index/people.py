"""Small people for gallery tests: embeddings in clusters, pictures of a few bytes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from index.gallery import GalleryStore
from index.records import Embedding, NewSample
from index.vectors import IndexOptions

DIM = 16
VERSION = "test@1"
SERVER = "database-url"  # a file beside the pictures, where the catalogue is on a server
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


def database_url(folder: Path) -> str:
    """Return the URL that lies in the folder, of a database on a server, or that of a SQLite file in it."""
    written = folder / SERVER
    return written.read_text() if written.exists() else f"sqlite:///{folder}/reid.db"


def open_store(folder: Path, version: str = VERSION, dim: int = DIM, index: IndexOptions = BY_DEFAULT) -> GalleryStore:
    return GalleryStore.open(
        database_url(folder),
        f"{folder}/pictures",
        model_version=version,
        dim=dim,
        snapshots=folder / "reid.index",
        index=index,
    )


def behind_its_back(folder: Path, sql: str, *rows: Mapping[str, object]) -> None:
    """Change the catalogue as nobody should, once or for each row of values."""
    engine = create_engine(database_url(folder), poolclass=NullPool)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")  # no foreign key is looked after
        connection.execute(text(sql), rows or None)


def enrol(store: GalleryStore, items: Sequence[NewSample], gallery: str = "default") -> list[str]:
    """Enrol samples that must all be taken; return their ids."""
    outcome = store.enrol(gallery, items, model_version=store.model_version)
    assert [item.error for item in outcome] == [None] * len(items)
    return [item.sample_id or "" for item in outcome]
