from pathlib import Path

import pytest

from model.training.datasets.bounding_boxes import GALLERY
from model.training.datasets.market1501 import BOXES
from tests.model.training.datasets.trees import market


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
    assert BOXES.parse(Path(name)) == expected


def test_junk_is_dropped_and_distractors_are_kept(tmp_path: Path) -> None:
    (market(tmp_path) / GALLERY / "Thumbs.db").touch()
    images = BOXES.read(tmp_path).gallery
    assert images.identities.tolist() == [0, 5]
    assert images.cameras.tolist() == [1, 3]


def test_root_may_be_the_folder_above(tmp_path: Path) -> None:
    market(tmp_path / "Market-1501-v15.09.15")
    assert len(BOXES.read(tmp_path).query) == 1


def test_a_run_s_data_keep_their_name_and_hash(tmp_path: Path) -> None:
    images = BOXES.read(market(tmp_path)).train
    assert (images.name, images.listed) == ("market1501/bounding_box_train", False)
