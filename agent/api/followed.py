"""Methods that answer with document after document. Imports nothing, so that a command's client can import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FOLLOWED: Final[Mapping[str, str]] = {"status_watch": "status", "activity_follow": "activity"}
"""Method that is followed, and the method that each of its documents comes from."""
