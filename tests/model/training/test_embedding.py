from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.card import read_card
from model.errors import DatasetError
from model.preprocess import prepare
from model.runtime import Embedder
from model.training.datasets.images import LabelledImages
from model.training.datasets.reading import read_dataset
from model.training.embedding import GAIN, average, balance_by_camera, embed_images, mirror
from model.training.evaluation import Embedded
from tests.tiny_model import write_version


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    card = read_card(write_version(tmp_path / "version") / "card.json")
    return Embedder(tmp_path / "version" / "model.onnx", card.input, card.output, card.version)


@pytest.fixture
def images(market: Path) -> LabelledImages:
    return read_dataset(market).gallery.first(7)


def test_embeddings_are_those_of_the_pictures_by_any_batch(embedder: Embedder, images: LabelledImages) -> None:
    pictures = np.stack([prepare(path.read_bytes(), embedder.contract) for path in images.paths])
    for batch in (1, 3, 32):
        found = embed_images(embedder, images, batch=batch)
        assert found.embeddings == pytest.approx(embedder.embed(pictures), abs=1e-5)
        assert found.identities.tolist() == images.identities.tolist()


def test_mirrored_embeddings_are_those_of_the_mirrored_pictures(embedder: Embedder, images: LabelledImages) -> None:
    pictures = [prepare(path.read_bytes(), embedder.contract) for path in images.paths]
    turned = np.stack([[[row[-1 - x] for x in range(len(row))] for row in picture] for picture in pictures])
    found = embed_images(embedder, images, view=mirror)
    assert found.embeddings == pytest.approx(embedder.embed(turned), abs=1e-5)
    assert not np.allclose(found.embeddings, embed_images(embedder, images).embeddings, atol=1e-2)


def test_mirroring_exchanges_left_and_right_and_nothing_else() -> None:
    pictures = np.random.default_rng(0).integers(256, size=(2, 4, 3, 3), dtype=np.uint8)
    turned = mirror(pictures, np.array([1, 2]))
    assert turned[1, 2, 0].tolist() == pictures[1, 2, 2].tolist()
    assert mirror(turned, np.array([1, 2])).tolist() == pictures.tolist()
    assert turned.flags["C_CONTIGUOUS"]


def test_a_view_is_given_each_picture_with_its_camera(embedder: Embedder, images: LabelledImages) -> None:
    seen: list[int] = []

    def note(pictures: NDArray[np.uint8], cameras: NDArray[np.int64]) -> NDArray[np.uint8]:
        assert len(pictures) == len(cameras)
        seen.extend(cameras.tolist())
        return pictures

    embed_images(embedder, images, batch=3, view=note)
    assert seen == images.cameras.tolist()


def test_a_camera_has_one_white_balance_and_another_camera_another() -> None:
    grey = np.full((3, 2, 2, 3), 100, dtype=np.uint8)
    first, other, again = balance_by_camera(grey, np.array([4, 6, 4]))
    assert (first == again).all()
    assert (first == first[0, 0]).all()
    assert first[0, 0].tolist() != other[0, 0].tolist()
    gains = np.log(np.stack([balance_by_camera(grey[:1], np.array([camera]))[0, 0, 0] for camera in range(200)]) / 100)
    assert 0.9 * GAIN < abs(gains).max() < GAIN + 0.01
    assert abs(np.corrcoef(gains.T) - np.eye(3)).max() < 0.3  # each channel by itself
    assert balance_by_camera(np.full((1, 1, 1, 3), 255, dtype=np.uint8), np.array([4])).max() == 255  # not wrapped


def test_the_average_points_between_both() -> None:
    def rows(*values: tuple[float, float]) -> Embedded:
        return Embedded(np.array(values, dtype=np.float32), np.array([3, 4]), np.array([1, 2]))

    found = average(rows((1, 0), (0, 1)), rows((0, 1), (0, 1)))
    assert found.embeddings == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 1]]))
    assert (found.identities.tolist(), found.cameras.tolist()) == ([3, 4], [1, 2])
    assert found.embeddings.dtype == np.float32


def test_a_broken_picture_is_named(embedder: Embedder, tmp_path: Path) -> None:
    path = tmp_path / "0001_c1s1_000001_00.jpg"
    path.write_bytes(b"no picture")
    images = LabelledImages("made up", (path,), np.array([1]), np.array([1]))
    with pytest.raises(DatasetError, match=r"0001_c1s1_000001_00\.jpg; repair or remove"):
        embed_images(embedder, images)
