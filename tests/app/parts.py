"""A model version and pictures small enough for tests, and an application over the real parts."""

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from app.settings import Settings, load_settings
from model.card import (
    Calibration,
    Card,
    DataSummary,
    InputContract,
    OutputContract,
    Threshold,
    write_card,
)
from model.synthetic import encode_jpeg, render

INPUT = InputContract(height=128, width=64)
OUTPUT = OutputContract(dim=96)
VERSION = "tiny@1"
CALIBRATION = Calibration(
    protocol="made up for tests",
    identities=2,
    positive_pairs=2,
    negative_pairs=2,
    equal_error_rate=0.1,
    thresholds=tuple(
        Threshold(false_match_rate=rate, threshold=line, low=line, high=line, true_match_rate=0.9)
        for rate, line in ((0.01, 0.90), (0.001, 0.95), (0.0001, 0.99))
    ),
)


def write_version(
    registry: Path, version: str = VERSION, *, calibration: Calibration | None = CALIBRATION, shift: float = 117.3
) -> None:
    """Write a version whose embedding is the mean colours of an 8 x 4 grid, less `shift`, at length 1."""
    name, _, number = version.partition("@")
    folder = registry / name / number
    folder.mkdir(parents=True)
    data = _graph(shift).SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    write_card(_card(version, calibration, hashlib.sha256(data).hexdigest()), folder / "card.json")


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


def _card(version: str, calibration: Calibration | None, sha256: str) -> Card:
    data = DataSummary(name="none", images=0, identities=0, cameras=0, file_list_sha256="0" * 64, terms="none")
    return Card(
        version=version,
        created=datetime(2026, 5, 1, tzinfo=UTC),
        loss={"name": "none"},
        recipe={},
        data=data,
        seed=0,
        commit="none",
        metrics=(),
        calibration=calibration,
        input=INPUT,
        output=OUTPUT,
        parity=(),
        files={"model.onnx": sha256},
        terms="none",
    )


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
