"""The identity of a text: sha256 of its bytes, in lower-case hexadecimal."""

from __future__ import annotations

import hashlib


def sha256_hex(data: bytes) -> str:
    """Return the lower-case hexadecimal sha256 of the bytes."""
    return hashlib.sha256(data).hexdigest()
