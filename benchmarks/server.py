"""The real service as a process of its own, and what it uses."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REID = (sys.executable, "-m", "app.cli")


@dataclass(frozen=True, slots=True)
class Served:
    """A running service."""

    host: str
    port: int
    pid: int

    def memory(self) -> dict[str, int]:
        """Return resident memory now and at its peak, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        kib = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status))
        return {"now": int(kib["VmRSS"]) * 1024, "peak": int(kib["VmHWM"]) * 1024}

    def processor_seconds(self) -> float:
        """Return the processor time that it has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cores(count: int) -> list[int]:
    return sorted(os.sched_getaffinity(0))[:count]


def environment(data_dir: Path) -> dict[str, str]:
    """Return the environment for `reid` on a data folder of its own; with the caller's model and threads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REID_")}
    given = {
        name: os.environ[name] for name in ("REID_THREADS", "REID_MODEL", "REID_REGISTRY_DIR") if name in os.environ
    }
    return {**kept, **given, "REID_DATA_DIR": str(data_dir), "REID_LOG_LEVEL": "warning"}


@contextmanager
def served(data_dir: Path, cores: int | None = None) -> Iterator[Served]:
    """Serve a data folder on a free loopback port, on some of the cores or on all."""
    pinned = () if cores is None else ("taskset", "--cpu-list", ",".join(map(str, _cores(cores))))
    process = subprocess.Popen(
        [*pinned, *REID, "serve", "--host", "127.0.0.1", "--port", "0"],
        env=environment(data_dir),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        host, port = _address(process.stdout)
        yield Served(host, port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _address(lines: IO[str]) -> tuple[str, int]:
    for line in lines:
        if found := re.fullmatch(r"serving on http://(.+):(\d+)\n", line):
            return found[1], int(found[2])
    raise RuntimeError("the service ended before it served; what it said is above")
