"""A model version at work: batches of pictures to embeddings, through ONNX Runtime."""

import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from pydantic import BaseModel, ConfigDict, ValidationError

from model.card import InputContract, OutputContract
from model.errors import ContractError, ProviderMissing, VersionDamaged

CONTRACT_KEY = "reid.contract"  # of the ONNX file's metadata
CPU = ("CPUExecutionProvider",)
NICE = 15  # a twenty-eighth of the share that a thread of normal priority gets of a core that both want
_UNIT_TOLERANCE = 1e-3
T = TypeVar("T")
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (  # they share no base but Exception
    ort_errors.EngineError,
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.ModelRequiresCompilation,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotFound,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
)


class Contract(BaseModel):
    """What an ONNX file takes and gives, as it says itself."""

    model_config = ConfigDict(frozen=True)

    input: InputContract
    output: OutputContract


class Embedder:
    """Embed pictures with one ONNX file.

    Safe to be called from several threads. `threads` is what one call may use; 0 leaves it to ONNX Runtime. With
    `side_by_side` the file is opened once more, for calls that use the calling thread alone; only the CPU has such.
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
        *,
        side_by_side: bool = False,
    ) -> None:
        self.version = version
        self.contract = contract
        self.dim = output.dim
        self._output = output
        self._session = _open_session(path, threads, providers)
        apart = side_by_side and threads != 1 and tuple(providers) == CPU
        self._alone = _open_session(path, 1, providers) if apart else self._session
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self._check_contract(path.name)

    def embed(self, images: NDArray[np.uint8], *, alone: bool = False) -> NDArray[np.float32]:
        """Return unit embeddings `(N, D)` float32 of uint8 RGB pictures `(N, H, W, 3)`.

        `alone` keeps to the calling thread where the model was opened for it: more in all of several calls at once.
        Raises `ContractError` when the pictures are not that, or what comes out is not.
        """
        height, width = self.contract.height, self.contract.width
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, 3):
            raise ContractError(
                f"expected pictures as uint8 (N, {height}, {width}, 3), found {images.dtype} {images.shape}"
            )
        if not len(images):
            return np.empty((0, self.dim), dtype=np.float32)
        session = self._alone if alone else self._session
        try:
            embeddings: NDArray[np.float32] = session.run([self._output.name], {self.contract.name: images})[0]
        except _RUNTIME_ERRORS as exc:
            raise ContractError(f"{self.version} does not run on a batch of {len(images)}: {_reason(exc)}") from exc
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
        height, width = self.contract.height, self.contract.width
        _check_tensor(file, "input", self._session.get_inputs(), self.contract.name, "uint8", (None, height, width, 3))
        _check_tensor(file, "output", self._session.get_outputs(), self._output.name, "float", (None, self.dim))

    def _check_output(self, embeddings: NDArray[np.float32], count: int) -> None:
        if embeddings.shape != (count, self.dim):
            raise ContractError(f"expected embeddings ({count}, {self.dim}), found {embeddings.shape}")
        lengths = np.linalg.norm(embeddings, axis=1)
        if not np.all(np.abs(lengths - 1) <= _UNIT_TOLERANCE):  # NaN fails it too
            raise ContractError(f"expected embeddings of unit length, found lengths {lengths.min()} to {lengths.max()}")


def in_computing_thread(call: Callable[[], T]) -> T:
    """Call in a thread that gives way; ONNX Runtime's own threads get the priority of the one that opens a session."""
    with ThreadPoolExecutor(1, initializer=give_way) as thread:
        return thread.submit(call).result()


def give_way() -> None:
    """Let the calling thread compute when no other wants the core, as far as the system lets it choose.

    A model computes on every core. What answers, refuses and decodes is to be quick also while it does.
    """
    thread = threading.get_native_id()
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def read_contract(metadata: dict[str, str], file: str) -> Contract:
    """Return what an ONNX file's metadata say it takes and gives; raise `ContractError` when they do not."""
    if CONTRACT_KEY not in metadata:
        raise ContractError(f"{file}: expected the metadata entry {CONTRACT_KEY}, found {sorted(metadata) or 'none'}")
    try:
        return Contract.model_validate(json.loads(metadata[CONTRACT_KEY]))
    except (ValueError, ValidationError) as exc:
        raise ContractError(f"{file}: the metadata entry {CONTRACT_KEY} is not a contract: {exc}") from exc


def _check_tensor(
    file: str, role: str, tensors: Sequence[ort.NodeArg], name: str, dtype: str, shape: tuple[int | None, ...]
) -> None:
    """Check the graph itself against the contract: the metadata are only what somebody wrote into it."""
    found = [(item.name, item.type, tuple(item.shape)) for item in tensors]
    wanted = f"the {role} {name}, tensor({dtype}) {('N', *shape[1:])}"
    if len(found) != 1 or found[0][:2] != (name, f"tensor({dtype})") or not _fits(found[0][2], shape):
        raise ContractError(f"{file}: expected {wanted}, found {found}")


def _fits(shape: Sequence[int | str | None], expected: Sequence[int | None]) -> bool:
    """Tell whether a graph's shape has the expected sizes; None must be free, and what is free fits any size."""
    return len(shape) == len(expected) and all(
        not isinstance(size, int) or size == wanted for size, wanted in zip(shape, expected, strict=True)
    )


def _open_session(path: Path, threads: int, providers: Sequence[str]) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if not providers or set(providers) - set(available):
        raise ProviderMissing(
            f"expected execution providers out of {', '.join(available)}, found {', '.join(providers) or 'none'}"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised
    # threads that wait for the next call awake, as they do within one, take a quarter more of the cores than the model
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = in_computing_thread(lambda: ort.InferenceSession(path, options, providers=list(providers)))
    except _RUNTIME_ERRORS as exc:
        if "External data" in str(exc):
            raise VersionDamaged(f"{path.name}: its weights are in another file; save it again as one file") from exc
        raise VersionDamaged(f"{path.name} is not an ONNX model that can be run: {_reason(exc)}") from exc
    # a provider whose libraries or device are missing is left out with a warning, and the next one is taken
    if missing := set(providers) - set(session.get_providers()):
        raise ProviderMissing(
            f"expected {', '.join(sorted(missing))} to start, found only {', '.join(session.get_providers())} running; "
            "its libraries or its device are missing here"
        )
    return session


def _reason(exc: Exception) -> str:
    """Return the first line of what ONNX Runtime says, without the paths in it."""
    line = (str(exc).splitlines() or [""])[0]
    return re.sub(r"\S*/\S*", "…", line)[:300] or type(exc).__name__
