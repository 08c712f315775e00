"""The hub over ASGI: bodies are read up to the limit, the domain runs in threads, `waitMs` waits on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

import anyio.to_thread
import orjson
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from agent.hub.event_notifier import EventNotifier, woken_within
from agent.hub.raven.endpoints import WRITERS, Hub, endpoint_of
from agent.hub.raven.validation import MAX_WAIT_MS
from agent.hub.raven.wire import Response

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
READ_THREADS = 16
WRITE_THREADS = 2
"""One writes, one prepares the next; more would only queue for the database's lock."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request, read whole. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


_log = logging.getLogger("agent.hub")


class HubApp:
    """The hub's ASGI application.

    Attributes:
        asgi: the Starlette application, with one route: the domain knows its paths itself.
        notifier: what long polls wait on; close it to let them go.
    """

    def __init__(self, hub: Hub) -> None:
        self.notifier = EventNotifier()
        self._hub = hub
        self._limits: tuple[CapacityLimiter, CapacityLimiter] | None = None
        hub.on_commit(self.notifier.notify)
        self.asgi = Starlette(routes=[Route("/{path:path}", self._serve, methods=METHODS)])

    async def _serve(self, request: Request) -> HttpResponse:
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return HttpResponse(status_code=400)
        path = request.url.path
        if body is None:
            return _http(self._hub.too_large(path))
        asked = RawRequest(request.method, path, {name.lower(): value for name, value in request.headers.items()}, body)
        try:
            return _http(await self._answer(asked))
        except Exception:
            # The database is what fails here (a full disk, a lost server); the client may try again.
            _log.exception("%s %s failed", asked.method, asked.path)
            return _http(self._hub.broken(path))

    async def _answer(self, asked: RawRequest) -> Response:
        if endpoint_of(asked.method, asked.path) == "sources/deltas":
            return await self._deltas(asked)
        return await self._run(asked)

    async def _body(self, request: Request) -> bytes | None:
        """The whole body, or None as soon as it is longer than the limit."""
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._hub.body_limit:
            return None
        parts: list[bytes] = []
        length = 0
        async for part in request.stream():
            length += len(part)
            if length > self._hub.body_limit:
                return None
            parts.append(part)
        return b"".join(parts)

    async def _run(self, asked: RawRequest) -> Response:
        if self._limits is None:
            # Made here and not before: a limiter belongs to the event loop it is first used on.
            self._limits = CapacityLimiter(READ_THREADS), CapacityLimiter(WRITE_THREADS)
        readers, writers = self._limits
        limiter = writers if endpoint_of(asked.method, asked.path) in WRITERS else readers
        return await anyio.to_thread.run_sync(
            self._hub.handle, asked.method, asked.path, asked.headers, asked.body, limiter=limiter
        )

    async def _deltas(self, asked: RawRequest) -> Response:
        source, wait = _poll_request(asked.body)
        if source is None or wait <= 0:
            return await self._run(asked)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        with self.notifier.subscribe(source) as woken:
            while True:
                answer = await self._run(asked)
                if not _is_empty(answer) or self.notifier.closed:
                    return answer
                if not await woken_within(woken, deadline - loop.time()):
                    return await self._run(asked)


def _poll_request(body: bytes) -> tuple[str | None, float]:
    """The source a deltas request names and the seconds it would wait; the domain judges the request itself."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, 0
    source, wait = (value.get("sourceId"), value.get("waitMs")) if isinstance(value, dict) else (None, None)
    if not isinstance(source, str) or isinstance(wait, bool) or not isinstance(wait, int | float):
        return None, 0
    return source.lower(), min(wait, MAX_WAIT_MS) / 1000


_EMPTY_TAIL = b'"events":[]},"success":true,"status":200}'


def _is_empty(answer: Response) -> bool:
    return answer.status == 200 and isinstance(answer.body, bytes) and answer.body.endswith(_EMPTY_TAIL)


def _http(answer: Response) -> HttpResponse:
    headers = {**answer.headers, "date": formatdate(usegmt=True)}
    if isinstance(answer.body, bytes):
        return HttpResponse(answer.body, answer.status, headers)
    return StreamingResponse(iterate_in_threadpool(answer.body), answer.status, headers)
