"""Two services on one data folder behind HAProxy, restarted one after the other under load."""

import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.app.cli.serving import Served, served
from tests.app.parts import person

DRAIN_S = 1.5
_CONFIG = """
global
    maxconn 200
defaults
    mode http
    timeout connect 2s
    timeout check 5s
    timeout client 30s
    timeout server 30s
    option httpchk GET /health/ready
frontend clients
    bind 127.0.0.1:{port}
    default_backend services
backend services
    balance roundrobin
    default-server check inter 200ms fall 1 rise 1
"""


def why_not() -> str | None:
    """Return why there is no proxy."""
    return None if shutil.which("haproxy") else "there is no haproxy: install Debian's haproxy"


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in taken]


@contextmanager
def proxied(folder: Path, ports: Sequence[int]) -> Iterator[str]:
    """Run HAProxy before services on these ports."""
    [port] = free_ports(1)
    lines = [f"    server s{each} 127.0.0.1:{each}" for each in ports]
    (folder / "haproxy.cfg").write_text(_CONFIG.format(port=port) + "\n".join(lines) + "\n")
    process = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Callers:
    """Clients that query and enrol without a pause, and count what they are told."""

    def __init__(self, address: str, count: int) -> None:
        self.told: Counter[str] = Counter()
        self.created: list[str] = []
        self._address = address
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(count)]

    def __enter__(self) -> "Callers":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join()

    def _call(self, number: int) -> None:
        turn = 0
        with httpx.Client(base_url=self._address, timeout=30) as client:
            while not self._stopped.is_set():
                turn += 1
                try:
                    self._once(client, number, turn)
                except httpx.HTTPError as exc:
                    self.told[type(exc).__name__] += 1

    def _once(self, client: httpx.Client, number: int, turn: int) -> None:
        picture = {"image": person(number)}
        if turn % 5:
            answer = client.post("/query", files=picture)
        else:
            data = {"identity": f"p{number}", "external_id": f"{number}-{turn}", "camera": f"c{turn}"}
            answer = client.post("/gallery", files=picture, data=data)
            self.created += [each["sample_id"] for each in answer.json().get("items", [])]
        self.told[str(answer.status_code)] += 1


def wait_ready(address: str) -> None:
    """Wait until it answers as ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"{address}/health/ready", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{address} did not get ready")


def restart_each(folder: Path, data_dir: Path, rounds: int, callers: int) -> tuple[Counter[str], int]:
    """Restart both services so often under load; return what the callers were told, and the samples there after."""
    ports = free_ports(2)

    def start(stack: ExitStack, port: int) -> Served:
        return stack.enter_context(served(data_dir, port, drain_s=DRAIN_S, log_level="warning"))

    with ExitStack() as stack, proxied(folder, ports) as address:
        running = {port: start(stack, port) for port in ports}
        wait_ready(address)
        with Callers(address, callers) as calling:
            time.sleep(1)
            for port in [*ports] * rounds:
                running[port].terminate()
                code, log = running[port].ended()
                if (code, log) != (0, ""):
                    raise RuntimeError(f"a service ended with {code}: {log}")
                running[port] = start(stack, port)
                wait_ready(running[port].address)
                time.sleep(0.5)  # until the proxy has seen it too
        found = httpx.get(f"{address}/metrics").text
        counted = next(line for line in found.splitlines() if line.startswith("reid_gallery_samples "))
        assert len(set(calling.created)) == len(calling.created)
        return calling.told, int(float(counted.split()[1])) - len(calling.created)
