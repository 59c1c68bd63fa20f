import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model.card import InputContract, OutputContract
from model.errors import ContractError, VersionDamaged
from model.runtime import Embedder
from tests.tiny_model import build_graph

INPUT = InputContract(height=32, width=16)
OUTPUT = OutputContract(dim=32)


def embedder(path: Path, graph: onnx.ModelProto, output: OutputContract = OUTPUT) -> Embedder:
    path = path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    return Embedder(path, INPUT, output, "tiny@1", threads=1)


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 16, 3), dtype=np.uint8)


def slow_embedding(picture: NDArray[np.uint8], graph: onnx.ModelProto) -> NDArray[np.float64]:
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.graph.initializer}
    cells = [
        picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, channel].mean() - float(weights["shift"][0])
        for channel in range(3)
        for row in range(4)
        for column in range(2)
    ]
    raw = np.array(cells) @ weights["projection"].astype(np.float64)
    unit: NDArray[np.float64] = raw / np.linalg.norm(raw)
    return unit


def test_the_embedding_is_what_the_graph_says(tmp_path: Path) -> None:
    graph = build_graph(INPUT, OUTPUT)
    batch = pictures(5)
    found = embedder(tmp_path, graph).embed(batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [slow_embedding(picture, graph) for picture in batch], atol=1e-5)


def test_it_says_what_it_is(tmp_path: Path) -> None:
    made = embedder(tmp_path, build_graph(INPUT, OUTPUT))
    assert (made.version, made.dim, made.contract) == ("tiny@1", 32, INPUT)
    assert made.providers == ("CPUExecutionProvider",)


def test_a_picture_alone_or_among_others_gives_the_same(tmp_path: Path) -> None:
    made = embedder(tmp_path, build_graph(INPUT, OUTPUT))
    batch = pictures(7)
    alone = np.concatenate([made.embed(batch[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(made.embed(batch), alone, atol=1e-6)


def test_an_empty_batch_gives_no_embeddings(tmp_path: Path) -> None:
    assert embedder(tmp_path, build_graph(INPUT, OUTPUT)).embed(pictures(0)).shape == (0, 32)


def test_threads_share_one_embedder(tmp_path: Path) -> None:
    made = embedder(tmp_path, build_graph(INPUT, OUTPUT))
    batch = pictures(3)
    wanted = made.embed(batch)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: made.embed(batch), range(40)):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 32, 16, 3), np.float32),
        np.zeros((1, 16, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 16), np.uint8),
        np.zeros((32, 16, 3), np.uint8),
    ],
)
def test_another_batch_is_refused_with_both_shapes(tmp_path: Path, batch: NDArray[np.uint8]) -> None:
    with pytest.raises(ContractError, match=r"expected .*\(N, 32, 16, 3\), found .*\d\)"):
        embedder(tmp_path, build_graph(INPUT, OUTPUT)).embed(batch)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(tmp_path: Path, factor: float) -> None:
    made = embedder(tmp_path, build_graph(INPUT, OUTPUT, factor=factor))
    with pytest.raises(ContractError, match="unit length"):
        made.embed(pictures(1))


def test_an_embedding_not_of_unit_length_is_refused(tmp_path: Path) -> None:
    made = embedder(tmp_path, build_graph(INPUT, OUTPUT, normalise=False))
    with pytest.raises(ContractError, match="unit length, found lengths"):
        made.embed(pictures(1))


def test_a_black_picture_for_a_graph_that_cannot_normalise_it_is_refused(tmp_path: Path) -> None:
    graph = build_graph(INPUT, OUTPUT, factor=0.0)
    with pytest.raises(ContractError, match="unit length"):
        embedder(tmp_path, graph).embed(pictures(1))


def test_a_file_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"reid\.contract, found none"):
        embedder(tmp_path, build_graph(INPUT, OUTPUT, metadata={}))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"input": {}}', '{"input": {"height": -1}, "output": {}}'])
def test_metadata_that_are_no_contract_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ContractError, match="not a contract"):
        embedder(tmp_path, build_graph(INPUT, OUTPUT, metadata={"reid.contract": text}))


