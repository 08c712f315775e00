"""WebSockets that nudge the clients of the drive face: about changes, preferences and positions that are lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import anyio.to_thread
import orjson

from agent.hub.client_timeouts import CONNECTION_KEY
from agent.hub.connection_table import ConnectionStage
from agent.hub.domain.model import Caller
from agent.hub.domain.ports import Store, StoreFull, StoreUnavailable
from agent.hub.http_request import Message, Receive, Scope, Send
from agent.hub.scaidrive.wire import change_view

BAD_TOKEN: Final = 4401
NO_DEVICE: Final = 4404
TOO_MANY: Final = 4429
GOING_AWAY: Final = 1001
EACH_USER: Final = 64
"""Open sockets of one user."""
NEWEST: Final = 50
"""Events that are looked through for the newest one that a client may see."""
_PATH: Final = re.compile(r"(?:/scaidrive|/scaidrive-data)?/api/v1/sync/ws/([^/]+)/?")

Frame = Mapping[str, object]


@dataclass(eq=False)
class DriveSocket:
    """One client. Unsent frames are kept by kind and share, the newest only, so a slow client costs little memory.

    Attributes:
        token: checked again before each frame.
        subscribed: the client wants changes.
        ahead: shares in which the cursor of the device was beyond the newest change when it connected.
        newest: by share, the change announced last. On PostgreSQL a commit of this process is notified twice.
    """

    caller: Caller
    device: str
    token: str
    subscribed: bool = False
    ahead: Sequence[str] = ()
    newest: dict[str, Frame] = field(default_factory=dict)
    unsent: dict[tuple[str, str], Frame] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, kind: str, share: str, frame: Frame) -> None:
        """Send a frame as soon as the client reads. It replaces an unsent one of its kind and share."""
        self.unsent[kind, share] = frame
        self.woken.set()


class DriveSockets:
    """The sockets of this process. Lives on one event loop; `notify` and `prefer` may be called from any thread.

    Args:
        caller_of: returns the caller of a token that is valid now, else None.
    """

    def __init__(self, store: Store, caller_of: Callable[[str], Caller | None]) -> None:
        self._store = store
        self._caller_of = caller_of
        self._open: set[DriveSocket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: set[str] = set()
        self._reading: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """Number of open sockets."""
        return len(self._open)

    def notify(self, source: str) -> None:
        """Nudge the clients that may see a source: one of its events is durable."""
        if self._loop is not None and self._open:
            self._loop.call_soon_threadsafe(self._due_now, source)

    def prefer(self, caller: Caller, device: str, share: str) -> None:
        """Nudge a device whose preference for a share was written."""
        if self._loop is not None and self._open:
            self._loop.call_soon_threadsafe(self._preferred, caller, device, share)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket until either side closes it."""
        self._loop = asyncio.get_running_loop()
        found = _PATH.fullmatch(scope["path"])
        if (await receive())["type"] != "websocket.connect":
            return
        if found is None:
            await send({"type": "websocket.close", "code": 1000})
            return
        # A code of our own can be sent only after the connection was accepted.
        await send({"type": "websocket.accept"})
        token = _token(scope)
        caller = self._caller_of(token)
        if caller is None:
            await send({"type": "websocket.close", "code": BAD_TOKEN, "reason": "The token is missing or not valid"})
            return
        connection = scope.get(CONNECTION_KEY)
        if connection is not None:
            connection.set_stage(ConnectionStage.BUSY)
        socket = DriveSocket(caller, found[1], token)
        refused = await self._refusal(socket)
        if refused is not None:
            await send({"type": "websocket.close", "code": refused[0], "reason": refused[1]})
            return
        self._open.add(socket)
        try:
            await self._converse(socket, receive, send)
        finally:
            self._open.discard(socket)

    async def _refusal(self, socket: DriveSocket) -> tuple[int, str] | None:
        if sum(each.caller == socket.caller for each in self._open) >= EACH_USER:
            return TOO_MANY, "Too many connections"
        try:
            found = await anyio.to_thread.run_sync(self._shares_ahead, socket.caller, socket.device)
        except (StoreUnavailable, StoreFull):
            return GOING_AWAY, "The hub's database is not available"
        if found is None:
            return NO_DEVICE, "Device not found"
        socket.ahead = found
        return None

    def _shares_ahead(self, caller: Caller, device: str) -> list[str] | None:
        """Return the shares that the device knows a later state of than the hub; None for an unknown device."""
        with self._store.read() as session:
            found = session.device(caller.workspace, caller.user, device)
            return None if found is None else session.shares_ahead(found.number)

    async def _converse(self, socket: DriveSocket, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_frames(socket, send))
        receiving = asyncio.create_task(_receive_frames(socket, receive))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, receiving):
                task.cancel()
            # A client that has gone makes `send` fail. There is nothing left to do for it.
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _send_frames(self, socket: DriveSocket, send: Send) -> None:
        while True:
            await socket.woken.wait()
            socket.woken.clear()
            if self._caller_of(socket.token) is None:
                await send({"type": "websocket.close", "code": BAD_TOKEN, "reason": "The token is no longer valid"})
                return
            while socket.unsent:
                frame = socket.unsent.pop(next(iter(socket.unsent)))
                await send({"type": "websocket.send", "text": orjson.dumps(frame).decode()})

    def _due_now(self, source: str) -> None:
        self._due.add(source)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        while self._due:
            source = self._due.pop()
            workspaces = {socket.caller.workspace for socket in self._open}
            # With a lost database clients find the change by their timer.
            with contextlib.suppress(StoreUnavailable, StoreFull):
                newest = await anyio.to_thread.run_sync(self._newest, source, workspaces)
                for workspace, change in newest:
                    frame = {"type": "change", "event_type": "change", "share_id": source, "data": change}
                    for socket in self._open:
                        if socket.caller.workspace == workspace and socket.newest.get(source) != change:
                            socket.newest[source] = change
                            if socket.subscribed:
                                socket.put("change", source, frame)

    def _newest(self, share: str, workspaces: set[str]) -> list[tuple[str, Frame]]:
        """Return the workspace of a share and its newest change, if a client of that workspace is here."""
        with self._store.read() as session:
            for workspace in workspaces:
                source = session.source(workspace, share)
                if source is None:
                    continue
                events = session.drive_events(source.number, max(source.last_cursor - NEWEST, 0), NEWEST)
                shown = (change_view(source, event) for event in reversed(events))
                change = next((view for view in shown if view is not None), None)
                return [] if change is None else [(workspace, change)]
        return []

    def _preferred(self, caller: Caller, device: str, share: str) -> None:
        kind = "sync_preference_updated"
        frame = {"type": kind, "event_type": kind, "share_id": share, "device_id": device}
        for socket in self._open:
            if socket.subscribed and (socket.caller, socket.device) == (caller, device):
                socket.put(kind, share, frame)


async def _receive_frames(socket: DriveSocket, receive: Receive) -> None:
    """Answer the client's frames until it closes. Frames that are not known are ignored."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        kind = _kind(message)
        if kind == "subscribe":
            socket.subscribed = True
            socket.put("subscribed", "", {"type": "subscribed", "event_type": "subscribed"})
            # The hub was restored from an older copy: no list of changes shows the device what it lost.
            for share in socket.ahead:
                socket.put("force_sync", share, {"type": "force_sync", "event_type": "force_sync", "share_id": share})
        elif kind == "ping":
            socket.put("pong", "", {"type": "pong", "event_type": "pong"})


def _kind(message: Message) -> str | None:
    try:
        found: Any = orjson.loads(message.get("text") or message.get("bytes") or b"")
    except orjson.JSONDecodeError:
        return None
    kind = found.get("type") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None


def _token(scope: Scope) -> str:
    for name, value in scope["headers"]:
        scheme, _, token = str(value, "latin-1").partition(" ")
        if name.lower() == b"authorization" and scheme.lower() == "bearer":
            return token.strip()
    return parse_qs(str(scope.get("query_string", b""), "latin-1")).get("token", [""])[0]
