"""Methods that answer with document after document. Imports nothing, so that a command's client can import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class FollowedMethod(NamedTuple):
    """One method that is followed.

    Attributes:
        method: the method that is called again and again.
        seconds: time between two calls.
        is_list: True if it answers with a list whose rows are the documents; a call continues behind the last row.
    """

    method: str
    seconds: float
    is_list: bool


FOLLOWED: Final[Mapping[str, FollowedMethod]] = {
    "status_watch": FollowedMethod("status", 1.0, is_list=False),
    "activity_follow": FollowedMethod("activity", 0.3, is_list=True),
    "events_follow": FollowedMethod("events", 0.5, is_list=True),
}
"""Method that answers with document after document, and the method that they come from."""
