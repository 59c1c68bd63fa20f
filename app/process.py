"""Telling processes apart, so that what a dead one held is taken over at once."""

import os
import socket
from pathlib import Path

_HOST = 24  # characters of a host's name that tell machines apart


def own_name() -> str:
    """Return this process's name: its machine, its number, and when it started, for numbers are used again."""
    return f"{socket.gethostname()[:_HOST]}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Tell whether a process of this machine has ended; of another machine's nothing is known."""
    parts = name.rsplit("/", 2)
    if len(parts) != 3 or parts[0] != socket.gethostname()[:_HOST] or not parts[1].isdigit():
        return False
    return _started(int(parts[1])) != parts[2]


def _started(process: int) -> str:
    """Return when a process started, in clock ticks since the machine did; empty when there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5); the name before may hold spaces
