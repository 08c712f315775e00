"""Live parts: one stream of events for the pages, each of which then loads its part again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from agent.core.errors import AgentError
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit

_SECONDS: Final = 1.0
_RETRY_MILLISECONDS: Final = 2000
_SILENT_LOOKS: Final = 15
"""Looks without an event after which a comment is sent, so that the end of a connection is noticed."""


def live_status(visit: Visit) -> tuple[str, dict[str, Any]]:
    """Return the present position of the stream, and the status at that position.

    A page reads both before its other data, so that it misses no change. The status is computed once.
    """
    events = visit.call("events")
    found = next((event["status"] for event in reversed(events) if event["status"] is not None), None)
    return str(events[-1]["id"]) if events else "", visit.call("status") if found is None else found


def live_position(visit: Visit) -> str:
    """Return the present position of the stream. A page reads it before its data, so that it misses no change."""
    return live_status(visit)[0]


def events(visit: Visit) -> Response:
    """Stream the kinds of changes. A browser that was cut off continues behind the last event that it got."""
    after = visit.request.headers.get("last-event-id") or visit.query.text("after")
    return StreamingResponse(_stream(visit, after), media_type="text/event-stream")


async def _stream(visit: Visit, after: str) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
    silent = 0
    while not visit.is_ending:
        try:
            found = await run_in_threadpool(visit.call, "events", after=after or None)
        except AgentError:
            # The position is of another release: begin with the present state.
            after = ""
            found = []
        # One event of each kind is enough: a page loads the present state, whatever happened in between.
        for event in {one["kind"]: one for one in found}.values():
            yield _encoded(event)
        if found:
            after = found[-1]["id"]
        silent = 0 if found else silent + 1
        if silent % _SILENT_LOOKS == _SILENT_LOOKS - 1:
            yield b": still here\n\n"
        await anyio.sleep(_SECONDS)


def _encoded(event: Mapping[str, Any]) -> bytes:
    data = {"kind": event["kind"], "conflicts": event["conflicts"]}
    return f"id: {event['id']}\nevent: {event['kind']}\ndata: {json.dumps(data)}\n\n".encode()


ROUTES: Final = (PageRoute("/events", events),)
