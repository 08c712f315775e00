"""The clock and the id source of a running hub. A simulation passes its own."""

from __future__ import annotations

import secrets
import time

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62


def system_clock() -> int:
    """Return milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_uuid() -> str:
    """Return a UUID of version 7. Its text sorts by the millisecond of its creation."""
    random = secrets.randbits(74)
    value = (system_clock() << 80) | _VERSION_7 | ((random >> 62) << 64) | _VARIANT | (random & (2**62 - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
