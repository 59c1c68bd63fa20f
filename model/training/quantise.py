"""Static int8 quantisation of an exported file, calibrated on training crops."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from model.card import InputContract
from model.training.embedding import prepared_batches

# The stem, the first block of a ResNet-50 and the layers after the last convolution stay in float32: they cost little
# time and most accuracy (mean cosine to the network on held-out people: 0.985 with the stem alone, 0.993 with both).
EXACT_CONVOLUTIONS = 5
QUANTISED = ["Conv", "Add", "MaxPool"]
ACTIVATIONS_KEPT = 99.999  # percent of the activations that lie in the ranges; the rest saturate
_BATCH = 1  # the collector of activations wants every batch to be of one size


class _Crops(CalibrationDataReader):  # type: ignore[misc]
    """Feed training crops to the quantiser, batch by batch."""

    def __init__(self, paths: tuple[Path, ...], contract: InputContract) -> None:
        self.name = contract.name
        self.batches: Iterator[NDArray[np.uint8]] = prepared_batches(paths, contract, _BATCH)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def quantise(source: Path, target: Path, contract: InputContract, crops: tuple[Path, ...]) -> None:
    """Write `source` as QDQ int8, weights per channel, ranges from the crops; its contract stays in the metadata.

    Weights use 7 of their 8 bits, so that processors without VNNI do not saturate (reduced range).
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)  # it fails on a dynamic batch
        quantize_static(
            prepared,
            target,
            _Crops(crops, contract),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=first_convolutions(prepared, EXACT_CONVOLUTIONS),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": ACTIVATIONS_KEPT},
        )
    proto = onnx.load(target)
    onnx.helper.set_model_props(proto, {item.key: item.value for item in onnx.load(source).metadata_props})
    onnx.save(proto, target)


def first_convolutions(path: Path, count: int) -> list[str]:
    """Return the names of the graph's first convolutions."""
    names = [str(node.name) for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    return names[:count]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's own prints and root warnings from the user's terminal and from `--json`."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
