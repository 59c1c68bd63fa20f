import logging
from dataclasses import replace

import pytest

from model.errors import DatasetError
from model.training.datasets.check import check_labels, check_training, count_cameras
from model.training.datasets.dataset import Count, Dataset, Protocol, Release
from model.training.datasets.images import LabelledImages, no_images
from tests.model.training.datasets.trees import labelled

TRAIN = labelled([1, 1, 2, 2], [1, 2, 1, 2])
QUERY = labelled([3, 4], [1, 1], "query")
GALLERY = labelled([3, 4], [2, 2], "gallery")


def dataset(
    train: LabelledImages = TRAIN,
    query: LabelledImages = QUERY,
    gallery: LabelledImages = GALLERY,
    protocol: Protocol = "re-identification",
) -> Dataset:
    return Dataset("people", "none", protocol, train, query, gallery)


def test_a_good_one_passes_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    check_labels(dataset())
    check_labels(dataset(query=no_images("q"), gallery=no_images("g")))
    check_labels(dataset(train=no_images("t")))
    assert not caplog.text


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (labelled([1, 1], [1, 2]), "at least two identities in people, found 1; add images"),
        (
            labelled([1, 1, 2, 2], [1, 1, 1, 1]),
            "every image of people has camera 1: .*give each camera an id of its own",
        ),
        (labelled([1, 1, 2, 2], [1, 1, 2, 2]), "no identity of people is seen by two cameras.*correct the camera ids"),
    ],
)
def test_labels_that_teach_nothing_are_refused(images: LabelledImages, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_labels(dataset(train=images))


def test_classes_of_one_picture_are_refused_without_talk_of_cameras() -> None:
    with pytest.raises(DatasetError, match=r"no identity of people has two images: .*add images"):
        check_training(labelled([1, 2, 3], [0, 1, 2]), cameras=False)


def test_identities_of_one_camera_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    check_training(labelled([1, 1, 2, 3], [1, 2, 1, 1]))
    assert "2 of 3 identities are seen by one camera only" in caplog.text


def test_cameras_are_counted_for_each_identity() -> None:
    assert count_cameras(labelled([5, 2, 5, 5, 2], [1, 4, 1, 2, 4])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (QUERY, no_images("g"), "query and gallery images in people, found 2 and 0"),
        (no_images("q"), GALLERY, "query and gallery images in people, found 0 and 2"),
        (labelled([3, 4], [1, 1], "query"), labelled([3, 4], [1, 1], "gallery"), "the test of people has camera 1"),
        (labelled([3, 4], [1, 2], "query"), labelled([3, 4], [1, 2], "gallery"), "none of the 2 queries of people"),
        (labelled([3, 4], [1, 2], "query"), labelled([5, 6], [2, 1], "gallery"), "none of the 2 queries of people"),
    ],
)
def test_a_test_that_nothing_passes_is_refused(query: LabelledImages, gallery: LabelledImages, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_labels(dataset(query=query, gallery=gallery))


def test_one_answerable_query_is_enough() -> None:
    check_labels(dataset(query=labelled([3, 4, 9], [1, 1, 1], "query"), gallery=labelled([3, 4], [1, 2], "gallery")))


def test_people_who_are_trained_on_and_tested_with_are_counted() -> None:
    query = labelled([3, 2, 2, 1], [1, 1, 2, 1], "query")
    with pytest.raises(DatasetError, match=r"2 identities of people are trained on .* that of query/1\.jpg: .*keep"):
        check_labels(dataset(query=query))


def test_counts_of_the_release_are_told_when_they_differ(caplog: pytest.LogCaptureFixture) -> None:
    release = Release(train=Count(5, 2), query=Count(2, 2), gallery=Count(None, 3))
    with caplog.at_level(logging.WARNING):
        check_labels(replace(dataset(), release=release))
    [told] = [record.getMessage() for record in caplog.records]
    differences = "4 train images instead of 5, 2 gallery identities instead of 3"
    assert told == f"these are not the published pictures of people ({differences}): compare no figures with others'"


def test_counts_of_the_release_are_not_told_when_they_agree(caplog: pytest.LogCaptureFixture) -> None:
    check_labels(replace(dataset(), release=Release(train=Count(4, 2), query=Count(2, 2), gallery=Count(None, 2))))
    assert not caplog.text
