"""Embeddings of a data set's images, by the very path that serves: bytes, preprocessing, ONNX file."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from model.card import InputContract
from model.errors import DatasetError
from model.runtime import Embedder
from model.training.datasets.files import check_readable, prepare_file
from model.training.datasets.images import LabelledImages
from model.training.evaluation import Embedded, unit_rows

BATCH = 32


def embed_images(embedder: Embedder, images: LabelledImages, *, batch: int = BATCH, mirrored: bool = False) -> Embedded:
    """Return the unit embeddings of the images, or of their mirror images; memory stays at one batch of pictures."""
    blocks = prepared_batches(images.paths, embedder.contract, batch)
    shown = track(
        blocks, f"embedding {images.name}", total=-(-len(images) // batch), console=Console(stderr=True), transient=True
    )
    embeddings = np.concatenate([embedder.embed(mirror(block) if mirrored else block) for block in shown])
    return Embedded(embeddings, images.identities, images.cameras)


def mirror(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures `(N, H, W, 3)` with left and right exchanged."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


def average(first: Embedded, second: Embedded) -> Embedded:
    """Return the normalised means of two embeddings of the same images, such as plain and mirrored."""
    return Embedded(unit_rows(first.embeddings + second.embeddings), first.identities, first.cameras)


def prepared_batches(paths: tuple[Path, ...], contract: InputContract, batch: int) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures `(n, H, W, 3)` ready for the model; raise `DatasetError` naming all that are broken."""
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), batch):
            try:
                pictures = list(pool.map(lambda path: prepare_file(path, contract), paths[start : start + batch]))
            except DatasetError:
                check_readable(paths)
                raise
            yield np.stack(pictures)
