"""Checks of each request before a page is made, and the security headers of each answer."""

from __future__ import annotations

import os
import secrets
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.process.ports import owner_of_connection
from agent.ui.session import BrowserSession, BrowserSessions

OPEN_PATHS: Final = frozenset({"/login", "/static/style.css", "/static/app.js"})
"""Addresses that need no session: the page that takes the code, its colours and its script."""

SESSION_KEY: Final = "ui_session"
NONCE_KEY: Final = "ui_nonce"
"""Entries of the request's scope: the session, and the nonce of this answer's style elements."""

HEADERS: Final = (
    ("x-content-type-options", "nosniff"),
    # With "no-referrer" a browser sends "Origin: null" with our own forms, and the check of the origin refuses them.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)


def content_security_policy(nonce: str) -> str:
    """Return the policy of a page: nothing from elsewhere, no inline script, no frames."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'"
    )


class SecurityHeadersMiddleware:
    """Add the security headers to every answer, refusals too. Only the program's own assets may be stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a nonce of its own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope[NONCE_KEY] = nonce

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers[name] = value
                headers["content-security-policy"] = content_security_policy(nonce)
                headers["cache-control"] = "no-cache" if scope["path"].startswith("/static/") else "no-store"
            await send(message)

        await self._app(scope, receive, with_headers)


class SessionMiddleware:
    """Refuse a request without a session, and one from a process of another user, before any page sees it.

    Args:
        sessions: the open sessions.
        cookie_name: name of the session's cookie.
        refuse: answers a refused request; its scope holds no session of the caller.
    """

    def __init__(self, app: ASGIApp, sessions: BrowserSessions, cookie_name: str, refuse: ASGIApp) -> None:
        self._app = app
        self._sessions = sessions
        self._cookie_name = cookie_name
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = scope[SESSION_KEY] = self._session(scope)
        allowed = (session is not None or scope["path"] in OPEN_PATHS) and not _is_foreign_user(scope)
        await (self._app if allowed else self._refuse)(scope, receive, send)

    def _session(self, scope: Scope) -> BrowserSession | None:
        cookie = Request(scope).cookies.get(self._cookie_name)
        return None if cookie is None else self._sessions.find(cookie)


def _is_foreign_user(scope: Scope) -> bool:
    """Return True if a process of another user opened the connection.

    A code is visible in the arguments of the browser that is started with it, and a cookie is sent to every port of
    this machine. Neither helps another user whose connection is refused. Where the system has no such table, the
    cookie decides alone.
    """
    ours, theirs = scope.get("server"), scope.get("client")
    if ours is None or theirs is None:
        return False
    owner = owner_of_connection((ours[0], ours[1]), (theirs[0], theirs[1]))
    return owner is not None and owner not in (0, os.getuid())


def wants_page(headers: Headers) -> bool:
    """Return True if the answer is shown as a page, not read by a script."""
    return "text/html" in headers.get("accept", "text/html") and headers.get("hx-request") is None
