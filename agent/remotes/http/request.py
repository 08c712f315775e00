"""One request and its answers, as records: verb, query, body or opened file, and the bounds of the answer."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.supply import Pieces
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError, SideEffect

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
_READ_SIZE: Final = 256 * 1024
"""Bytes of an opened file that are in memory at once."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Priority(enum.Enum):
    """Claim on the calls that a server still allows."""

    OWN = "own"
    """Metadata, and commits of the user's own changes."""
    BULK = "bulk"
    """Contents and walks; they wait while few calls are left."""


class FilePart(Struct, frozen=True):
    """A range of an opened file as the body of a request, read while it is sent.

    Attributes:
        pieces: the opened file.
        offset, length: the range in bytes; within the file.
    """

    pieces: Pieces
    offset: int
    length: int

    def __iter__(self) -> Iterator[bytes]:
        end = self.offset + self.length
        for start in range(self.offset, end, _READ_SIZE):
            yield self.pieces.read(start, min(_READ_SIZE, end - start))


class ApiRequest(Struct, frozen=True):
    """One request to an endpoint of the dialect's API.

    Attributes:
        method: the HTTP verb.
        endpoint: path below the profile's ``base_path``, with ``{}`` in place of each id.
        ids: the ids, in order. Each becomes one segment of the path, whatever characters it has.
        query: parameters; an unset one is left out of the mapping.
        body: bytes that are encoded already, or a range of an opened file; None for a request without a body.
        content_type: the type of the body.
        headers: headers of this request alone.
        wait_seconds: seconds added to the time the server may take to begin its answer.
        limits: the largest answer that is accepted.
        may_be_empty: 204 is a success too.
        cost: calls that the server counts for this one.
        priority: see ``Priority``.
    """

    method: str
    endpoint: str
    ids: tuple[str, ...] = ()
    query: Mapping[str, str | int] = MappingProxyType({})
    body: bytes | FilePart | None = None
    content_type: str = JSON
    headers: Mapping[str, str] = _NOTHING
    wait_seconds: float = 0.0
    limits: DecodeLimits = DecodeLimits.WHOLE
    may_be_empty: bool = False
    cost: int = 1
    priority: Priority = Priority.OWN

    @property
    def size(self) -> int:
        """Bytes of the body."""
        match self.body:
            case None:
                return 0
            case FilePart(length=length):
                return length
            case encoded:
                return len(encoded)

    @property
    def target(self) -> str:
        """Path and query, with every id and value encoded."""
        path = self.endpoint
        if self.ids:
            path = path.format(*(quote(each, safe="") for each in self.ids))
        return f"{path}?{urlencode(self.query)}" if self.query else path


class HttpResponse(Struct, frozen=True):
    """A 2xx answer.

    Attributes:
        data: the decoded answer without its envelope; None for an empty one.
        size: bytes of the body.
        status: the HTTP status.
        headers: by any spelling of their names.
    """

    data: Any
    size: int
    status: int
    headers: Mapping[str, str]


class ContentStream(Struct, frozen=True):
    """A content that arrives.

    Attributes:
        start: offset of the first piece in the whole content.
        total: bytes of the whole content; None if the server does not say.
        pieces: the bytes in order. They may end early: the receiver compares their number with ``total``.
        headers: by any spelling of their names.
    """

    start: int
    total: int | None
    pieces: Iterator[bytes]
    headers: Mapping[str, str]


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Return the body as JSON.

    Raises:
        RemoteCallError: BAD_REQUEST, it holds text that is not valid Unicode.
    """
    try:
        return orjson.dumps(body)
    except TypeError as exc:
        problem = Problem(ProblemKind.BAD_REQUEST, "the request holds text that is not valid Unicode")
        raise RemoteCallError(problem, SideEffect.NONE) from exc
