from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.cub200 import LAYOUT, read
from tests.model.training.datasets.trees import cub200


@pytest.mark.parametrize("inner", ["", "CUB_200_2011"])
def test_layout_is_read(tmp_path: Path, inner: str) -> None:
    cub200(tmp_path / inner)
    assert LAYOUT.fits(tmp_path)
    dataset = read(tmp_path)
    assert dataset.train.identities.tolist() == [1, 1, 100, 100]
    assert dataset.query.identities.tolist() == [101, 101, 200, 200]
    assert dataset.query.paths[0] == tmp_path / inner / "images" / "101.White_Pelican" / "Bird_0001_101.jpg"


def test_lists_belong_together_by_number_and_not_by_order(tmp_path: Path) -> None:
    path = cub200(tmp_path) / "image_class_labels.txt"
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    assert read(tmp_path).train.identities.tolist() == [1, 1, 100, 100]


def test_lists_of_different_pictures_are_refused(tmp_path: Path) -> None:
    path = cub200(tmp_path) / "image_class_labels.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DatasetError, match=r"the same pictures .* found 8 and 7, 7 of them in both"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("images.txt", "bird.jpg", r"images\.txt line 9: expected a number and a value, found 'bird\.jpg'"),
        ("image_class_labels.txt", "8 pelican", "expected a class number, found 'pelican'"),
    ],
)
def test_a_line_that_is_wrong_is_shown(tmp_path: Path, name: str, line: str, message: str) -> None:
    path = cub200(tmp_path) / name
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DatasetError, match=message):
        read(tmp_path)


def test_another_folder_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cub200: expected the folder images, and images\.txt"):
        read(tmp_path)
