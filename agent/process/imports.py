# performance island: a session imports 500 modules, half of the processor time of a push of 1,000 files. Within this
# block it costs 15 % fewer instructions (352 M instead of 416 M for the modules of a scan; tests/benchmarks/look.py).
# The plain alternative is to import them without it.
"""Import many modules at less cost."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Final

_UNNEEDED: Final = "typing_extensions"
"""msgspec takes three names from it, and from ``typing`` if it is missing; in every Python of ours they are equal."""


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collection, and msgspec without ``typing_extensions``.

    Modules stay for good, so a collection among them finds nothing. They are left out of later collections, too. Not
    for a process with other threads that import.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        _import_msgspec()
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def _import_msgspec() -> None:
    # Other packages may import it later: None stays only for this one import.
    missing = _UNNEEDED not in sys.modules
    if missing:
        sys.modules[_UNNEEDED] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        if missing:
            del sys.modules[_UNNEEDED]