def test_metadata_of_another_contract_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="dim=48"):
        embedder(tmp_path, build_graph(INPUT, OutputContract(dim=48)))


def test_a_graph_that_is_not_what_its_metadata_say_is_refused(tmp_path: Path) -> None:
    said = {"reid.contract": json.dumps({"input": INPUT.model_dump(), "output": OUTPUT.model_dump()})}
    for graph in (
        build_graph(InputContract(height=64, width=32), OUTPUT, metadata=said),
        build_graph(INPUT, OutputContract(dim=48), metadata=said),
        build_graph(InputContract(name="x", height=32, width=16), OUTPUT, metadata=said),
        build_graph(INPUT, OUTPUT, batch=1, metadata=said),
    ):
        with pytest.raises(ContractError, match=r"model\.onnx: expected the (in|out)put"):
            embedder(tmp_path, graph)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
def test_a_file_that_is_no_model_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises((VersionDamaged, ContractError), match=r"model\.onnx") as caught:
        Embedder(path, INPUT, OUTPUT, "tiny@1")
    assert str(tmp_path) not in str(caught.value)


def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = build_graph(INPUT, OUTPUT).SerializeToString()
    for size in range(1, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises((VersionDamaged, ContractError), match=r"model\.onnx"):
            Embedder(path, INPUT, OUTPUT, "tiny@1")


def test_a_missing_file_is_damaged_and_tells_no_path(tmp_path: Path) -> None:
    with pytest.raises(VersionDamaged, match=r"model\.onnx") as caught:
        Embedder(tmp_path / "model.onnx", INPUT, OUTPUT, "tiny@1")
    assert str(tmp_path) not in str(caught.value)


def test_an_unknown_provider_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(build_graph(INPUT, OUTPUT).SerializeToString())
    with pytest.raises(ContractError, match=r"CPUExecutionProvider.*, found Abacus"):
        Embedder(path, INPUT, OUTPUT, "tiny@1", providers=["Abacus"])


def alone(script: str, model: Path) -> None:
    """Run a script in a process of its own, whose threads are known."""
    subprocess.run([sys.executable, "-c", PREFACE + dedent(script), str(model)], check=True, timeout=60)


PREFACE = '''
import os, sys, threading, time
from functools import partial
from pathlib import Path
import numpy as np
from model.card import InputContract, OutputContract
from model.runtime import NICE, Embedder

def tasks():
    return set(map(int, os.listdir("/proc/self/task")))

before = tasks()

def started(count):
    """Return the threads that were started, when those that opened the sessions are gone and so many are left."""
    until = time.monotonic() + 10
    while len(found := tasks() - before) != count and time.monotonic() < until:
        time.sleep(0.01)
    assert len(found) == count, found
    return found

made = partial(Embedder, Path(sys.argv[1]), InputContract(height=32, width=16), OutputContract(dim=32), "tiny@1")
'''


def test_the_threads_that_compute_give_way(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(build_graph(INPUT, OUTPUT).SerializeToString())
    alone(
        """
        opened = made(threads=3)
        new = started(2)  # the third is whoever calls
        assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in new} == {NICE}
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < NICE
        """,
        path,
    )


def test_calls_side_by_side_give_the_same_and_start_no_threads(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(build_graph(INPUT, OUTPUT).SerializeToString())
    alone(
        """
        plain, beside = made(threads=3), made(threads=3, side_by_side=True)
        batch = np.random.default_rng(1).integers(0, 256, (5, 32, 16, 3), dtype=np.uint8)
        np.testing.assert_array_equal(beside.embed(batch, alone=True), plain.embed(batch))
        np.testing.assert_array_equal(plain.embed(batch, alone=True), plain.embed(batch))
        started(4)  # two of each; what keeps to its caller's thread has none
        """,
        path,
    )


def test_threads_sleep_between_two_calls(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(build_graph(INPUT, OUTPUT).SerializeToString())
    opened = Embedder(path, INPUT, OUTPUT, "tiny@1", threads=3)
    options = opened._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
