from pathlib import Path

import numpy as np
import pytest

from model.errors import DatasetError
from model.training.market1501 import (
    GALLERY,
    QUERY,
    TRAIN,
    LabelledImages,
    check_training,
    hold_out,
    parse_name,
    read_split,
)


def tree(root: Path, *names: str) -> Path:
    for split in (TRAIN, QUERY, GALLERY):
        (root / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / split / name).write_bytes(b"x" * len(name))
    return root


def labelled(identities: list[int], cameras: list[int]) -> LabelledImages:
    paths = tuple(Path(f"{i}.jpg") for i in range(len(identities)))
    return LabelledImages("people", paths, np.array(identities), np.array(cameras))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", (2, 1)),
        ("1488_c1s6_023021_00.jpg.jpg", (1488, 1)),
        ("-1_c6s3_012345_00.jpg", (-1, 6)),
        ("0000_c2s1_000001_01.png", (0, 2)),
    ],
)
def test_names_tell_identity_and_camera(name: str, expected: tuple[int, int]) -> None:
    assert parse_name(name) == expected


def test_junk_is_dropped_and_distractors_are_kept(tmp_path: Path) -> None:
    tree(tmp_path, "0002_c1s1_000451_03.jpg", "-1_c1s1_000001_00.jpg", "0000_c3s1_000002_00.jpg")
    (tmp_path / GALLERY / "Thumbs.db").touch()
    images = read_split(tmp_path, GALLERY)
    assert images.identities.tolist() == [0, 2]
    assert images.cameras.tolist() == [3, 1]


def test_root_may_be_the_folder_above(tmp_path: Path) -> None:
    tree(tmp_path / "Market-1501-v15.09.15", "0002_c1s1_000451_03.jpg")
    assert len(read_split(tmp_path, QUERY)) == 1


@pytest.mark.parametrize("missing", [TRAIN, QUERY, GALLERY])
def test_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    tree(tmp_path)
    (tmp_path / missing).rmdir()
    with pytest.raises(DatasetError, match=missing):
        read_split(tmp_path, TRAIN)


def test_foreign_name_is_shown(tmp_path: Path) -> None:
    tree(tmp_path, "holiday.jpg")
    with pytest.raises(DatasetError, match=r"holiday\.jpg"):
        read_split(tmp_path, TRAIN)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (labelled([1, 1], [1, 2]), "two identities"),
        (labelled([1, 1, 2, 2], [1, 1, 1, 1]), "camera an id of its own|each camera"),
        (labelled([1, 1, 2, 2], [1, 1, 2, 2]), "two cameras"),
    ],
)
def test_labels_that_teach_nothing_are_refused(images: LabelledImages, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_training(images)


def test_held_out_identities_are_disjoint_and_whole() -> None:
    images = labelled([1, 1, 2, 2, 3, 3, 4, 4], [1, 2] * 4)
    train, held = hold_out(images, 2, seed=3)
    assert set(train.identities) | set(held.identities) == {1, 2, 3, 4}
    assert not set(train.identities) & set(held.identities)
    assert hold_out(images, 2, seed=3)[1].paths == held.paths
    with pytest.raises(DatasetError, match="smaller number"):
        hold_out(images, 3, seed=3)
