"""How many cores this process may really use."""

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_OF_SELF = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return the cores of the affinity mask, or fewer when the container's CPU quota is lower."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(CGROUP_ROOT, CGROUP_OF_SELF)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def cgroup_quota(root: Path, of_self: Path) -> float | None:
    """Return the least cgroup v2 CPU quota from the process's own group up to the root, in cores."""
    try:
        lines = of_self.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    folders = [root / own, *(parent for parent in (root / own).parents if parent.is_relative_to(root))]
    quotas = [quota for folder in folders if (quota := _read_quota(folder / "cpu.max")) is not None]
    return min(quotas, default=None)


def _read_quota(path: Path) -> float | None:
    try:
        limit, period = path.read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
