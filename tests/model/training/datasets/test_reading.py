import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import DatasetError
from model.training.datasets.reading import LAYOUTS, NAMES, read_dataset
from tests.model.training.datasets.trees import (
    cars196,
    cub200,
    cuhk03_np,
    cuhk03_release,
    duke,
    market,
    msmt17,
    write_picture,
)


def masked_msmt17(root: Path) -> Path:
    return msmt17(root, train="mask_train_v2", test="mask_test_v2")


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (market, "market1501"),
        (duke, "dukemtmc-reid"),
        (msmt17, "msmt17-v1"),
        (masked_msmt17, "msmt17-v2"),
        (cub200, "cub200"),
        (cars196, "cars196"),
    ],
)
def test_a_layout_is_recognised_by_what_is_there(tmp_path: Path, write: Callable[[Path], Path], name: str) -> None:
    dataset = read_dataset(write(tmp_path))
    assert dataset.name == name
    assert name in NAMES
    assert len(dataset.train) == 4


def test_a_folder_that_can_be_read_in_two_ways_asks_which(tmp_path: Path) -> None:
    cuhk03_np(tmp_path)
    with pytest.raises(DatasetError, match="can be read as cuhk03-np-labeled, cuhk03-np-detected; say which with --da"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, "cuhk03-np-detected").name == "cuhk03-np-detected"


def test_a_split_is_chosen_by_number(tmp_path: Path) -> None:
    cuhk03_release(tmp_path / "cuhk-03.mat", [[(1, 1)], *[[(1, 2)]] * 19])
    assert set(read_dataset(tmp_path, "cuhk03-labeled").query.identities) == {1001}
    assert set(read_dataset(tmp_path, "cuhk03-labeled:20").query.identities) == {1002}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("market", "expected one of auto, market1501, .*, folder as the data set's name, found 'market'"),
        ("cuhk03-labeled:21", "expected a split of cuhk03-labeled from 1 to 20, found '21'"),
        ("cuhk03-labeled:0", "found '0'"),
        ("cuhk03-labeled:", "found ''"),
        ("market1501:2", "expected a split of market1501 from 1 to 1, found '2'"),
    ],
)
def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path, name)


def test_when_nothing_fits_the_layouts_are_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "Ann" / "1.jpg")
    message = read_dataset_error(tmp_path)
    assert "where there is Ann/; expected one of market1501, cuhk03-labeled, " in message
    assert all(layout.name in message for layout in LAYOUTS)
    assert message.endswith("folder; --dataset NAME tells what one looks like")
    assert read_dataset_error(tmp_path / "Ann" / "1.jpg").startswith("no known data set at")


@pytest.mark.parametrize(
    ("there", "near"),
    [
        ("query/0001.png", {"market1501", "dukemtmc-reid", "cuhk03-np-labeled", "cuhk03-np-detected"}),
        ("mask_train_v2/0000/1.jpg", {"msmt17-v2"}),
        ("cars_annos.mat", {"cars196"}),
        ("images.txt", {"cub200"}),
        ("train/Ann/1.jpg", {"msmt17-v1", "folder"}),
    ],
)
def test_when_a_part_is_missing_the_layouts_that_have_the_others_are_described(
    tmp_path: Path, there: str, near: set[str]
) -> None:
    write_picture(tmp_path / there)
    message = read_dataset_error(tmp_path)
    described = {layout.name for layout in LAYOUTS if f"{layout.name}: {layout.looks}" in message}
    assert described == near


@pytest.mark.parametrize("name", ["a", "or", "files", "of"])
def test_a_word_of_a_description_is_no_part_of_a_data_set(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name / "1.jpg")
    assert f"where there is {name}/; expected one of market1501, " in read_dataset_error(tmp_path)


def read_dataset_error(path: Path, name: str = "auto") -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(path, name)
    return str(caught.value)


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "nothing there; correct the path" in read_dataset_error(tmp_path / "none")
    assert "an empty folder" in read_dataset_error(tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auto"])
def test_every_reader_refuses_what_is_not_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()
    assert len(read_dataset_error(tmp_path, name).splitlines()) == 1
    assert len(read_dataset_error(tmp_path / "file.txt", name).splitlines()) == 1


def test_labels_are_checked(tmp_path: Path) -> None:
    train = market(tmp_path) / "bounding_box_train"
    for path in train.iterdir():
        path.unlink()
    for person in (2, 7):
        write_picture(train / f"{person:04d}_c1s1_000001_00.jpg")
    assert "every image of market1501/bounding_box_train has camera 1" in read_dataset_error(tmp_path)


def test_reading_needs_no_torch() -> None:
    code = "import sys, model.training.datasets.reading; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
