"""Time and ids as the running hub takes them; a simulation brings its own."""

from __future__ import annotations

import secrets
import time

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62


def system_clock() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_uuid() -> str:
    """A UUID of version 7: its text sorts by the millisecond it was made in."""
    random = secrets.randbits(74)
    value = (system_clock() << 80) | _VERSION_7 | ((random >> 62) << 64) | _VARIANT | (random & (2**62 - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
