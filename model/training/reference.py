"""What a version's queries score and what pictures are like on the held-out images, for its card."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from model.card import InputContract, Reference
from model.quality import Quality, measure_picture
from model.reference import PROTOCOL, best_scores, refer
from model.training.datasets.images import LabelledImages
from model.training.evaluation import Embedded


def held_out_reference(images: LabelledImages, embedded: Embedded, contract: InputContract) -> Reference | None:
    """Return the histograms of images that were embedded, and so can be read; None where there is nothing to tell."""
    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(partial(_measure, contract), images.paths))
    scores = best_scores(embedded.embeddings, embedded.identities, embedded.cameras)
    people = len(set(images.identities.tolist()))
    return refer(f"{len(images)} held-out images of {people} identities: {PROTOCOL}", scores, pictures)


def _measure(contract: InputContract, path: Path) -> Quality:
    return measure_picture(path.read_bytes(), contract)
