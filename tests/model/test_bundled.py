from pathlib import Path

import numpy as np
import pytest

from model.measures import BINS, MEASURES
from model.preprocess import resize
from model.registry import Registry
from model.runtime import Embedder
from model.synthetic import render

PEOPLE = 6


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def embedder(registry: Registry) -> Embedder:
    return registry.open(registry.active(), threads=1)


def test_its_card_says_what_it_is_worth_where_to_decide_and_on_what_terms(registry: Registry) -> None:
    card = registry.card(registry.active())
    assert {row.precision for row in card.metrics if row.protocol.endswith("test")} == {"fp32", "int8"}
    assert card.calibration is not None
    assert 1e-3 in [row.false_match_rate for row in card.calibration.thresholds]
    assert "research" in card.terms
    assert "ImageNet" in card.terms


def test_its_reference_is_of_the_held_out_images_in_the_bins_of_drift(registry: Registry) -> None:
    card = registry.card(registry.active())
    assert card.reference is not None
    bins = {measure.name: (measure.low, measure.high, BINS) for measure in MEASURES}
    assert len(card.reference.measures) == 4  # Market-1501 was cut to one height
    for each in card.reference.measures:
        assert (each.low, each.high, len(each.counts)) == bins[each.measure]
        assert sum(each.counts) == card.parity[0].images


def test_drawn_people_are_nearest_to_themselves_by_another_camera(embedder: Embedder) -> None:
    size = (embedder.contract.height, embedder.contract.width)
    first, second = (
        embedder.embed(np.stack([resize(render(person, camera, 0), *size) for person in range(PEOPLE)]))
        for camera in (0, 2)
    )
    right = (first @ second.T).argmax(axis=1) == np.arange(PEOPLE)
    assert right.mean() >= 0.8


def test_it_does_not_tell_where_it_was_made(registry: Registry) -> None:
    assert b"site-packages" not in registry.file(registry.active()).read_bytes()


def test_nothing_else_lies_in_the_bundle(registry: Registry) -> None:
    card = registry.card(registry.active())
    folder: Path = registry.bundled / card.name / str(card.number)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["card.json", *card.files])
