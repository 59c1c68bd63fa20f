import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.engine import open_engine
from app.settings import load_settings
from tests.app.cli.conftest import Reid
from tests.app.cli.rolling import free_ports
from tests.app.cli.serving import served
from tests.app.parts import person


@pytest.fixture
def process(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "REID_DATA_DIR": str(data_dir), "REID_HOST": "127.0.0.1", "REID_PORT": "0"}
    command = [sys.executable, "-m", "app.cli", "serve"]
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield started
    started.kill()
    started.communicate()


def test_it_ends_when_it_is_told_to_while_it_opens(data_dir: Path) -> None:
    """A container's first process is told nothing that it has no handler for, so it has one."""
    program = """
import time, app.cli.serve as serve

def slow(_):
    print("opening", flush=True)
    time.sleep(60)

serve.open_engine = slow
serve.serve(port=0)
"""
    command, environment = [sys.executable, "-c", program], {**os.environ, "REID_DATA_DIR": str(data_dir)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as opening:
        assert opening.stdout is not None
        assert opening.stdout.readline() == "opening\n"
        opening.send_signal(signal.SIGTERM)
        assert opening.wait(10) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_cleanly_when_told(process: "subprocess.Popen[str]", number: int) -> None:
    assert process.stdout is not None
    found = re.fullmatch(r"serving on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
    assert found is not None
    with urllib.request.urlopen(f"{found[1]}/health/ready", timeout=30) as answer:
        assert answer.status == 200
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in log
    assert "REID_PORT=0" in log


def test_what_is_ingested_beside_a_running_service_is_in_its_next_answer(
    process: "subprocess.Popen[str]", reid: Reid, market: Path
) -> None:
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    created = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    picture = next((market / "query").iterdir()).read_bytes()
    answer = httpx.post(f"{address}/query", files={"image": picture}, timeout=30).json()
    assert answer["searched"] == created > 0


def test_a_port_in_use_is_told_in_one_line(reid: Reid, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = reid("serve", "--port", port)
    assert ran.code == 1
    assert ran.err.startswith(f"reid: port {port} on 127.0.0.1 is in use")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_an_address_that_others_reach_is_refused(reid: Reid, data_dir: Path, host: str) -> None:
    ran = reid("serve", "--host", host)
    assert ran.code == 1
    assert ran.err.startswith(f"reid: REID_HOST={host}: expected a loopback address")
    assert ran.err.count("\n") == 1


def test_with_a_key_another_address_is_served(reid: Reid, data_dir: Path) -> None:
    reid("keys", "create", "--scope", "query")
    ran = reid("serve", "--host", "192.0.2.1")  # which is not this machine's: that is as far as it comes
    assert ran.err.startswith("reid: cannot listen on 192.0.2.1 port 8000: ")


def test_a_damaged_version_is_told_in_one_line(reid: Reid, data_dir: Path) -> None:
    (data_dir / "models" / "tiny" / "1" / "model.onnx").write_bytes(b"damaged")
    ran = reid("serve", "--port", "0")
    assert ran.code == 1
    assert ran.err.startswith("reid: tiny@1: expected model.onnx with sha256")
    assert ran.err.count("\n") == 1


def test_json_logs_are_all_that_is_on_stderr(data_dir: Path) -> None:
    environment = {**os.environ, "REID_DATA_DIR": str(data_dir), "REID_LOG_FORMAT": "json", "REID_DATADIR": "/x"}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert {"settings", "ready"} <= {message.split()[0].strip(":") for message in messages}
    assert messages.count("REID_DATADIR is no setting; did you mean REID_DATA_DIR?") == 1


def test_what_was_accepted_is_answered_after_sigterm_and_is_on_the_disk(data_dir: Path) -> None:
    with served(data_dir, max_batch=1) as service, ThreadPoolExecutor(8) as pool:

        def enrol(number: int) -> int:
            pictures = [("image", person(number, view)) for view in range(16)]
            metadata = json.dumps([{"identity": f"p{number}"}] * 16)
            answer = httpx.post(f"{service.address}/gallery", files=pictures, data={"metadata": metadata}, timeout=30)
            return int(answer.json()["created"])

        running = [pool.submit(enrol, number) for number in range(8)]
        while "reid_embeddings_total 0.0" in httpx.get(f"{service.address}/metrics").text:
            time.sleep(0.005)
        service.terminate()
        begin = time.monotonic()
        code, log = service.ended()
        assert code == 0
        assert time.monotonic() - begin < 10
        assert "Traceback" not in log
        created = sum(answered(each) for each in running)
    assert created > 0
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        assert engine.gallery.indexes.sample_count() == created
        assert engine.gallery.check().clean


def answered(call: "Future[int]") -> int:
    try:
        return call.result()
    except httpx.ConnectError:  # it came after the end of listening
        return 0


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_what_takes_longer_than_a_stop_may_wait_is_told_so(data_dir: Path, signals: list[int]) -> None:
    grace = 60 if len(signals) > 1 else 0.2
    patched = f"import sys, app.cli, app.cli.serve as serve; serve.GRACE = {grace}; app.cli.main(sys.argv[1:])"
    with served(data_dir, program=("-c", patched)) as service, ExitStack() as stack:
        waiting = [stack.enter_context(waiting_for_its_body(service.address)) for _ in range(20)]
        service.process.send_signal(signals[0])
        for number in signals[1:]:
            service.said("Shutting down")
            service.process.send_signal(number)
        answers = [each.makefile("rb").read() for each in waiting]
        code, log = service.ended()
    assert code == 0
    assert "Traceback" not in log
    for each in answers:
        assert each.startswith(b"HTTP/1.1 503 ")
        assert json.loads(each.partition(b"\r\n\r\n")[2])["code"] == "not_ready"


def waiting_for_its_body(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = (
        f"POST /query HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def test_it_is_not_ready_while_it_drains_and_still_answers(data_dir: Path) -> None:
    with served(data_dir, drain_s=20) as service, httpx.Client(base_url=service.address, timeout=30) as client:
        assert client.get("/health/ready").status_code == 200
        service.terminate()
        while (answer := client.get("/health/ready")).status_code == 200:
            time.sleep(0.01)
        assert answer.status_code == 503
        assert "stopping" in answer.json()["detail"]
        found = client.post("/query", files={"image": person(0)})
        assert found.status_code == 200
        assert found.headers["connection"] == "close"
        service.terminate()  # again: at once
        code, _ = service.ended()
        assert code == 0


def test_metrics_have_a_port_of_their_own(data_dir: Path) -> None:
    [port] = free_ports(1)
    with served(data_dir, metrics_port=port) as service:
        assert service.line() == f"metrics on http://127.0.0.1:{port}/metrics"
        own = f"http://127.0.0.1:{port}"
        assert "reid_model_info" in httpx.get(f"{own}/metrics").text
        assert httpx.get(f"{service.address}/health/ready").status_code == 200
        for url in (f"{service.address}/metrics", f"{own}/", f"{own}/galleries", f"{own}/health/live"):
            answer = httpx.get(url)
            assert answer.status_code == 404
            assert answer.json()["code"] == "not_found"


def test_a_metrics_port_in_use_names_its_variable(reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("REID_METRICS_PORT", str(taken.getsockname()[1]))
        ran = reid("serve", "--port", "0")
    assert ran.code == 1
    assert "or choose another with REID_METRICS_PORT" in ran.err


_FOLDER = "expected a folder that can be made or written"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "REID_PROVIDERS",
            "CUDAExecutionProvider",
            "REID_PROVIDERS=CUDAExecutionProvider: expected execution providers out of ",
        ),
        ("REID_MODEL", "nope@1", "REID_MODEL=nope@1: expected a version out of "),
        ("REID_DATABASE_URL", "mysql://x", "REID_DATABASE_URL=mysql://x: expected a file such as sqlite:"),
        ("REID_DATA_DIR", __file__, f"REID_DATA_DIR={__file__}: {_FOLDER}, found a file\n"),
        ("REID_DATA_DIR", "/proc/nope", f"REID_DATA_DIR=/proc/nope: {_FOLDER}, and making it failed: No such file"),
        ("REID_PRECISION", "int8", "expected an int8 file in tiny@1, found model.onnx"),
    ],
)
def test_what_is_not_there_is_refused_at_the_start(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    ran = reid("serve", "--port", "0")
    assert ran.code == 1
    assert told in ran.err
    if variable == "REID_PROVIDERS":
        assert "CPUExecutionProvider" in ran.err
    assert ran.err.count("\n") == 1
