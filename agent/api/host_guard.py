"""Check of Host and Origin: programs of the owner may use the control API, web pages of others may not."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_OURS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "agent"})
"""Host names accepted without DNS. Any resolvable name could be pointed at 127.0.0.1 by its owner (DNS rebinding)."""
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[^:\[\]@/]*)(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


class HostOriginMiddleware:
    """Answer 403 to a request that a browser sends for a foreign page, before any handler sees it.

    The socket's mode keeps other users out. This check also protects an owner who forwards the socket to a port.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        reason = _refusal_reason(Headers(scope=scope)) if scope["type"] == "http" else None
        if reason is None:
            await self._app(scope, receive, send)
            return
        error = {"code": "foreign", "message": reason, "hint": None}
        await JSONResponse({"error": error}, status_code=403)(scope, receive, send)


def _refusal_reason(headers: Headers) -> str | None:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_ours(hosts[0]):
        return "the Host header is not this agent's"
    origins = headers.getlist("origin")
    if any(_host_of(origin) != hosts[0].lower() for origin in origins):
        return "requests from another origin are refused"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "requests from another origin are refused"
    return None


def _is_ours(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match["name"].lower() in _OURS


def _host_of(origin: str) -> str | None:
    """Return host and port of a web origin; None for any other origin, such as ``null``."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
    return parts.netloc.lower() if whole else None
