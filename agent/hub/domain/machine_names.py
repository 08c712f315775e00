"""The names that machines give themselves."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 64
"""Characters of a name in the list of tokens."""


def machine_of_token(name: str) -> str:
    """Return the name as the list of tokens shows it: its first 64 printable characters."""
    return "".join(char for char in name if char.isprintable())[:_LONGEST]
