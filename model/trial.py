"""A version's first run: what a file that loads may still get wrong, on a few drawn people."""

import numpy as np
from numpy.typing import NDArray

from model.errors import ContractError
from model.preprocess import resize
from model.runtime import Embedder
from model.synthetic import render

PEOPLE = 4
_BATCH_TOLERANCE = 1e-3  # the export's
_LEAST_SPREAD = 1e-4


def try_out(embedder: Embedder) -> None:
    """Embed a few pictures; raise `ContractError` for what cannot be compared.

    Embeddings must be numbers of unit length, tell people apart, and be the same alone as in a batch.
    """
    pictures = draw(embedder.contract.height, embedder.contract.width)
    together = embedder.embed(pictures)  # finite and of unit length, or refused there
    spread = float(np.abs(together - together[0]).max())
    if spread < _LEAST_SPREAD:
        raise ContractError(f"{embedder.version} gives {PEOPLE} people one embedding: it cannot tell anybody apart")
    difference = float(np.abs(embedder.embed(pictures[:1])[0] - together[0]).max())
    if difference > _BATCH_TOLERANCE:
        raise ContractError(
            f"{embedder.version} gives a picture another embedding alone than in a batch of {PEOPLE}: expected a "
            f"difference of at most {_BATCH_TOLERANCE}, found {difference:.4f}"
        )


def draw(height: int, width: int) -> NDArray[np.uint8]:
    """Return drawn people as the files take them, (PEOPLE, H, W, 3)."""
    return np.stack([resize(render(person, camera=0, view=0), height, width) for person in range(PEOPLE)])
