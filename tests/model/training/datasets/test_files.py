from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.card import InputContract
from model.errors import DatasetError
from model.training.datasets.files import check_duplicates, check_readable, find_duplicates, prepare_file
from model.training.datasets.images import LabelledImages, label_files
from tests.model.training.datasets.trees import write_picture


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(write_picture(tmp_path / f"{number}.jpg", seed=number) for number in range(6))


def labelled(paths: tuple[Path, ...], identities: list[int]) -> LabelledImages:
    return label_files("people", list(paths), [(identity, 1) for identity in identities])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def test_whole_pictures_pass(paths: tuple[Path, ...]) -> None:
    check_readable(paths)


def test_all_broken_pictures_are_told_in_one_error(paths: tuple[Path, ...]) -> None:
    for path in paths[1:5]:
        cut(path)
    with pytest.raises(DatasetError, match=r"^4 of 6 pictures cannot be read: .*1\.jpg, .*2\.jpg, .*3\.jpg, …; repair"):
        check_readable(paths)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the first: expected"), (b"GIF89a" * 9, "the first: expected"), (None, "No such file")],
)
def test_the_first_reason_is_told(paths: tuple[Path, ...], content: bytes | None, reason: str) -> None:
    paths[3].unlink() if content is None else paths[3].write_bytes(content)
    with pytest.raises(DatasetError, match=f"1 of 6 pictures cannot be read: .*3\\.jpg; .*{reason}"):
        check_readable(paths)


def test_a_picture_is_prepared_as_it_is_served(paths: tuple[Path, ...]) -> None:
    assert prepare_file(paths[0], InputContract(height=64, width=32)).shape == (64, 32, 3)
    cut(paths[0])
    with pytest.raises(DatasetError, match=r"0\.jpg: expected a whole .*repair or remove the file"):
        prepare_file(paths[0], InputContract(height=64, width=32))


def test_duplicates_are_found_by_their_bytes(paths: tuple[Path, ...]) -> None:
    paths[4].write_bytes(paths[0].read_bytes())
    paths[5].write_bytes(paths[0].read_bytes())
    twin = bytearray(paths[1].read_bytes())
    twin[-5] ^= 1  # of the same size, and another picture
    paths[2].write_bytes(twin)
    assert find_duplicates(paths) == [[0, 4, 5]]


def test_one_picture_of_two_identities_is_refused(paths: tuple[Path, ...]) -> None:
    paths[4].write_bytes(paths[0].read_bytes())
    images = labelled(paths, [1, 1, 2, 2, 3, 3])
    with pytest.raises(
        DatasetError, match=r"pictures that are there under several identities: 1, .*0\.jpg, .*4\.jpg; remove"
    ):
        check_duplicates(images, published=False)


def test_what_was_published_like_that_is_told(paths: tuple[Path, ...], caplog: pytest.LogCaptureFixture) -> None:
    paths[4].write_bytes(paths[0].read_bytes())
    check_duplicates(labelled(paths, [1, 1, 2, 2, 3, 3]), published=True)
    assert "pictures that are there under several identities: 1, " in caplog.text


def test_copies_of_one_identity_are_counted(paths: tuple[Path, ...], caplog: pytest.LogCaptureFixture) -> None:
    for path in paths[1:3]:
        path.write_bytes(paths[0].read_bytes())
    images = labelled(paths, [1] * 6)
    check_duplicates(images, published=False)
    assert "people: copies of other files, of the same identity: 2" in caplog.text
    caplog.clear()
    check_duplicates(replace(images.subset(np.arange(6) > 1)), published=False)
    assert not caplog.text
