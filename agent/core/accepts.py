"""The contents that a server takes."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Accepts(Struct, frozen=True):
    """Limits of the contents that a server takes, from its capabilities.

    Attributes:
        text_only: only UTF-8 text without NUL bytes.
        max_bytes: bytes of the largest content; None if there is no limit or it is not known yet.
    """

    text_only: bool = True
    max_bytes: int | None = None


TEXT: Final = Accepts()
"""Texts of any size."""
