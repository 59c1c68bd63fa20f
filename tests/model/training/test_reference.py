from pathlib import Path

import numpy as np
import pytest

from model.card import InputContract
from model.measures import MEASURES
from model.quality import measure_picture
from model.synthetic import encode_jpeg, render
from model.training.datasets.images import label_files
from model.training.evaluation import Embedded, unit_rows
from model.training.reference import held_out_reference


def test_pictures_and_scores_of_held_out_people_are_counted(tmp_path: Path) -> None:
    labels = [(person, camera) for person in range(4) for camera in range(3)]
    paths = []
    for person, camera in labels:
        paths.append(tmp_path / f"{person}-{camera}.jpg")
        paths[-1].write_bytes(encode_jpeg(render(person, camera, 0, height=100 + 50 * camera, width=64)))
    images = label_files("made", paths, labels)
    embeddings = unit_rows(np.random.default_rng(0).random((12, 6)).astype(np.float32))
    contract = InputContract(height=64, width=32)
    found = held_out_reference(images, Embedded(embeddings, images.identities, images.cameras), contract)
    assert found is not None
    counted = {each.measure: each for each in found.measures}
    qualities = [measure_picture(path.read_bytes(), contract) for path in paths]
    for measure in MEASURES[1:]:
        values = [getattr(each, measure.name) for each in qualities]
        expected, _ = np.histogram(values, bins=32, range=(measure.low, measure.high))
        assert counted[measure.name].counts == tuple(expected)
    assert sum(counted["score"].counts) == 12
    others = [max(float(embeddings[a] @ embeddings[b]) for b in range(12) if labels[a] != labels[b]) for a in range(12)]
    scale = np.histogram(others, bins=32, range=(0, 1))[0]
    assert counted["score"].counts == pytest.approx(scale)
