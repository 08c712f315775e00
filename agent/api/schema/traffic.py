"""traffic."""

from __future__ import annotations

from msgspec import Struct

from agent.api.schema.common import FolderParams
from agent.api.schema.status import SpanLength


class TrafficParams(FolderParams, frozen=True, kw_only=True):
    """The time to sum up.

    Attributes:
        by: length of a span.
        since: only spans of this time and later; RFC 3339.
    """

    by: SpanLength = SpanLength.HOUR
    since: str | None = None


class TrafficDocument(Struct, frozen=True, kw_only=True):
    """One span of time; spans without any change are left out.

    Attributes:
        at: begin of the span.
        changes: entries of the activity log about files.
        sent: bytes of the files that were sent.
        received: bytes of the files that were fetched.
        files: files in the folders at the end of the span; null if not counted.
        bytes: their bytes.
    """

    at: str
    changes: int
    sent: int
    received: int
    files: int | None
    bytes: int | None
