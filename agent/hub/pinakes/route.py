"""One endpoint of Pinakes' API, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.hub.pinakes.context import PinakesContext, PinakesRequest

SMALL_BODY: Final = 1_048_576
"""Bytes of the largest JSON body."""


@dataclass(frozen=True, slots=True)
class PinakesRoute:
    """One endpoint.

    Attributes:
        path: behind the prefix; `{}` is a variable part.
        handler: returns a record of `wire`, None for no content, or a whole response.
        status: of a success.
        body_limit: bytes of the largest body.
        writes: it takes the database's write lock.
        needs_token: only a signed-in caller may use it.
    """

    method: str
    path: str
    handler: Callable[[PinakesContext, PinakesRequest], object]
    status: int = 200
    body_limit: int = SMALL_BODY
    writes: bool = False
    needs_token: bool = True

    @property
    def name(self) -> str:
        """Name in metrics, logs and the OpenAPI tables."""
        return f"pinakes {self.method} {self.path}"
