"""An access token that ends soon, and the token that renews it, stored together as one text."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

_RENEWED_AT: Final = 0.8
"""Share of an access token's life after which it is renewed."""


class TokenPair(Struct, frozen=True):
    """Two tokens of one account. Its ``repr`` leaves both out.

    Attributes:
        access: the token for the Authorization header; empty if it must be requested first.
        refresh: the token that renews ``access``. It can be used once.
        issued_at, ends_at: the life of ``access``, seconds since the epoch; 0 if it is not known.
    """

    access: str
    refresh: str
    issued_at: float = 0.0
    ends_at: float = 0.0

    def __repr__(self) -> str:
        return f"TokenPair(ends_at={self.ends_at})"

    @classmethod
    def from_text(cls, text: str) -> TokenPair | None:
        """Return the stored pair; None for a single token."""
        if not text.startswith("{"):
            return None
        try:
            return _DECODER.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def to_text(self) -> str:
        """Return the pair as one word, as tokens are stored."""
        return msgspec.json.encode(self).decode()

    def is_due(self, now: float) -> bool:
        """Return True if the access token is to be renewed: there is none, or most of its life is over."""
        if not self.access:
            return True
        return bool(self.ends_at) and now >= self.issued_at + _RENEWED_AT * (self.ends_at - self.issued_at)

    def is_usable(self, now: float) -> bool:
        """Return True if the access token has not ended, as far as is known."""
        return bool(self.access) and (not self.ends_at or now < self.ends_at)


_DECODER: Final = msgspec.json.Decoder(TokenPair)
