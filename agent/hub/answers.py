"""Parts of an HTTP answer that every API of the hub uses: the response, its errors, times and ids of events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from agent.hub.domain.model import Event, Source

JSON_TYPE = "application/json; charset=utf-8"
QUOTA_MESSAGE = "The workspace's quota is used up"


class HubError(Exception):
    """An answer with a status other than 200.

    Attributes:
        status: the HTTP status.
        message: one sentence, or a list of them for validation errors.
        retry_after: seconds after which the same request may succeed, None for never.
        close: True to close the connection after the answer.
    """

    def __init__(
        self, status: int, message: str | Sequence[str], *, retry_after: int | None = None, close: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.close = close or status == 413
        self.status = status
        self.message = message if isinstance(message, str) else list(message)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response.

    Attributes:
        body: the bytes, or the pieces of a streamed answer, which can be iterated once.
        store_error: the database's own words if it was busy, lost or full. For the log, never for the client.
    """

    status: int
    body: bytes | Iterable[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON_TYPE})
    store_error: str | None = None

    def read(self) -> bytes:
        """Return the whole body. A streamed one is consumed."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


@lru_cache(maxsize=1024)
def timestamp(ms: int) -> str:
    """Return a time (milliseconds) in RFC 3339 with milliseconds and a Z, as JavaScript writes it."""
    whole = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def printable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry, by `?`."""
    return text.encode("utf-8", "replace").decode()


def event_id(source: Source, event: Event) -> str:
    """Return the wire id of an event.

    The id covers the creation time. A server restored from a backup assigns the same cursors again, and the different
    id lets a reader detect that.
    """
    found = hashlib.blake2b(f"{source.id} {event.cursor} {event.created_at}".encode(), digest_size=16).hexdigest()
    return f"{found[:8]}-{found[8:12]}-8{found[13:16]}-8{found[17:20]}-{found[20:]}"
