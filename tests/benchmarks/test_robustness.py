import numpy as np
import pytest

from benchmarks.robustness import CHANGES, OtherCameras

PICTURES = np.random.default_rng(0).integers(256, size=(8, 12, 6, 3), dtype=np.uint8)
CAMERAS = np.array([4, 5, 6, 7, 4, 5, 6, 7])


@pytest.mark.parametrize("name", CHANGES)
def test_each_camera_changes_all_of_its_pictures_in_one_way_of_its_own(name: str) -> None:
    twice = np.concatenate([PICTURES[:4], PICTURES[:4]])
    changed = OtherCameras(CHANGES[name], seed=1)(twice, CAMERAS)
    assert (changed[:4] == changed[4:]).all()
    assert (changed == OtherCameras(CHANGES[name], seed=1)(twice, CAMERAS)).all()
    differences = [np.abs(after.astype(int) - before).mean() for after, before in zip(changed[:4], twice, strict=False)]
    assert 1 < max(differences) < 128
    assert len({round(each, 3) for each in differences}) > 1


def test_a_picture_stays_what_it_is_where_nothing_changes() -> None:
    same = OtherCameras(lambda pictures, _random: pictures, seed=0)(PICTURES, CAMERAS)
    assert (same == PICTURES).all()
