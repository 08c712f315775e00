"""One endpoint of the drive face, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.hub.scaidrive.context import DriveContext
from agent.hub.scaidrive.request import DriveRequest

SMALL_BODY: Final = 1_048_576
"""Bytes of the largest JSON body."""

DriveHandler = Callable[[DriveContext, DriveRequest], object]


@dataclass(frozen=True, slots=True)
class DriveRoute:
    """One endpoint.

    Attributes:
        path: behind the prefix; `{}` is a variable part.
        cost: tokens of the rate limit.
        status: of a success.
        body_limit: bytes of the largest body.
        writes: it takes the database's write lock.
        needs_token: only a signed-in caller may use it.
    """

    method: str
    path: str
    cost: int
    handler: DriveHandler
    status: int = 200
    body_limit: int = SMALL_BODY
    writes: bool = False
    needs_token: bool = True

    @property
    def name(self) -> str:
        """Name in metrics, logs and the OpenAPI tables."""
        return f"{self.method} {self.path}"
