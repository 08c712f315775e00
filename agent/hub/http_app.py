"""The hub as an ASGI application: limits on bodies and answers, threads for the database, waiting for events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

import agent
from agent.core.net import is_loopback
from agent.hub.answers import HubError, Response
from agent.hub.auth import bearer_token
from agent.hub.connection_table import ConnectionStage
from agent.hub.domain.model import Caller
from agent.hub.domain.ports import StoreFull, StoreUnavailable
from agent.hub.drive_sockets import DriveSockets
from agent.hub.event_notifier import EventNotifier, woken_within
from agent.hub.face import ApiFace, FaceMatch, description_of, face_of
from agent.hub.fair_limit import FairLimit
from agent.hub.http_request import (
    ClientDisconnected,
    RawRequest,
    Receive,
    Scope,
    Send,
    discard_body,
    poll_request,
    raw_request,
    read_body,
    source_of_body,
)
from agent.hub.joining import JOIN_PATH, MAX_BODY, Joining
from agent.hub.memory_budget import MemoryBudget
from agent.hub.metrics import CONTENT_TYPE, HubMetrics
from agent.hub.raven.endpoints import Hub, endpoint_of
from agent.hub.raven.validation import LARGE_ANSWERS, WRITERS
from agent.hub.response_sender import BUDGET_SECONDS, SMALL_BODY, ResponseSender
from agent.hub.store.token_registry import Revocations
from agent.hub.token_rates import TokenRates

READ_THREADS: Final = 8
"""Requests that read at once. Each holds at most the texts of one page in memory."""
WRITE_THREADS: Final = 2
"""Requests that write at once with SQLite: one writes, one prepares the next. Others would only wait for its lock."""
SHARED_WRITE_THREADS: Final = 12
"""Requests that write at once with PostgreSQL, where writers of different sources do not wait for each other."""
EACH_SOURCE_WRITERS: Final = 2
"""Of those, requests that write to one source. They wait for its lock, and must leave threads to other sources."""
LARGE_REQUEST: Final = 65_536
"""Bytes of a body from which on it is parsed outside of the event loop, and waits behind smaller ones of its user."""
BODY_BUDGET: Final = (64 << 20, 32 << 20)
"""Bytes of request bodies in memory: in total, and for one user."""
ANSWER_BUDGET: Final = (64 << 20, 32 << 20)
"""Bytes of answers that clients have not read yet: in total, and for one user."""
READY_SECONDS: Final = 3.0
"""Seconds within which the database must answer for `/readyz`."""
_log = logging.getLogger("agent.hub")

T = TypeVar("T")


class HubApp:
    """The hub's ASGI application.

    Args:
        revocations: the ids of revoked tokens, refreshed here.
        write_threads: requests that write at once.
        open_metrics: answer `/metrics` to clients on this machine without a token. False behind a proxy, which is
            often on this machine itself and would pass requests of everybody on.
        gauges: further metrics, by name.
        rates: the limit on the requests of each token.
        faces: the APIs beside Raven's.
        sockets: WebSockets of the drive face, None for none.
        joining: gives tokens for invites; None if tokens are issued elsewhere.

    Attributes:
        asgi: the application.
        notifier: wakes long polls. Close it to end them.
        metrics: what `/metrics` answers.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        revocations: Revocations | None = None,
        write_threads: int = WRITE_THREADS,
        open_metrics: bool = True,
        gauges: Mapping[str, Callable[[], float]] | None = None,
        rates: TokenRates | None = None,
        faces: Sequence[ApiFace] = (),
        sockets: DriveSockets | None = None,
        joining: Joining | None = None,
    ) -> None:
        self.notifier = EventNotifier()
        self.asgi = self._serve
        self._hub = hub
        self._faces = tuple(faces)
        self._sockets = sockets
        self._joining = joining
        self._revocations = revocations
        self._revocations_read: asyncio.Task[None] | None = None
        self._write_threads = write_threads
        self._open_metrics = open_metrics
        self._rates = rates or TokenRates(None, time.monotonic)
        self._limits: tuple[CapacityLimiter, CapacityLimiter] | None = None
        self._turns = FairLimit(write_threads)
        self._source_turns: dict[str, FairLimit] = {}
        self._bodies = MemoryBudget(*BODY_BUDGET)
        self._answers = MemoryBudget(*ANSWER_BUDGET)
        self._database_lost = False
        own: dict[str, Callable[[], float]] = {
            "open_websockets": lambda: float(sockets.count if sockets is not None else 0),
            "waiting_polls": lambda: float(self.notifier.waiting),
            "request_memory_bytes": lambda: float(self._bodies.used),
            "unread_answer_bytes": lambda: float(self._answers.used),
        }
        self.metrics = HubMetrics(agent.__version__, own | dict(gauges or {}))
        hub.on_commit(self.notifier.notify)

    def commit_elsewhere(self, source: str) -> None:
        """Wake the waiters of a source: another hub on this database committed. Callable from any thread."""
        self.notifier.notify(source)
        if self._sockets is not None:
            self._sockets.notify(source)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._sockets is not None:
            await self._sockets.serve(scope, receive, send)
        if scope["type"] != "http":
            return
        raw = raw_request(scope)
        began = time.monotonic()
        response, user, waited = await self._respond(raw, receive)
        if response is None:
            return
        endpoint = self._name_of(raw)
        self.metrics.observe(endpoint, response.status, max(time.monotonic() - began - waited, 0.0))
        try:
            await ResponseSender(self._answers, self._limiters()[0]).send(raw, response, user, send)
        finally:
            if user and raw.connection is not None:
                raw.connection.set_stage(ConnectionStage.IDLE)

    async def _respond(self, raw: RawRequest, receive: Receive) -> tuple[Response | None, str, float]:
        """Return the response, the user it is for, and the seconds a long poll waited. No response: disconnected."""
        try:
            if "transfer-encoding" in raw.headers and "content-length" in raw.headers:
                # Two lengths: a proxy in front may use the other one and see another request in this body.
                raise HubError(400, "Both Content-Length and Transfer-Encoding are given", close=True)
            of_face = face_of(self._faces, raw.method, raw.path)
            if of_face is not None:
                return await self._face_answer(raw, *of_face, receive)
            if self._joining is not None and raw.method == "POST" and raw.path == JOIN_PATH:
                body, (_, writers) = await read_body(receive, MAX_BODY), self._limiters()
                answer = self._joining.answer
                return await anyio.to_thread.run_sync(answer, raw.headers, body, limiter=writers), "", 0.0
            if endpoint_of(raw.method, raw.path) is None:
                await discard_body(receive, self._hub.body_limit, raw)
                return await self._plain(raw), "", 0.0
            caller = await self._authorized(raw, receive, self._hub.authorized, self._hub.body_limit)
            if raw.connection is not None:
                raw.connection.set_stage(ConnectionStage.BUSY)
            user = f"{caller.workspace}\0{caller.user}"
            async with self._body(raw, user, receive, self._hub.body_limit) as body:
                response, waited = await self._answer(raw, caller, user, body)
                return response, user, waited
        except ClientDisconnected:
            return None, "", 0.0
        except Exception as error:
            self._log_failure(raw, error)
            return self._hub.failed(error, raw.path), "", 0.0

    async def _face_answer(
        self, raw: RawRequest, face: ApiFace, found: FaceMatch, receive: Receive
    ) -> tuple[Response | None, str, float]:
        """Return the response of an API beside Raven's, and the user it is for."""
        limit = found.route.body_limit
        try:
            caller = await self._face_caller(raw, face, found, receive)
            if raw.connection is not None:
                raw.connection.set_stage(ConnectionStage.BUSY)
            user = f"{caller.workspace}\0{caller.user}"
            async with self._body(raw, user, receive, limit) as body:
                readers, writers = self._limiters()
                if not found.route.writes and not await self._answers.wait_for_room(user, 0, BUDGET_SECONDS):
                    raise HubError(503, "Too many unread answers at once", retry_after=1)
                local = is_loopback(raw.client)
                writes = found.route.writes
                client = user, len(body) > LARGE_REQUEST
                async with self._turns.turn(client) if writes else contextlib.nullcontext():
                    response = await anyio.to_thread.run_sync(
                        lambda: face.handle(found, caller, raw.query, raw.headers, body, limited=not local),
                        limiter=writers if writes else readers,
                    )
                self._note_database(raw, response.store_error)
                return response, user, 0.0
        except ClientDisconnected:
            raise
        except Exception as error:
            self._log_failure(raw, error)
            return face.failed(error), "", 0.0

    async def _face_caller(self, raw: RawRequest, face: ApiFace, found: FaceMatch, receive: Receive) -> Caller:
        """Return the caller: of the hub's tokens, of the face's own ones, or of an endpoint that needs none."""
        if not found.route.needs_token:
            return Caller("", "")
        token, owner = bearer_token(raw.headers), None
        if token and face.made_token(token):
            owner = await anyio.to_thread.run_sync(face.session_caller, token, limiter=self._limiters()[0])
        authorize = self._hub.signed_in if owner is None else lambda _: owner
        return await self._authorized(raw, receive, authorize, found.route.body_limit)

    def _name_of(self, raw: RawRequest) -> str:
        of_face = face_of(self._faces, raw.method, raw.path)
        return of_face[1].route.name if of_face is not None else endpoint_of(raw.method, raw.path) or "other"

    async def _plain(self, raw: RawRequest) -> Response:
        if raw.method in ("GET", "HEAD") and raw.path == "/readyz":
            return await self._ready()
        if raw.method in ("GET", "HEAD") and raw.path == "/metrics":
            is_local = self._open_metrics and is_loopback(raw.client)
            if not is_local and self._hub.caller_of(raw.headers) is None:
                raise HubError(401, "Unauthorized")
            return Response(200, self.metrics.render(), {"content-type": CONTENT_TYPE})
        if document := description_of(self._faces, raw.method, raw.path):
            return Response(200, document)
        return self._hub.handle(raw.method, raw.path, raw.headers, b"")

    async def _ready(self) -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await anyio.to_thread.run_sync(self._hub.ping, abandon_on_cancel=True)
        except (TimeoutError, StoreUnavailable, StoreFull):
            return Response(503, b'{"status":"database unavailable"}')
        return Response(200, b'{"status":"ready"}')

    async def _authorized(
        self, raw: RawRequest, receive: Receive, authorize: Callable[[Mapping[str, str]], Caller], limit: int
    ) -> Caller:
        """Return the caller. Without a valid token, or beyond its rate, the body is read but not stored."""
        await self._read_revocations()
        try:
            caller = authorize(raw.headers)
            wait = self._rates.take(caller.token)
            if wait > 0:
                raise HubError(429, "Too many requests", retry_after=math.ceil(wait))
        except HubError:
            await discard_body(receive, limit, raw)
            raise
        return caller

    async def _read_revocations(self) -> None:
        """Read the ids of revoked tokens again if they are old. Requests of one moment share a read."""
        if self._revocations is None or not self._revocations.is_stale(time.monotonic()):
            return
        if self._revocations_read is None or self._revocations_read.done():
            self._revocations_read = asyncio.create_task(self._refresh_revocations(self._revocations))
        # One request may be cancelled: the others go on waiting for the read.
        await asyncio.shield(self._revocations_read)

    async def _refresh_revocations(self, revocations: Revocations) -> None:
        # With a lost database the request itself fails soon, with the right status.
        with contextlib.suppress(StoreUnavailable):
            readers, _ = self._limiters()
            await anyio.to_thread.run_sync(
                revocations.refresh, self._hub.now(), time.monotonic(), limiter=readers, abandon_on_cancel=True
            )

    @contextlib.asynccontextmanager
    async def _body(self, raw: RawRequest, user: str, receive: Receive, limit: int) -> Any:
        """Read the whole body. It counts in the budget until the request is answered."""
        declared = raw.headers.get("content-length", "")
        size = int(declared) if declared.isdigit() else limit
        if size > limit:
            raise HubError(413, "Request body is too large")
        if not declared and "transfer-encoding" not in raw.headers:
            size = 0
        counted = size if size > SMALL_BODY else 0
        if counted and not await self._bodies.wait_for_room(user, counted, BUDGET_SECONDS):
            raise HubError(503, "Too many large requests at once", retry_after=1)
        self._bodies.add(user, counted)
        try:
            yield await read_body(receive, limit)
        finally:
            self._bodies.remove(user, counted)

    async def _answer(self, raw: RawRequest, caller: Caller, user: str, body: bytes) -> tuple[Response, float]:
        endpoint = endpoint_of(raw.method, raw.path)
        # Pushes and heartbeats have small answers, so they never wait for slow readers of the same user.
        if endpoint in LARGE_ANSWERS and not await self._answers.wait_for_room(user, 0, BUDGET_SECONDS):
            raise HubError(503, "Too many unread answers at once", retry_after=1)
        if endpoint == "sources/deltas":
            return await self._deltas(raw, caller, body)
        if endpoint in WRITERS:
            return await self._write(raw, user, body), 0.0
        return await self._run(raw, body, self._limiters()[0]), 0.0

    async def _write(self, raw: RawRequest, user: str, body: bytes) -> Response:
        # Large requests of a user do not delay the small ones, nor those of others by more than one request.
        client = user, len(body) > LARGE_REQUEST
        several = self._write_threads > EACH_SOURCE_WRITERS
        source = await self._parsed(source_of_body, body) if several else None
        _, writers = self._limiters()
        async with self._turn_of_source(source, client), self._turns.turn(client):
            return await self._run(raw, body, writers)

    async def _parsed(self, parse: Callable[[bytes], T], body: bytes) -> T:
        if len(body) <= LARGE_REQUEST:
            return parse(body)
        return await anyio.to_thread.run_sync(parse, body, limiter=self._limiters()[0])

    @contextlib.asynccontextmanager
    async def _turn_of_source(self, source: str | None, client: Hashable) -> AsyncIterator[None]:
        if source is None:
            yield
            return
        own = self._source_turns.setdefault(source, FairLimit(EACH_SOURCE_WRITERS))
        try:
            async with own.turn(client):
                yield
        finally:
            if own.is_idle:
                self._source_turns.pop(source, None)

    def _limiters(self) -> tuple[CapacityLimiter, CapacityLimiter]:
        if self._limits is None:
            # Created here and not earlier: a limiter belongs to the event loop on which it is first used.
            self._limits = CapacityLimiter(READ_THREADS), CapacityLimiter(self._write_threads)
        return self._limits

    async def _run(self, raw: RawRequest, body: bytes, limiter: CapacityLimiter) -> Response:
        response = await anyio.to_thread.run_sync(
            self._hub.handle, raw.method, raw.path, raw.headers, body, limiter=limiter
        )
        self._note_database(raw, response.store_error)
        return response

    async def _deltas(self, raw: RawRequest, caller: Caller, body: bytes) -> tuple[Response, float]:
        poll, (readers, _) = await self._parsed(poll_request, body), self._limiters()
        if poll.source is None:
            return await self._run(raw, body, readers), 0.0
        loop, waited = asyncio.get_running_loop(), 0.0
        deadline = loop.time() + poll.wait
        with self.notifier.subscribe(poll.source) as woken:
            response = await self._run(raw, body, readers)
            while _is_empty(response) and not self.notifier.closed:
                began = loop.time()
                in_time = await woken_within(woken, deadline - began)
                waited += loop.time() - began
                if not in_time:
                    # Looking again would double the cost of idle agents; the next poll looks first of all.
                    break
                # The token may have ended or been revoked meanwhile.
                await self._read_revocations()
                self._hub.authorized(raw.headers)
                response = await self.notifier.read_once(
                    poll.source, (caller.workspace, poll.same), lambda: self._run(raw, body, readers)
                )
        return response, waited

    def _log_failure(self, raw: RawRequest, error: Exception) -> None:
        if not isinstance(error, HubError):
            _log.error(
                "%s %s failed",
                raw.method,
                raw.path,
                exc_info=error,
                extra={"request_id": raw.id, "endpoint": self._name_of(raw)},
            )

    def _note_database(self, raw: RawRequest, error: str | None) -> None:
        """Log the loss of the database once, and its return once, however many requests fail meanwhile."""
        if (error is not None) == self._database_lost:
            return
        self._database_lost = error is not None
        if error is None:
            _log.warning("the database answers again", extra={"request_id": raw.id})
        else:
            _log.error("the database cannot be used: %s", error, extra={"request_id": raw.id})


_EMPTY_TAIL = b'"events":[]},"success":true,"status":200}'


def _is_empty(response: Response) -> bool:
    return response.status == 200 and isinstance(response.body, bytes) and response.body.endswith(_EMPTY_TAIL)
