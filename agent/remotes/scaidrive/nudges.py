"""Nudges: the server says over a WebSocket that a share changed. Only the feed says how."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
import orjson

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.request import ApiRequest
from agent.remotes.http.websocket import SocketClosed, WebSocket
from agent.remotes.protocol import Nudge

PING_SECONDS: Final = 30.0
"""Seconds between two pings."""
ANSWER_SECONDS: Final = 15.0
"""Seconds after a ping at which a server that sent nothing counts as gone."""
_CODES: Final = {
    4401: (ProblemKind.SIGNED_OUT, "the server no longer takes the token for its WebSocket"),
    4403: (ProblemKind.FORBIDDEN, "the account may not use the server's WebSocket"),
    4404: (ProblemKind.NOT_FOUND, "the server does not know this device"),
    4429: (ProblemKind.BUSY, "the account has too many WebSockets on the server"),
}
"""The meaning of the codes with which the server closes."""


def nudge_of(text: str) -> Nudge | None:
    """Return the meaning of one text of the server; None if it is none that matters.

    The answer to ``subscribe`` is a nudge of every share: what happened before it was not reported.
    """
    try:
        frame: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(frame, dict):
        return None
    kind = frame.get("event_type", frame.get("type"))
    share = frame.get("share_id")
    source = share if isinstance(share, str) and share else None
    if kind == "subscribed":
        return Nudge(None)
    if kind == "force_sync":
        return Nudge(source, full=True)
    if kind == "sync_preference_updated":
        return Nudge(source, preferences=True)
    return Nudge(source) if kind == "change" else None


def listen(
    http: HttpClient,
    device: str,
    stop: threading.Event,
    on_nudge: Callable[[Nudge], None],
    ticks: Callable[[], float] = time.monotonic,
) -> None:
    """Report changes until ``stop`` is set or the client is closed.

    Args:
        device: the id of this machine's device.
        ticks: monotonic seconds, for pings.

    Raises:
        RemoteError: the WebSocket could not be opened, or ended.
    """
    try:
        with http.websocket(ApiRequest("GET", "sync/ws/{}", (device,))) as socket:
            # Asked after the connection can be closed by others: no order of the two is missed.
            if not stop.is_set():
                socket.send('{"type":"subscribe"}')
            _converse(socket, stop, on_nudge, ticks)
            with contextlib.suppress(httpx.HTTPError):
                socket.close()
    except RemoteCallError:
        if not stop.is_set():
            raise


def _converse(
    socket: WebSocket, stop: threading.Event, on_nudge: Callable[[Nudge], None], ticks: Callable[[], float]
) -> None:
    pinged, answered = ticks(), True
    while not stop.is_set():
        due = pinged + (PING_SECONDS if answered else ANSWER_SECONDS)
        found = socket.receive(max(due - ticks(), 0.0))
        if isinstance(found, SocketClosed):
            raise _ended(found.code, socket)
        if found is not None:
            answered = True
            nudge = nudge_of(found)
            if nudge is not None:
                on_nudge(nudge)
        elif not answered:
            raise httpx.ReadTimeout("no answer to a ping")
        if ticks() >= pinged + PING_SECONDS:
            socket.send('{"type":"ping"}')
            pinged, answered = ticks(), False


def _ended(code: int, socket: WebSocket) -> RemoteCallError:
    kind, words = _CODES.get(code, (ProblemKind.OFFLINE, "the server closed its WebSocket"))
    if kind is ProblemKind.SIGNED_OUT and socket.token_replaced():
        # The token ended while the WebSocket was open, and calls have a new one already.
        kind, words = ProblemKind.OFFLINE, "the token of the WebSocket has ended"
    return RemoteCallError(Problem(kind, f"{words} ({code})"), SideEffect.NONE)
