"""Tokens that a server issues in place of others."""

from __future__ import annotations

from msgspec import Struct


class IssuedTokens(Struct, frozen=True):
    """A new pair of tokens. Its ``repr`` leaves both out.

    Attributes:
        access, refresh: see ``TokenPair``.
        seconds: life of ``access``.
    """

    access: str
    refresh: str
    seconds: int

    def __repr__(self) -> str:
        return f"IssuedTokens(seconds={self.seconds})"
