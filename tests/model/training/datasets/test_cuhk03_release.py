from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import DatasetError
from model.training.datasets.cuhk03_release import (
    find_release,
    parse_name,
    picture_folder,
    read_test_sets,
    unpack,
)
from tests.model.training.datasets.trees import cuhk03_release, pixels

TEST_SETS = [[(1, 1), (2, 1)], [(1, 3), (1, 2)]]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return cuhk03_release(tmp_path / "cuhk03_release" / "cuhk-03.mat", TEST_SETS)


def test_test_sets_are_pairs_and_people(release: Path) -> None:
    assert read_test_sets(release) == [frozenset(people) for people in TEST_SETS]


def test_pictures_are_unpacked_upright_and_named(release: Path, tmp_path: Path) -> None:
    folder = picture_folder(tmp_path, "labeled")
    assert folder == tmp_path / "images_labeled"
    assert sorted(path.name for path in folder.iterdir())[:4] == [
        "1_001_1_01.png",
        "1_001_1_02.png",
        "1_001_2_06.png",
        "1_002_1_01.png",
    ]
    assert len(list(folder.iterdir())) == 12
    assert np.array_equal(np.asarray(Image.open(folder / "1_002_2_06.png")), pixels(12))
    assert np.array_equal(np.asarray(Image.open(picture_folder(tmp_path, "detected") / "2_001_1_02.png")), pixels(1091))


def test_pictures_are_unpacked_once(release: Path, tmp_path: Path) -> None:
    folder = picture_folder(tmp_path, "labeled")
    release.unlink()
    assert picture_folder(tmp_path, "labeled") == folder


def test_of_two_that_unpack_at_once_each_has_every_picture(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, folder = Image.Image.save, tmp_path / "images_labeled"

    def save_behind_another(self: Image.Image, path: Path) -> None:
        monkeypatch.setattr(Image.Image, "save", save)
        save(self, path)
        unpack(release, "labeled", folder)

    monkeypatch.setattr(Image.Image, "save", save_behind_another)
    unpack(release, "labeled", folder)
    assert len(list(folder.iterdir())) == 12
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, release.parent.name}


def test_unpacking_that_was_stopped_starts_again(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image, path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            unpack(release, "labeled", tmp_path / "images_labeled")
    assert not (tmp_path / "images_labeled").exists()
    assert len(list(picture_folder(tmp_path, "labeled").iterdir())) == 12


def test_the_release_may_lie_beside(tmp_path: Path) -> None:
    assert find_release(tmp_path) is None
    (tmp_path / "cuhk-03.mat").touch()
    assert find_release(tmp_path) == tmp_path / "cuhk-03.mat"


@pytest.mark.parametrize("kept", [0, 10, 3000])
def test_a_damaged_release_is_one_line(release: Path, kept: int) -> None:
    release.write_bytes(release.read_bytes()[:kept])
    with pytest.raises(DatasetError, match=r"expected CUHK03's MATLAB 7\.3 file: .*fetch it again"):
        read_test_sets(release)


def test_another_structure_is_one_line(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "cuhk-03.mat", "w") as file:
        for name in ("labeled", "detected", "testsets"):
            file[name] = np.zeros((1, 5))
    readers: tuple[Callable[[Path], object], ...] = (
        read_test_sets,
        lambda release: unpack(release, "labeled", tmp_path / "images_labeled"),
    )
    for read in readers:
        with pytest.raises(DatasetError, match=r"expected CUHK03's MATLAB 7\.3 file: .*fetch it again"):
            read(tmp_path / "cuhk-03.mat")


def test_a_full_disk_is_not_blamed_on_the_release(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image, path: Path) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        unpack(release, "labeled", tmp_path / "images_labeled")


def test_a_variable_that_is_missing_is_named(release: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(release, "a") as file:
        del file["testsets"]
    with pytest.raises(DatasetError, match=r"expected the variable testsets, found .*detected"):
        read_test_sets(release)


def test_without_pictures_and_release_both_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"images_labeled or the file .*cuhk-03\.mat, found neither"):
        picture_folder(tmp_path, "labeled")


def test_names_tell_pair_person_and_view() -> None:
    assert parse_name(Path("5_049_2_10.png")) == (5, 49, 2)
    with pytest.raises(DatasetError, match=r"expected a name such as 1_001_1_01\.png, found 0001_c1_1\.png"):
        parse_name(Path("0001_c1_1.png"))
