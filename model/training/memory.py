"""The C allocator of the training process."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3), glibc's <malloc.h>
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep what was freed, so that a step's tensors take the pages of the step before.

    By default each large tensor is mapped anew and its pages are faulted in, which costs a CPU step about a tenth of
    its time. Other platforms are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
