"""`reid serve` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A running service and where it said it listens."""

    process: "subprocess.Popen[str]"
    address: str

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def said(self, text: str) -> None:
        """Wait until its log says so."""
        assert self.process.stderr is not None
        assert any(text in line for line in self.process.stderr)

    def terminate(self) -> None:
        """Tell it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> tuple[int, str]:
        """Wait until it has ended; return its code and its log."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


@contextmanager
def served(
    data_dir: Path, port: int = 0, program: Sequence[str] = ("-m", "app.cli"), **settings: object
) -> Iterator[Served]:
    """Serve a data folder; what is still running at the end is killed."""
    given = {f"REID_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, *program, "serve", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "REID_DATA_DIR": str(data_dir), **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"serving on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found is not None, process.communicate()[1]
        yield Served(process, found[1])
    finally:
        process.kill()
        process.communicate()
