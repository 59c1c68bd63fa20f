from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.dataset import Dataset
from model.training.datasets.images import no_images
from tests.model.training.datasets.trees import labelled

TEST = labelled([3, 3], [1, 2], "test")
PEOPLE = Dataset("people", "none", "retrieval", labelled([1, 2], [1, 2], "train"), TEST, TEST)


def test_a_split_that_is_needed_and_empty_is_told() -> None:
    assert PEOPLE.require("train") is PEOPLE.train
    empty = Dataset("people", "none", "retrieval", no_images("train"), TEST, no_images("gallery"))
    for split in ("train", "gallery"):
        with pytest.raises(DatasetError, match=f"expected {split} images in people, found none; say which"):
            empty.require(split)


def test_an_empty_split_names_the_folder_in_which_it_was_looked_for() -> None:
    nothing = replace(no_images("train"), folder=Path("people/train"))
    with pytest.raises(DatasetError, match="expected train images in people/train, found none; put them there"):
        Dataset("people", "none", "retrieval", nothing, TEST, TEST).require("train")


def test_everything_has_each_image_once() -> None:
    assert sorted(map(str, PEOPLE.everything.paths)) == ["test/0.jpg", "test/1.jpg", "train/0.jpg", "train/1.jpg"]
