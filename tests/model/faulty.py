"""Version folders whose card and hashes are right and whose ONNX file is not."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.card import InputContract, OutputContract, read_card, write_card
from tests.tiny_model import build_graph, write_version

INPUT = InputContract(height=32, width=16)
OUTPUT = OutputContract(dim=32)


def faulty_version(folder: Path, content: bytes, *, name: str = "tiny", number: int = 2) -> Path:
    """Write a version whose card lists the right hash of a wrong model file."""
    write_version(folder, name=name, number=number)
    (folder / "model.onnx").write_bytes(content)
    card = read_card(folder / "card.json")
    digest = hashlib.sha256(content).hexdigest()
    write_card(card.model_copy(update={"files": {"model.onnx": digest}}), folder / "card.json")
    return folder


def _whole() -> bytes:
    return bytes(build_graph(INPUT, OUTPUT).SerializeToString())


def _said() -> str:
    """What the metadata of the right file say."""
    return str(build_graph(INPUT, OUTPUT).metadata_props[0].value)


def _flipped() -> bytes:
    """A bit of the graph's structure is another."""
    data = bytearray(_whole())
    data[data.index(b"AveragePool")] ^= 4
    return bytes(data)


def _changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    graph = build_graph(INPUT, OUTPUT)
    change(graph)
    return bytes(graph.SerializeToString())


def _float_input(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _later_opset(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 9999


def _unknown_operator(made: onnx.ModelProto) -> None:
    made.graph.node[1].op_type = "Teleport"


def _unknown_domain(made: onnx.ModelProto) -> None:
    made.graph.node[1].domain = "somebody.elses"
    made.opset_import.append(helper.make_opsetid("somebody.elses", 1))


def _data_elsewhere(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(made: onnx.ModelProto) -> None:
        (projection,) = [each for each in made.graph.initializer if each.name == "projection"]
        projection.ClearField("raw_data")
        projection.data_location = TensorProto.EXTERNAL
        projection.external_data.add(key="location", value=location)

    return change


def _one_embedding_for_all(made: onnx.ModelProto) -> None:
    (projection,) = [each for each in made.graph.initializer if each.name == "projection"]
    nothing = np.zeros_like(numpy_helper.to_array(projection))
    projection.CopyFrom(numpy_helper.from_array(nothing, "projection"))
    made.graph.initializer.append(numpy_helper.from_array(np.ones(OUTPUT.dim, np.float32), "ones"))
    made.graph.node[-1].input[0] = "shifted"
    made.graph.node.insert(len(made.graph.node) - 1, helper.make_node("Add", ["raw", "ones"], ["shifted"]))


def _mixed_over_the_batch(made: onnx.ModelProto) -> None:
    """Batch statistics were left in training mode: a picture's embedding depends on its neighbours."""
    made.graph.node[-1].input[0] = "centred_raw"
    mean = helper.make_node("ReduceMean", ["raw"], ["mean"], axes=[0], keepdims=1)
    half = helper.make_node("Mul", ["mean", "half"], ["part"])
    made.graph.initializer.append(numpy_helper.from_array(np.array([0.5], np.float32), "half"))
    centred = helper.make_node("Sub", ["raw", "part"], ["centred_raw"])
    for node in (mean, half, centred):
        made.graph.node.insert(len(made.graph.node) - 1, node)


# What is wrong -> the file's bytes, and what is told of it.
FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "model.onnx"),
    "garbage": (bytes(range(256)) * 40, r"model\.onnx is not an ONNX model that can be run"),
    "truncated": (_whole()[:2000], r"model\.onnx is not an ONNX model that can be run"),
    "a flipped bit": (_flipped(), r"model\.onnx is not an ONNX model that can be run"),
    "another dimension": (
        build_graph(INPUT, OutputContract(dim=48)).SerializeToString(),
        r"the card's output is .*dim=32.*, the file's is .*dim=48",
    ),
    "another dimension behind right metadata": (
        build_graph(
            INPUT,
            OutputContract(dim=48),
            metadata={"reid.contract": _said()},
        ).SerializeToString(),
        r"expected the output embeddings, tensor\(float\) \('N', 32\), found .*48",
    ),
    "another input size": (
        build_graph(InputContract(height=64, width=32), OUTPUT).SerializeToString(),
        r"the card's input is .*height=32.*, the file's is .*height=64",
    ),
    "float input": (_changed(_float_input), r"expected the input images, tensor\(uint8\).*found .*tensor\(float\)"),
    "no contract": (build_graph(INPUT, OUTPUT, metadata={}).SerializeToString(), r"reid\.contract, found none"),
    "not normalised": (build_graph(INPUT, OUTPUT, normalise=False).SerializeToString(), "unit length, found lengths"),
    "not a number": (
        build_graph(INPUT, OUTPUT, factor=float("nan")).SerializeToString(),
        "unit length, found lengths nan",
    ),
    "one embedding for all": (_changed(_one_embedding_for_all), "cannot tell anybody apart"),
    "embeddings mixed over the batch": (
        _changed(_mixed_over_the_batch),
        "alone than in a batch of 4",
    ),
    "a later opset": (_changed(_later_opset), r"model\.onnx is not an ONNX model that can be run"),
    "an unknown operator": (_changed(_unknown_operator), r"model\.onnx is not an ONNX model that can be run.*Teleport"),
    "an unknown domain": (_changed(_unknown_domain), r"model\.onnx is not an ONNX model that can be run"),
    "weights in another file": (
        _changed(_data_elsewhere("weights.bin")),
        "its weights are in another file; save it again as one file",
    ),
    "weights outside its folder": (
        _changed(_data_elsewhere("../../secret.bin")),
        "its weights are in another file; save it again as one file",
    ),
}
