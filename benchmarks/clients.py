"""Requests, and clients in a process of their own that send them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Load, Order
from benchmarks.server import Served


class Questions:
    """Prebuilt requests, in a file that the clients read."""

    def __init__(self, file: Path, requests: Sequence[bytes]) -> None:
        self.file = file
        file.write_text(json.dumps([request.decode("latin-1") for request in requests]), encoding="ascii")

    def ask(self, service: Served, **order: Any) -> Load:  # noqa: ANN401 - the fields of an Order
        """Put load on the service; see `Order`."""
        given = json.dumps(asdict(Order(service.host, service.port, str(self.file), **order)))
        command = [sys.executable, "-m", "benchmarks.load", given]
        return Load(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def milliseconds(seconds: Sequence[float], quantile: float) -> float:
    """Return a quantile in milliseconds."""
    return round(1000 * float(np.quantile(seconds, quantile)), 2) if len(seconds) else float("nan")
