"""What a figure was measured on."""

import os
import platform
import re
from pathlib import Path


def describe() -> str:
    """Return CPU, cores, memory and how busy it is in one line."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    gib = f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown memory"
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {gib}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


def resident() -> int:
    """Return the process's resident memory in bytes."""
    status = _read("/proc/self/status")
    kib = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert kib is not None
    return int(kib[1]) * 1024


def _processor() -> str:
    info = _read("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.+)", info)
    family = re.search(r"cpu family\s*:\s*(\d+)", info)
    model = re.search(r"model\s*:\s*(\d+)", info)
    if name is None:
        return platform.processor() or platform.machine()
    return name[1] + (f" (family {family[1]}, model {model[1]})" if family and model else "")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
