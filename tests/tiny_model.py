"""A model version small enough for tests: a real ONNX graph whose embedding is a projection of mean colours."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.card import (
    FILES,
    Calibration,
    Card,
    DataSummary,
    InputContract,
    Metrics,
    OutputContract,
    Parity,
    Threshold,
    write_card,
)

CALIBRATION = Calibration(
    protocol="made up for tests",
    identities=2,
    positive_pairs=2,
    negative_pairs=2,
    equal_error_rate=0.1,
    thresholds=tuple(
        Threshold(false_match_rate=rate, threshold=score, low=score, high=score, true_match_rate=0.9)
        for rate, score in ((0.01, 0.90), (0.001, 0.95), (0.0001, 0.99))
    ),
)

METRICS = Metrics(
    protocol="made up for tests; test",
    precision="fp32",
    rank1=70.0,
    rank5=80.0,
    rank10=90.0,
    mAP=50.0,
    mINP=20.0,
    queries=100,
    skipped=0,
    gallery=500,
    command="reid export",
)


def write_version(
    folder: Path,
    *,
    name: str = "tiny",
    number: int = 1,
    dim: int = 32,
    height: int = 32,
    width: int = 16,
    calibrated: bool = True,
    files: Sequence[str] = ("model.onnx",),
) -> Path:
    """Write a version's files and card into `folder`, as `Registry.import_version` takes them; return it."""
    contract, output = InputContract(height=height, width=width), OutputContract(dim=dim)
    data = build_graph(contract, output).SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(data)
    hashes = dict.fromkeys(files, hashlib.sha256(data).hexdigest())
    card = tiny_card(f"{name}@{number}", contract, output, hashes, CALIBRATION if calibrated else None)
    write_card(card, folder / "card.json")
    return folder


def tiny_card(
    version: str,
    contract: InputContract,
    output: OutputContract,
    files: dict[str, str],
    calibration: Calibration | None = CALIBRATION,
) -> Card:
    """Return a card that says what the files are, and what the promotion gate asks for."""
    return Card(
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        loss={},
        recipe={},
        data=DataSummary(name="none", images=0, identities=0, cameras=0, file_list_sha256="0" * 64, terms="none"),
        seed=0,
        commit="0" * 40,
        metrics=(METRICS,),
        calibration=calibration,
        input=contract,
        output=output,
        parity=tuple(
            Parity(
                precision=precision,
                images=9,
                batch_sizes=(1,),
                least_cosine=1.0,
                mean_cosine=1.0,
                rank1_difference=0.0,
                mAP_difference=0.0,
            )
            for precision, name in FILES.items()
            if name in files
        ),
        files=files,
        terms="for tests",
    )


def build_graph(
    contract: InputContract,
    output: OutputContract,
    *,
    normalise: bool = True,
    factor: float = 1.0,
    batch: int | str = "batch",
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Return uint8 pictures -> mean colours of a grid -> random projection -> times `factor` -> unit length."""
    rows, columns = max(1, contract.height // 8), max(1, contract.width // 8)
    pool = [contract.height // rows, contract.width // columns]
    cells = 3 * (contract.height // pool[0]) * (contract.width // pool[1])
    projection = np.random.default_rng(0).normal(size=(cells, output.dim)).astype(np.float32) * factor
    last = helper.make_node("LpNormalization", ["raw"], [output.name], axis=1, p=2)
    nodes = [
        helper.make_node("Cast", [contract.name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "shift"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["grid"], kernel_shape=pool, strides=pool),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("MatMul", ["flat", "projection"], ["raw"]),
        last if normalise else helper.make_node("Identity", ["raw"], [output.name]),
    ]
    taken = [batch, contract.height, contract.width, 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(contract.name, TensorProto.UINT8, taken)],
        [helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [batch, output.dim])],
        [
            numpy_helper.from_array(np.array([117.3], np.float32), "shift"),
            numpy_helper.from_array(projection, "projection"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    said = {"reid.contract": json.dumps({"input": contract.model_dump(), "output": output.model_dump()})}
    helper.set_model_props(made, said if metadata is None else metadata)
    return made
