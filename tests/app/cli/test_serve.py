import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.cli.conftest import Reid


@pytest.fixture
def process(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "REID_DATA_DIR": str(data_dir), "REID_HOST": "127.0.0.1", "REID_PORT": "0"}
    command = [sys.executable, "-m", "app.cli", "serve"]
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield started
    started.kill()
    started.communicate()


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
    environment = {**os.environ, "REID_DATA_DIR": str(data_dir), "REID_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert {"settings", "ready"} <= {json.loads(line)["message"].split()[0].strip(":") for line in log.splitlines()}
