"""The network as it is served: uint8 pictures in, unit embeddings out, as one ONNX file."""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from model.card import InputContract, OutputContract
from model.runtime import CONTRACT_KEY, Contract
from model.training.augment import normalise
from model.training.network import ReidNetwork

OPSET = 18
_TRACED_BATCH = 2  # not 1, which the tracer would take for a constant


class ServedNetwork(nn.Module):
    """Take uint8 RGB `(N, H, W, 3)`; normalise, embed and L2-normalise inside."""

    def __init__(self, network: ReidNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().float().eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return unit embeddings `(N, D)`."""
        return self.network.embed(normalise(images.permute(0, 3, 1, 2)))


def write_onnx(network: ReidNetwork, contract: InputContract, path: Path) -> OutputContract:
    """Write the served network with its contract in the metadata; return what the file gives."""
    output = OutputContract(dim=network.dim)
    example = torch.zeros(_TRACED_BATCH, contract.height, contract.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations inside its exporter
        program = torch.onnx.export(
            ServedNetwork(network),
            (example,),
            input_names=[contract.name],
            output_names=[output.name],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")  # torch's notes of where it was called from, with this machine's paths
    proto.metadata_props.add(key=CONTRACT_KEY, value=Contract(input=contract, output=output).model_dump_json())
    onnx.save(proto, path)
    return output
