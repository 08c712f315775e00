"""Answers on their way to a client, in pieces, within a memory budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.utils import formatdate
from typing import Final

import anyio.to_thread
from anyio import CapacityLimiter

from agent.hub.answers import HubError, Response
from agent.hub.http_request import RawRequest, Send
from agent.hub.memory_budget import MemoryBudget

SMALL_BODY: Final = 16_384
"""Bytes of a request or an answer that is not counted in the memory budgets."""
BUDGET_SECONDS: Final = 5.0
"""Seconds a request waits for memory of the budget before it is refused with 503."""
PIECE_BYTES: Final = 262_144
"""Bytes of an answer passed to the connection at once. The rest waits until the client has read them."""


class ResponseSender:
    """Sends answers.

    Args:
        unread: counts the bytes of answers that clients have not read yet.
        readers: limits the threads that produce the pieces of streamed answers.
    """

    def __init__(self, unread: MemoryBudget, readers: CapacityLimiter) -> None:
        self._unread = unread
        self._readers = readers

    async def send(self, raw: RawRequest, response: Response, user: str, send: Send) -> None:
        """Send an answer to a user of a workspace, with its length, its date and the id of its request."""
        headers = {**response.headers, "date": formatdate(usegmt=True), "x-request-id": raw.id}
        body = response.body
        if isinstance(body, bytes) and response.status != 204:
            headers["content-length"] = str(len(body))
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        if not isinstance(body, bytes):
            await self._send_stream(body, user, send)
        elif len(body) <= SMALL_BODY:
            await send({"type": "http.response.body", "body": body, "more_body": False})
        else:
            self._unread.add(user, len(body))
            try:
                await _send_pieces(body, send, last=True)
            finally:
                self._unread.remove(user, len(body))

    async def _send_stream(self, pieces: Iterable[bytes], user: str, send: Send) -> None:
        """Send a streamed answer. The next piece is produced when the client has read the one before."""
        iterator: Iterator[bytes] = iter(pieces)
        while True:
            if not await self._unread.wait_for_room(user, 0, BUDGET_SECONDS * 4):
                # The status is sent already: only an incomplete answer can tell the client now.
                raise HubError(503, "Too many unread answers at once")
            piece = await anyio.to_thread.run_sync(next, iterator, None, limiter=self._readers)
            if piece is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            self._unread.add(user, len(piece))
            try:
                await _send_pieces(piece, send, last=False)
            finally:
                self._unread.remove(user, len(piece))


async def _send_pieces(body: bytes, send: Send, *, last: bool) -> None:
    # uvicorn's `send` waits at its beginning until the client has read most of what was sent before.
    for start in range(0, len(body), PIECE_BYTES):
        more = not last or start + PIECE_BYTES < len(body)
        await send({"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": more})
