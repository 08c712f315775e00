"""Who may speak to the agent over HTTP: programs of its owner, and never a web page of somebody else."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_OURS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "agent"})
"""Names that lead here without asking anybody: one that is looked up could be made to lead here by its owner."""
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[^:\[\]@/]*)(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


class HostOriginMiddleware:
    """Refuses with 403 what a browser sends on behalf of a foreign page, before anything else sees the request.

    A socket only its owner can open keeps other users out; somebody who leads it to a port has this as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        complaint = _complaint(Headers(scope=scope)) if scope["type"] == "http" else None
        if complaint is None:
            await self._app(scope, receive, send)
            return
        error = {"code": "foreign", "message": complaint, "hint": None}
        await JSONResponse({"error": error}, status_code=403)(scope, receive, send)


def _complaint(headers: Headers) -> str | None:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_ours(hosts[0]):
        return "the Host header is not this agent's"
    origins = headers.getlist("origin")
    if any(_place(origin) != hosts[0].lower() for origin in origins):
        return "a page from elsewhere may not ask this agent"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "a page from elsewhere may not ask this agent"
    return None


def _is_ours(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match["name"].lower() in _OURS


def _place(origin: str) -> str | None:
    """Host and port of a web origin; None for any other, ``null`` for one."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
    return parts.netloc.lower() if whole else None
