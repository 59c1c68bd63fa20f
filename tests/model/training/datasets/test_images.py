import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import DatasetError
from model.training.datasets.images import hold_out, join_images, label_files, label_list, no_images
from tests.model.training.datasets.trees import labelled


def test_subset_keeps_what_belongs_together() -> None:
    images = replace(labelled([1, 2, 3], [4, 5, 6]), listed=True)
    kept = images.subset(np.array([True, False, True]))
    assert [path.name for path in kept.paths] == ["0.jpg", "2.jpg"]
    assert (kept.identities.tolist(), kept.cameras.tolist(), kept.listed) == ([1, 3], [4, 6], True)
    assert images.first(2).identities.tolist() == [1, 2]


def test_held_out_identities_are_disjoint_and_whole() -> None:
    images = labelled([1, 1, 2, 2, 3, 3, 4, 4], [1, 2] * 4)
    train, held = hold_out(images, 2, seed=3)
    assert set(train.identities) | set(held.identities) == {1, 2, 3, 4}
    assert not set(train.identities) & set(held.identities)
    assert hold_out(images, 2, seed=3)[1].paths == held.paths
    with pytest.raises(DatasetError, match="such as --set held_out_identities=2"):  # and not a fifth of four
        hold_out(images, 3, seed=3)


def test_too_few_identities_to_hold_any_out_are_told() -> None:
    with pytest.raises(DatasetError, match="at least 4 identities, two to train on and two to hold out, found 3"):
        hold_out(labelled([1, 1, 2, 2, 3, 3], [1, 2] * 3), 2, seed=3)


def test_which_identities_are_held_out_never_changes() -> None:
    images = labelled(list(range(1, 21)), [1] * 20)
    assert sorted(hold_out(images, 5, seed=1)[1].identities.tolist()) == [2, 8, 11, 17, 19]


def test_the_hash_of_named_files_never_changes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for size, path in enumerate(paths, start=1):
        path.write_bytes(b"x" * size)
    images = label_files("people", paths, [(1, 1), (2, 2)])
    assert images.sha256() == hashlib.sha256(b"a.jpg\t1\nb.jpg\t2\n").hexdigest()
    assert label_files("others", paths, [(3, 1), (2, 2)]).sha256() == images.sha256()


def test_the_hash_of_listed_files_covers_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    hashes = {label_list("people", [path], [label]).sha256() for label in ((1, 1), (2, 1), (1, 2))}
    assert len(hashes) == 3


def test_all_listed_files_that_are_missing_are_counted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    paths[0].touch()
    with pytest.raises(DatasetError, match=r"4 of the 5 listed files are missing, among them .*1\.jpg, .*3\.jpg, …;"):
        label_list("people", paths, [(1, 1)] * 5)


def test_joined_images_have_each_file_once() -> None:
    images = labelled([1, 2, 3], [4, 5, 6])
    joined = join_images("all", (images, images.first(2), no_images("none")))
    assert joined.paths != ()
    assert sorted(zip(joined.paths, joined.identities, joined.cameras, strict=True)) == sorted(
        zip(images.paths, images.identities, images.cameras, strict=True)
    )
