import ctypes
import sys

import pytest

from model.training.memory import keep_freed_memory

_LARGE = 256 << 20


class MallInfo(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_large_blocks_are_no_longer_mapped_apart() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this C library has no mallinfo2")
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.mallinfo2.restype = MallInfo
    keep_freed_memory()
    before = libc.mallinfo2().hblkhd
    block = libc.malloc(_LARGE)
    try:
        assert libc.mallinfo2().hblkhd == before
    finally:
        libc.free(block)
