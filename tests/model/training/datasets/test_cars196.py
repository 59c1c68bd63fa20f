from pathlib import Path

import numpy as np
import pytest

from model.errors import DatasetError
from model.training.datasets.cars196 import LAYOUT, read
from tests.model.training.datasets.trees import cars196


def test_layout_is_read(tmp_path: Path) -> None:
    cars196(tmp_path)
    assert LAYOUT.fits(tmp_path)
    dataset = read(tmp_path)
    assert dataset.train.identities.tolist() == [1, 1, 98, 98]
    assert dataset.query.identities.tolist() == [99, 99, 196, 196]
    assert dataset.query.paths[0] == tmp_path / "car_ims" / "000005.jpg"


def test_a_single_picture_is_still_a_list(tmp_path: Path) -> None:
    assert read(cars196(tmp_path, (7,))).train.identities.tolist() == [7]


def test_other_annotations_are_told(tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io", reason="scipy is not installed").savemat
    savemat(cars196(tmp_path) / "cars_annos.mat", {"annotations": np.arange(3)})
    with pytest.raises(DatasetError, match="with the fields relative_im_path and class, found none"):
        read(tmp_path)
