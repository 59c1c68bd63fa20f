import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DatasetError
from model.preprocess import read_image, resize
from model.synthetic import encode_jpeg, render, write_market

NAME = re.compile(r"^(-1|\d{4})_c(\d)s\d_\d{6}_\d{2}\.jpg$")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(
        tmp_path_factory.mktemp("made") / "market", train_identities=6, test_identities=5, cameras=4, views=3
    )


def named(folder: Path) -> list[tuple[str, int]]:
    """Return identity and camera of each picture; fail on a name that is not Market-1501's."""
    found = [NAME.match(path.name) for path in sorted(folder.iterdir())]
    assert all(found)
    return [(match[1], int(match[2])) for match in found if match]


def test_a_picture_has_the_size_asked_for() -> None:
    assert render(0, 0, 0).shape == (128, 64, 3)
    assert render(0, 0, 0, height=256, width=96).shape == (256, 96, 3)
    assert render(0, 0, 0).dtype == np.uint8


def test_the_same_numbers_give_the_same_picture_in_another_process() -> None:
    script = "import hashlib; from model.synthetic import render; print(hashlib.sha256(render(5, 2, 7)).hexdigest())"
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    render(6, 1, 1)
    assert hashlib.sha256(render(5, 2, 7).tobytes()).hexdigest() == there


def test_each_number_changes_the_picture() -> None:
    seen = {render(i, c, v).tobytes() for i in range(4) for c in range(4) for v in range(4)}
    assert len(seen) == 64


def middle(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe the body's place by a grid of colours, less what all pictures share."""
    return resize(picture[16:112, 20:44], 8, 2).astype(float).ravel()


def test_people_are_told_apart_by_their_clothes_and_cameras_make_it_harder() -> None:
    people = range(30)
    gallery = np.stack([middle(render(i, 0, 0)) for i in people])

    def found(camera: int, view: int) -> float:
        queries = np.stack([middle(render(i, camera, view)) for i in people])
        distances = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
        return float((distances.argmin(axis=1) == np.arange(len(people))).mean())

    same = found(0, 1)
    others = [found(camera, 0) for camera in range(1, 5)]
    assert same > 0.5
    assert 2 / len(people) < np.mean(others) < same


def test_a_camera_keeps_its_background() -> None:
    def corner(person: int, camera: int) -> NDArray[np.float64]:
        return np.asarray(render(person, camera, 0)[:20, :10].mean(axis=(0, 1)))

    within = np.mean([np.linalg.norm(corner(i, 0) - corner(i + 20, 0)) for i in range(15)])
    between = np.mean([np.linalg.norm(corner(i, 0) - corner(i, 5)) for i in range(15)])
    assert within < between


def test_the_jpeg_keeps_the_picture() -> None:
    picture = render(1, 1, 1)
    assert np.abs(read_image(encode_jpeg(picture)).astype(float) - picture).mean() < 4


def test_the_tree_is_market_1501s(tree: Path) -> None:
    assert {path.name for path in tree.iterdir()} == {"bounding_box_train", "query", "bounding_box_test"}
    for folder in tree.iterdir():
        assert named(folder)
        for path in folder.iterdir():
            assert read_image(path.read_bytes()).shape == (128, 64, 3)


def test_training_and_test_share_no_identity(tree: Path) -> None:
    train, test = ({identity for identity, _ in named(tree / f)} for f in ("bounding_box_train", "bounding_box_test"))
    assert train == {f"{i:04d}" for i in range(1, 7)}
    assert test == {f"{i:04d}" for i in range(7, 12)} | {"0000", "-1"}


def test_there_is_one_query_per_identity_and_camera(tree: Path) -> None:
    queries = named(tree / "query")
    assert len(queries) == len(set(queries))
    gallery = [pair for pair in named(tree / "bounding_box_test") if pair[0] not in ("0000", "-1")]
    assert set(gallery) == set(queries)
    assert all(gallery.count(pair) == 2 for pair in queries)


def test_every_query_has_an_answer_on_another_camera(tree: Path) -> None:
    gallery = named(tree / "bounding_box_test")
    for identity, camera in named(tree / "query"):
        assert any(other == identity and seen != camera for other, seen in gallery)


def test_the_seed_changes_the_people(tmp_path: Path) -> None:
    size = {"train_identities": 2, "test_identities": 1, "views": 2}
    made = [write_market(tmp_path / str(seed), **size, seed=seed) for seed in (0, 1)]
    again = write_market(tmp_path / "again", **size, seed=1)

    def digest(root: Path) -> str:
        files = sorted(path for path in root.rglob("*.jpg"))
        return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()

    assert digest(made[0]) != digest(made[1]) == digest(again)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"train_identities": -1}, "train_identities to be from 0 to 9999, found -1"),
        ({"test_identities": 10_000}, "test_identities to be from 0 to 9999, found 10000"),
        ({"cameras": 1}, "cameras to be from 2 to 9, found 1"),
        ({"cameras": 10}, "cameras to be from 2 to 9, found 10"),
        ({"views": 1}, "views to be from 2 to 99, found 1"),
        ({"seed": -3}, "seed to be from 0"),
    ],
)
def test_numbers_out_of_range_are_told(tmp_path: Path, wrong: dict[str, int], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        write_market(tmp_path / "made", **{"train_identities": 2, "test_identities": 2, **wrong})
    assert not (tmp_path / "made").exists()


def test_more_people_than_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="9999 identities"):
        write_market(tmp_path / "made", train_identities=6000, test_identities=4000)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DatasetError, match="empty folder"):
        write_market(tmp_path, train_identities=2, test_identities=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
