"""A model version and pictures small enough for tests, and an application over the real parts."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from app.settings import Settings, load_settings
from model.card import Calibration, InputContract, OutputContract, write_card
from model.synthetic import encode_jpeg, render
from tests.tiny_model import CALIBRATION, tiny_card

INPUT = InputContract(height=128, width=64)
OUTPUT = OutputContract(dim=96)
VERSION = "tiny@1"


def write_version(
    registry: Path, version: str = VERSION, *, calibration: Calibration | None = CALIBRATION, shift: float = 117.3
) -> None:
    """Write a version whose embedding is the mean colours of an 8 x 4 grid, less `shift`, at length 1."""
    name, _, number = version.partition("@")
    folder = registry / name / number
    folder.mkdir(parents=True)
    data = _graph(shift).SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    write_card(
        tiny_card(version, INPUT, OUTPUT, {"model.onnx": hashlib.sha256(data).hexdigest()}, calibration),
        folder / "card.json",
    )


def _graph(shift: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", [INPUT.name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["grid"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("Sub", ["flat", "shift"], ["shifted"]),
        helper.make_node("LpNormalization", ["shifted"], [OUTPUT.name], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT.name, TensorProto.UINT8, ["batch", INPUT.height, INPUT.width, 3])],
        [helper.make_tensor_value_info(OUTPUT.name, TensorProto.FLOAT, ["batch", OUTPUT.dim])],
        [helper.make_tensor("shift", TensorProto.FLOAT, [1], [shift])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    contract = {"input": INPUT.model_dump(), "output": OUTPUT.model_dump()}
    helper.set_model_props(made, {"reid.contract": json.dumps(contract)})
    return made


def tiny_settings(folder: Path, **more: Any) -> Settings:  # noqa: ANN401 - any setting
    """Return settings whose folders lie in `folder` and whose model is the tiny version."""
    if not (folder / "models").exists():
        write_version(folder / "models")
    given: dict[str, Any] = {"data_dir": folder, "model": VERSION, "threads": 1, "log_level": "warning"}
    return load_settings(**(given | more))


def person(identity: int, view: int = 0, camera: int = 0) -> bytes:
    """Return a rendered pedestrian as a JPEG."""
    return encode_jpeg(render(identity, camera, view))


def encode(rgb: NDArray[np.uint8] | NDArray[np.uint16], kind: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's options
    """Return a picture in any of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def tiny_embedding(rgb: NDArray[np.uint8], shift: float = 117.3) -> NDArray[np.float64]:
    """Compute what the tiny version does, slowly and in float64, (128, 64, 3) -> (96,)."""
    cells = [
        rgb[16 * row : 16 * row + 16, 16 * column : 16 * column + 16, channel].astype(np.float64).mean() - shift
        for channel in range(3)
        for row in range(8)
        for column in range(4)
    ]
    vector = np.asarray(cells)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
