"""One HTTP request over ASGI: its headers, its body up to a limit, and the fields that decide about waiting."""

from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from agent.hub.answers import HubError
from agent.hub.client_timeouts import CONNECTION_KEY
from agent.hub.json_size import MOST_VALUES, has_few_values
from agent.hub.raven.validation import MAX_WAIT_MS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_OF_THE_WAITER: Final = ("connectorId", "waitMs")
"""Fields of a deltas request that do not change its answer."""
_ID_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "-_.")


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request without its body. Header names are lower case.

    Attributes:
        id: the client's `x-request-id`, or a new one. It is in the answer and in every log line about the request.
        query: the part of the address behind the question mark, as it was sent.
        connection: the connection it came on, None outside the hub's own server.
        client: the client's address, empty if unknown.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    connection: Any
    client: str


class ClientDisconnected(Exception):
    """The client closed the connection before its request was complete."""


def raw_request(scope: Scope) -> RawRequest:
    """Return the request of an ASGI scope."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    wanted = headers.get("x-request-id", "")
    client = scope.get("client")
    return RawRequest(
        id=wanted if 0 < len(wanted) <= 64 and _ID_CHARACTERS.issuperset(wanted) else secrets.token_hex(8),
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        connection=scope.get(CONNECTION_KEY),
        client=str(client[0]) if client else "",
    )


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        HubError: 413 if it is longer than the limit.
        ClientDisconnected: the client closed the connection before its end.
    """
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part = message.get("body", b"")
        length += len(part)
        if length > limit:
            raise HubError(413, "Request body is too large")
        if part:
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def discard_body(receive: Receive, limit: int, raw: RawRequest) -> None:
    """Read a body without storing it.

    Raises:
        HubError: 413 if it is longer than the limit.
    """
    declared = raw.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise HubError(413, "Request body is too large")
    length = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        length += len(message.get("body", b""))
        if length > limit:
            raise HubError(413, "Request body is too large")
        more = message.get("more_body", False)


def _decoded(body: bytes) -> dict[str, Any]:
    # The endpoint refuses what has too many values. Here it must not be parsed either.
    if not has_few_values(body, MOST_VALUES):
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def source_of_body(body: bytes) -> str | None:
    """Return the source that a request names, or None. The endpoint validates the request itself."""
    source = _decoded(body).get("sourceId")
    return source.lower() if isinstance(source, str) else None


@dataclass(frozen=True, slots=True)
class PollRequest:
    """The fields of a deltas request that decide about waiting. The endpoint validates the request itself.

    Attributes:
        source: the source, None if the request cannot wait.
        wait: seconds.
        same: equal for two requests of a workspace that have the same answer, for any connector and any wait.
    """

    source: str | None
    wait: float
    same: bytes


def poll_request(body: bytes) -> PollRequest:
    """Return what a deltas request says about waiting."""
    value = _decoded(body)
    source, wait = value.get("sourceId"), value.get("waitMs")
    if not isinstance(source, str) or isinstance(wait, bool) or not isinstance(wait, int | float) or wait <= 0:
        return PollRequest(None, 0, b"")
    asked = {name: field for name, field in value.items() if name not in _OF_THE_WAITER}
    same = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    return PollRequest(source.lower(), min(wait, MAX_WAIT_MS) / 1000, same)
