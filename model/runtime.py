"""A model version at work: batches of pictures to embeddings, through ONNX Runtime."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from model.card import InputContract, OutputContract
from model.errors import ContractError, VersionDamaged

CONTRACT_KEY = "reid.contract"  # of the ONNX file's metadata
CPU = ("CPUExecutionProvider",)
_UNIT_TOLERANCE = 1e-3


class Contract(BaseModel):
    """What an ONNX file takes and gives, as it says itself."""

    model_config = ConfigDict(frozen=True)

    input: InputContract
    output: OutputContract


class Embedder:
    """Embed pictures with one ONNX file.

    Safe to be called from several threads. `threads` is what one call may use; 0 leaves it to ONNX Runtime.
    Raises `VersionDamaged` when the file is not a model, `ContractError` when it is one of another contract.
    """

    def __init__(
        self,
        path: Path,
        contract: InputContract,
        output: OutputContract,
        version: str,
        threads: int = 0,
        providers: Sequence[str] = CPU,
    ) -> None:
        self.version = version
        self.contract = contract
        self.dim = output.dim
        self._output = output
        self._session = _open_session(path, threads, providers)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self._check_contract(path.name)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return unit embeddings `(N, D)` float32 of uint8 RGB pictures `(N, H, W, 3)`."""
        expected = (self.contract.height, self.contract.width, 3)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ContractError(f"expected uint8 (N, {expected}), found {images.dtype} {images.shape}")
        if not len(images):
            return np.empty((0, self.dim), dtype=np.float32)
        embeddings: NDArray[np.float32] = self._session.run([self._output.name], {self.contract.name: images})[0]
        self._check_output(embeddings, len(images))
        return embeddings

    def _check_contract(self, file: str) -> None:
        found = read_contract(self._session.get_modelmeta().custom_metadata_map, file)
        for part, said, wanted in (
            ("input", found.input, self.contract),
            ("output", found.output, self._output),
        ):
            if said != wanted:
                raise ContractError(f"{file}: the card's {part} is {wanted!r}, the file's is {said!r}")
        names = [item.name for item in self._session.get_inputs()], [item.name for item in self._session.get_outputs()]
        if names != ([self.contract.name], [self._output.name]):
            raise ContractError(
                f"{file}: expected input {self.contract.name} and output {self._output.name}, found {names}"
            )

    def _check_output(self, embeddings: NDArray[np.float32], count: int) -> None:
        if embeddings.shape != (count, self.dim):
            raise ContractError(f"expected embeddings ({count}, {self.dim}), found {embeddings.shape}")
        lengths = np.linalg.norm(embeddings, axis=1)
        if not np.all(np.abs(lengths - 1) <= _UNIT_TOLERANCE):  # NaN fails it too
            raise ContractError(f"expected embeddings of unit length, found lengths {lengths.min()} to {lengths.max()}")


def read_contract(metadata: dict[str, str], file: str) -> Contract:
    """Return what an ONNX file's metadata say it takes and gives; raise `ContractError` when they do not."""
    if CONTRACT_KEY not in metadata:
        raise ContractError(f"{file}: expected the metadata entry {CONTRACT_KEY}, found {sorted(metadata) or 'none'}")
    try:
        return Contract.model_validate(json.loads(metadata[CONTRACT_KEY]))
    except (ValueError, ValidationError) as exc:
        raise ContractError(f"{file}: the metadata entry {CONTRACT_KEY} is not a contract: {exc}") from exc


def _open_session(path: Path, threads: int, providers: Sequence[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # with changing batch sizes the arena only grows
    options.log_severity_level = 3
    unknown = set(providers) - set(ort.get_available_providers())
    if unknown:
        raise ContractError(f"expected providers out of {ort.get_available_providers()}, found {sorted(unknown)}")
    try:
        return ort.InferenceSession(path, options, providers=list(providers))
    except (RuntimeError, ort.capi.onnxruntime_pybind11_state.InvalidProtobuf) as exc:
        raise VersionDamaged(f"{path.name} is not an ONNX model that can be run: {type(exc).__name__}") from exc
