"""The hub as one synchronous function from request to response. HTTP, threads and waiting are layered above it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from agent.hub.answers import QUOTA_MESSAGE, HubError, Response
from agent.hub.auth import SignedIn, Tokens, bearer_token
from agent.hub.domain.ids import new_uuid, system_clock
from agent.hub.domain.model import Caller, Clock, NewId
from agent.hub.domain.ports import QuotaExceeded, Store, StoreFull, StoreUnavailable
from agent.hub.raven import conflicts, feed, files, machines, push, registry, resolve
from agent.hub.raven.context import HubContext
from agent.hub.raven.decode import decode
from agent.hub.raven.openapi import document
from agent.hub.raven.validation import validated
from agent.hub.raven.wire import failure, success

PREFIX = "/api/local-sync/"
BODY_LIMIT = 1_048_576
BUSY_RETRY_SECONDS = 2
FULL_RETRY_SECONDS = 30

Handler = Callable[[HubContext, Caller, Mapping[str, Any]], object]

HANDLERS: dict[str, Handler] = {
    "connectors/register": registry.register,
    "connectors/heartbeat": registry.heartbeat,
    "connectors/rename": registry.rename_connector,
    "sources": registry.create_source,
    "sources/list": registry.list_sources,
    "sources/pause": registry.pause,
    "sources/resume": registry.resume,
    "sources/rename": registry.rename,
    "sources/archive": registry.archive,
    "sources/delete": registry.delete,
    "sources/machines": machines.list_machines,
    "sources/leave": machines.leave,
    "sources/files": files.list_files,
    "sources/digest": files.digest,
    "sources/file": files.read_file,
    "sources/file/update": resolve.update_file,
    "sources/push-batch": push.push_batch,
    "sources/deltas": feed.deltas,
    "sources/conflicts": conflicts.list_conflicts,
    "sources/conflicts/preview": conflicts.preview,
    "sources/conflicts/resolve": resolve.resolve_conflict,
    "sources/history": files.history,
}

_SLASHES = re.compile("/{2,}")


def endpoint_of(method: str, path: str) -> str | None:
    """Return the endpoint of a request, or None if no route matches. Doubled and trailing slashes are ignored."""
    clean = _SLASHES.sub("/", path).removesuffix("/")
    name = clean.removeprefix(PREFIX)
    return name if method == "POST" and name != clean and name in HANDLERS else None


class Hub:
    """A document server that speaks Raven's local-sync protocol.

    Args:
        store: the database of all records.
        clock, ids: milliseconds since the epoch, and fresh UUIDs.
        tokens: verifies tokens.
        body_limit: largest request body in bytes. A larger one is refused with 413 before any other check.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock = system_clock,
        ids: NewId = new_uuid,
        *,
        tokens: Tokens,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self.body_limit = body_limit
        self._tokens = tokens
        self._listeners: list[Callable[[str], None]] = []
        self._context = HubContext(store, clock, ids, self.announce)

    def on_commit(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the source's id, in the committing thread, whenever new events are durable."""
        self._listeners.append(listener)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request. Header names are lower case. `waitMs` is ignored: nothing waits here."""
        try:
            return self._answer(method, path, headers, body)
        except (HubError, QuotaExceeded, StoreFull, StoreUnavailable) as error:
            return self.failed(error, path)

    def failed(self, error: Exception, path: str) -> Response:
        """Return the response to an exception. The cause of a failure of the hub itself is not shown to the client."""
        now = self._context.clock()
        match error:
            case HubError():
                return failure(error, path, now)
            case QuotaExceeded():
                return failure(HubError(507, QUOTA_MESSAGE, retry_after=FULL_RETRY_SECONDS), path, now)
            case StoreFull():
                full = HubError(507, "The hub's disk is full", retry_after=FULL_RETRY_SECONDS)
                return replace(failure(full, path, now), store_error="the disk is full")
            case StoreUnavailable():
                lost = HubError(503, "The hub's database is not available", retry_after=BUSY_RETRY_SECONDS)
                return replace(failure(lost, path, now), store_error=str(error))
            case _:
                return failure(HubError(500, "Internal server error"), path, now)

    def now(self) -> int:
        """Return the hub's time in milliseconds since the epoch."""
        return self._context.clock()

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailable: it does not.
        """
        with self._context.store.read() as session:
            session.ping()

    def announce(self, source: str) -> None:
        """Call every listener with a source's id. Callable from any thread."""
        for listener in self._listeners:
            listener(source)

    def caller_of(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the caller that a request's token speaks for, or None without a valid token."""
        token = bearer_token(headers)
        return None if token is None else self.caller_of_token(token)

    def caller_of_token(self, token: str) -> Caller | None:
        """Return the caller that a token speaks for, or None if it is not valid now."""
        return self._tokens.caller(token, self._context.clock())

    def signed_in_with(self, token: str) -> SignedIn | None:
        """Return the caller of a token with its id and its end, or None if it is not valid now."""
        return self._tokens.signed_in(token, self._context.clock())

    def signed_in(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller of a request whose token names its workspace.

        Raises:
            HubError: 401 without a valid token.
        """
        caller = self.caller_of(headers)
        if caller is None:
            raise HubError(401, "Unauthorized")
        return caller

    def authorized(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller of a request.

        Raises:
            HubError: 401 without a valid token or for another workspace, 400 without the workspace header.
        """
        caller = self.signed_in(headers)
        workspace = headers.get("x-workspace-id", "").strip()
        if not workspace:
            raise HubError(400, "x-workspace-id header is required")
        if workspace != caller.workspace:
            raise HubError(401, "Workspace does not match")
        return caller

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if method in ("GET", "HEAD") and path in _PUBLIC:
            return Response(200, _PUBLIC[path]())
        endpoint = endpoint_of(method, path)
        if endpoint is None:
            raise HubError(404, f"Cannot {method} {path.encode('utf-8', 'replace').decode()}")
        if len(body) > self.body_limit:
            raise HubError(413, "Request body is too large")
        caller = self.authorized(headers)
        value = decode(body, headers.get("content-type"), headers.get("content-encoding"))
        return success(HANDLERS[endpoint](self._context, caller, validated(endpoint, value)))


def _health() -> bytes:
    return b'{"status":"ok"}'


def _openapi() -> bytes:
    return orjson.dumps(document())


_PUBLIC: dict[str, Callable[[], bytes]] = {"/healthz": _health, "/openapi.json": _openapi}
