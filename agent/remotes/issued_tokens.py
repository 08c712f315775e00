"""Tokens that a server issues in place of others."""

from __future__ import annotations

from typing import Protocol

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


class SecretStore(Protocol):
    """Keeps one secret text of an account over restarts."""

    def load(self) -> str:
        """Return the text; "" if there is none. Raises RemoteError."""
        ...

    def save(self, text: str) -> None:
        """Make the text durable in place of an older one. Raises RemoteError."""
        ...


class MemorySecret:
    """A secret that ends with its process."""

    def __init__(self) -> None:
        self._text = ""

    def load(self) -> str:
        """See ``SecretStore``."""
        return self._text

    def save(self, text: str) -> None:
        """See ``SecretStore``."""
        self._text = text
