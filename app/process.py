"""Telling processes apart, so that what a dead one held is taken over at once."""

import os
import socket
from hashlib import blake2b
from pathlib import Path

_HOST = 24  # characters of a host's name, for people


def own_name() -> str:
    """Return this process's name: where it runs, its number, and when it started, for numbers are used again."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Tell whether a process of this place has ended; of another place's nothing is known."""
    parts = name.rsplit("/", 2)
    if len(parts) != 3 or parts[0] != _place() or not parts[1].isdigit():
        return False
    return _started(int(parts[1])) != parts[2]


def _place() -> str:
    """Return where a process number means what it means here: on this machine since it started, in this container.

    Containers may share their host's name, have names that only end otherwise, and all begin to count at 1.
    """
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        own = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        own = ""
    mark = blake2b(f"{host} {own}".encode(), digest_size=6).hexdigest()
    return f"{host[:_HOST]}-{mark}"


def _started(process: int) -> str:
    """Return when a process started, in clock ticks since the machine did; empty when there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5); the name before may hold spaces
