"""The mass-delete brake: when a set of deletes is too large to be carried out without a person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from agent.core import defaults


class BrakeLimits(Struct, frozen=True):
    """When deletes are held.

    Attributes:
        least: fewer files than this are never held.
        share: more than this part of the source's files (0 to 1) are held, once there are ``least``.
        most: this many files are held whatever the share.
        window: deletes carried out within this many seconds count together with those that are due.
    """

    least: int = defaults.BRAKE_MIN
    share: float = defaults.BRAKE_PERCENT / 100
    most: int = defaults.BRAKE_TOTAL
    window: float = defaults.BRAKE_WINDOW_MINUTES * 60.0


def must_hold(deletes: int, total: int, limits: BrakeLimits) -> bool:
    """Whether ``deletes`` out of ``total`` synced files want a person's approval."""
    if deletes >= limits.most:
        return True
    return deletes >= limits.least and deletes > total * limits.share


def plan_id(direction: str, paths: Iterable[str]) -> str:
    """The id under which exactly these deletes can be approved; any other set has another id."""
    digest = hashlib.sha256(direction.encode())
    for path in sorted(paths):
        digest.update(b"\0" + path.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:12]
