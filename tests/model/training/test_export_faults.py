"""A fault planted anywhere between the picture and the embedding stops the export."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from model import preprocess
from model.card import Card, InputContract, OutputContract, write_card
from model.errors import ExportError
from model.parity import TOLERANCES
from model.runtime import Contract
from model.training import export as module
from model.training import serving
from model.training.augment import MEAN, STD, normalise
from model.training.datasets import files
from model.training.datasets.reading import read_dataset
from model.training.export import export
from model.training.network import ReidNetwork
from model.training.serving import ServedNetwork, write_onnx
from tests.model.training.conftest import LOOSE

Plant = Callable[[pytest.MonkeyPatch], None]


def graph_normalises(wrong: Callable[[Tensor], Tensor]) -> Plant:
    """Plant another normalisation in the graph alone."""
    return lambda patch: patch.setattr(serving, "normalise", wrong)


def scaled(images: Tensor, *, mean: tuple[float, ...], std: tuple[float, ...], white: float) -> Tensor:
    x = images.float()
    return (x / white - x.new_tensor(mean).view(3, 1, 1)) / x.new_tensor(std).view(3, 1, 1)


def unit_length_skipped(network: ServedNetwork, images: Tensor) -> Tensor:
    inner = network.network
    return inner.neck(inner._feature(normalise(images.permute(0, 3, 1, 2))))  # type: ignore[no-any-return]


def neck_skipped(network: ServedNetwork, images: Tensor) -> Tensor:
    return functional.normalize(network.network._feature(normalise(images.permute(0, 3, 1, 2))), dim=1)


def graph_computes(wrong: Callable[[ServedNetwork, Tensor], Tensor]) -> Plant:
    return lambda patch: patch.setattr(ServedNetwork, "forward", wrong)


def resized_by(method: Image.Resampling) -> Plant:
    """Plant another resampling in the preprocessing, which evaluation and training's loader use as well."""

    def wrong(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        return np.array(Image.fromarray(rgb).resize((width, height), method))

    return lambda patch: patch.setattr(preprocess, "resize", wrong)


def prepared_by(wrong: Callable[[bytes, InputContract], NDArray[np.uint8]]) -> Plant:
    """Plant another preprocessing as a whole, again for everybody."""
    return lambda patch: patch.setattr(files, "prepare", wrong)


def sized(height: int, width: int) -> Callable[[bytes, InputContract], NDArray[np.uint8]]:
    return lambda data, _: preprocess.prepare(data, InputContract(height=height, width=width))


def mirrored(data: bytes, contract: InputContract) -> NDArray[np.uint8]:
    return preprocess.prepare(data, contract)[:, ::-1]


def bgr(data: bytes, contract: InputContract) -> NDArray[np.uint8]:
    return preprocess.prepare(data, contract)[:, :, ::-1]


def metadata_of_another_size(patch: pytest.MonkeyPatch) -> None:
    wrong = InputContract(height=128, width=64)
    patch.setattr(serving, "Contract", lambda **said: Contract(**{**said, "input": wrong}))


def graph_of_another_size(patch: pytest.MonkeyPatch) -> None:
    """Plant a graph of 128×64 that says in its metadata that it takes 64×32."""
    right = InputContract(height=64, width=32)

    def wrong(network: ReidNetwork, _: InputContract, path: Path) -> OutputContract:
        return write_onnx(network, InputContract(height=128, width=64), path)

    patch.setattr(serving, "Contract", lambda **said: Contract(**{**said, "input": right}))
    patch.setattr(module, "write_onnx", wrong)


def card_of_another_size(patch: pytest.MonkeyPatch) -> None:
    """Plant it in the card alone, after all is measured."""

    def wrong(card: Card, path: Path) -> None:
        write_card(card.model_copy(update={"input": InputContract(height=32, width=64)}), path)

    patch.setattr(module, "write_card", wrong)
    patch.setitem(TOLERANCES, "int8", LOOSE)


FAULTS: dict[str, tuple[Plant, str]] = {
    "graph takes BGR": (graph_normalises(lambda images: normalise(images.flip(1))), "fp32: .*cosine"),
    "no normalisation": (graph_normalises(lambda images: images.float() / 255), "fp32: .*cosine"),
    "std of one half": (
        graph_normalises(lambda images: scaled(images, mean=MEAN, std=(0.5,) * 3, white=255)),
        "fp32: .*cosine",
    ),
    "std a tenth too large": (
        graph_normalises(lambda images: scaled(images, mean=MEAN, std=tuple(1.1 * s for s in STD), white=255)),
        "fp32: .*cosine",
    ),
    "0 to 255 for 0 to 1": (
        graph_normalises(lambda images: scaled(images, mean=MEAN, std=STD, white=1)),
        "fp32: .*cosine",
    ),
    "no unit length": (graph_computes(unit_length_skipped), "expected embeddings of unit length, found lengths"),
    "embedding before the neck": (graph_computes(neck_skipped), "fp32: .*cosine"),
    "nearest": (resized_by(Image.Resampling.NEAREST), "served pixels: .*grey levels"),
    "bicubic": (resized_by(Image.Resampling.BICUBIC), "served pixels: .*grey levels"),
    "height for width": (prepared_by(sized(32, 64)), r"served pixels: expected \(64, 32, 3\) .*found \(32, 64, 3\)"),
    "another size": (prepared_by(sized(48, 24)), r"served pixels: expected \(64, 32, 3\) .*found \(48, 24, 3\)"),
    "mirrored": (prepared_by(mirrored), "served pixels: .*grey levels"),
    "serving gives BGR": (prepared_by(bgr), "served pixels: .*grey levels"),
    "metadata of another size": (metadata_of_another_size, "model.onnx: the card's input .*64.*128"),
    "graph of another size": (graph_of_another_size, "model.onnx: expected the input images"),
    "card of another size": (card_of_another_size, "model.*onnx: the card's input .*height=32.*height=64"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_the_export_and_leaves_nothing(
    fault: str, run: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, message = FAULTS[fault]
    plant(monkeypatch)
    with pytest.raises(ExportError, match=message) as failure:
        export(run, read_dataset(market), tmp_path / "out", version="tiny@1", terms="none", command="reid export")
    assert len(str(failure.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_the_version_before_as_it_was(
    run: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("card.json", "model.onnx", "model.int8.onnx"):
        (tmp_path / name).write_text("the version before")
    resized_by(Image.Resampling.NEAREST)(monkeypatch)
    with pytest.raises(ExportError):
        export(run, read_dataset(market), tmp_path, version="tiny@1", terms="none", command="reid export")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"the version before"}
