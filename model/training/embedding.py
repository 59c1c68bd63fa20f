"""Embeddings of a data set's images, by the very path that serves: bytes, preprocessing, ONNX file."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from model.card import InputContract
from model.errors import DatasetError
from model.runtime import Embedder
from model.training.datasets.files import check_readable, prepare_file
from model.training.datasets.images import LabelledImages
from model.training.evaluation import Embedded, unit_rows

BATCH = 32
GAIN = 0.2  # of a channel by a camera's white balance: at most, as a natural logarithm

View = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.uint8]]
"""What is shown of pictures `(N, H, W, 3)` that cameras `(N,)` took."""


def embed_images(
    embedder: Embedder, images: LabelledImages, *, batch: int = BATCH, view: View | None = None
) -> Embedded:
    """Return the unit embeddings of the images, or of a view of them; memory stays at one batch of pictures."""
    blocks = prepared_batches(images.paths, embedder.contract, batch)
    what, total = f"embedding {escape(images.name)}", -(-len(images) // batch)
    shown = track(blocks, what, total=total, console=Console(stderr=True), transient=True)
    cameras = (images.cameras[start : start + batch] for start in range(0, len(images), batch))
    embeddings = np.concatenate(
        [
            embedder.embed(block if view is None else view(block, taken_by))
            for block, taken_by in zip(shown, cameras, strict=True)
        ]
    )
    return Embedded(embeddings, images.identities, images.cameras)


def mirror(pictures: NDArray[np.uint8], _cameras: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return pictures with left and right exchanged."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


def balance_by_camera(pictures: NDArray[np.uint8], cameras: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return pictures as they would be had each camera a white balance of its own: always the same for a camera."""
    gains = {
        camera: np.exp(np.random.default_rng([0, camera]).uniform(-GAIN, GAIN, 3))
        for camera in np.unique(cameras).tolist()
    }
    of_pictures = np.stack([gains[camera] for camera in cameras.tolist()])  # (N, 3)
    balanced: NDArray[np.float64] = pictures * of_pictures[:, None, None, :]
    return balanced.round().clip(0, 255).astype(np.uint8)


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
