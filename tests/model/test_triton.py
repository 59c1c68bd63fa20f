import re
from pathlib import Path

import onnxruntime
import pytest

from model.card import read_card
from model.registry import Registry
from model.triton import triton_config
from tests.tiny_model import write_version

TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models", tmp_path / "bundled")


def config(registry: Registry, name: str = "tiny") -> str:
    return (registry.root / name / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("files", "run"),
    [
        (("model.int8.onnx",), "model.int8.onnx"),
        (("model.onnx",), "model.onnx"),
        (("model.onnx", "model.int8.onnx"), "model.onnx"),
    ],
)
def test_it_says_what_the_file_that_triton_runs_takes_and_gives(
    registry: Registry, tmp_path: Path, files: tuple[str, ...], run: str
) -> None:
    registry.import_version(write_version(tmp_path / "made", number=3, files=files))
    text = config(registry)
    assert f'default_model_filename: "{run}"' in text
    assert "version_policy: { specific { versions: [ 3 ] } }" in text
    session = onnxruntime.InferenceSession(registry.root / "tiny" / "3" / run)
    for kind, (tensor,) in (("input", session.get_inputs()), ("output", session.get_outputs())):
        dims = ", ".join(map(str, tensor.shape[1:]))  # without the batch, which max_batch_size stands for
        assert f'{kind} [{{ name: "{tensor.name}" data_type: {TYPES[tensor.type]} dims: [ {dims} ] }}]' in text
    assert re.search(r"^max_batch_size: [1-9]", text, re.MULTILINE)
    assert 'platform: "onnxruntime_onnx"' in text


def test_a_name_is_that_of_its_folder_and_its_version_there(registry: Registry, tmp_path: Path) -> None:
    for number, dim in ((2, 16), (1, 32)):  # the lower one comes later
        registry.import_version(write_version(tmp_path / f"v{number}", number=number, dim=dim))
    text = config(registry)
    assert text == triton_config(registry.card("tiny@2"))
    assert 'name: "tiny"' in text
    assert "dims: [ 16 ]" in text
    assert (registry.root / "tiny" / "2" / "model.onnx").is_file()


def test_the_highest_version_that_is_left_follows_one_that_is_removed(registry: Registry, tmp_path: Path) -> None:
    for number, dim in ((1, 32), (2, 16)):
        registry.import_version(write_version(tmp_path / f"v{number}", number=number, dim=dim))
    registry.remove("tiny@2")
    assert config(registry) == triton_config(registry.card("tiny@1"))
    registry.remove("tiny@1")
    assert not (registry.root / "tiny").exists()


def test_a_card_alone_gives_it(tmp_path: Path) -> None:
    card = read_card(write_version(tmp_path / "made", height=256, width=128) / "card.json")
    assert "dims: [ 256, 128, 3 ]" in triton_config(card)
