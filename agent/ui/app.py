"""The ASGI application: checks first, then the routes of the pages."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.host_guard import HostOriginMiddleware
from agent.core.errors import AgentError
from agent.ui.guard import SecurityHeadersMiddleware, SessionMiddleware, wants_page
from agent.ui.page_route import LOGIN_PATH, PageRoute
from agent.ui.pages import NAVIGATION, ROUTES
from agent.ui.session import BrowserSessions
from agent.ui.visit import FORM_BYTES, DashboardParts, FormRefused, Visit
from agent.ui.words import FILTERS, ICONS, command

log = logging.getLogger(__name__)

HERE: Final = Path(__file__).parent


def make_templates() -> jinja2.Environment:
    """Return the templates. Every value is escaped, in every kind of template."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters.update(FILTERS)
    templates.globals.update(navigation=NAVIGATION, command=command, icons=ICONS)
    return templates


def make_app(parts: DashboardParts, sessions: BrowserSessions, cookie_name: str) -> ASGIApp:
    """Return the application.

    Args:
        parts: what the pages are made of.
        sessions: the open sessions.
        cookie_name: name of the session's cookie; two agents of one machine use two names.
    """
    routes: list[Route | Mount] = [
        Route(route.path, _endpoint(route, parts), methods=[route.method]) for route in ROUTES
    ]
    routes.append(Route(LOGIN_PATH, _endpoint(PageRoute(LOGIN_PATH, login_page), parts), methods=["GET"]))
    routes.append(Route(LOGIN_PATH, _login(parts, sessions, cookie_name), methods=["POST"]))
    routes.append(Route("/lock", _lock(parts, sessions, cookie_name), methods=["POST"]))
    routes.append(Mount("/static", StaticFiles(directory=HERE / "static")))

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        text = "this browser is not signed in, or its session has ended"
        await _refusal(Visit(request, parts, b""), request, 403, text, "raven-agent ui")(scope, receive, send)

    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeadersMiddleware),
            Middleware(HostOriginMiddleware),
            Middleware(SessionMiddleware, sessions=sessions, cookie_name=cookie_name, refuse=refuse),
        ],
        exception_handlers={HTTPException: _not_found(parts)},
    )


def login_page(visit: Visit) -> Response:
    """Show the form that takes the one-time code."""
    return visit.page("login.html", refused="", hint="")


async def body_of(request: Request) -> bytes:
    """Return the body of a form.

    Raises:
        FormRefused: it is too large, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise FormRefused("the request is no form")
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > FORM_BYTES:
            raise FormRefused(f"the form is larger than {FORM_BYTES >> 20} MiB")
    return bytes(received)


def _endpoint(route: PageRoute, parts: DashboardParts) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = Visit(request, parts, b"")
        try:
            if request.method == "POST":
                visit = Visit(request, parts, await body_of(request))
                visit.require_csrf()
            return await run_in_threadpool(route.handler, visit)
        except FormRefused as error:
            return _refusal(visit, request, 403, error.message, error.hint)
        except AgentError as error:
            status = 404 if request.method == "GET" and error.code == "usage" else 409
            return _refusal(visit, request, status, error.message, error.hint)
        except HTTPException:
            raise
        except Exception as error:
            log.exception("the page %s failed", request.url.path)
            return _refusal(visit, request, 500, f"the agent failed: {error!r}", "raven-agent logs")

    return answer


def _refusal(visit: Visit, request: Request, status: int, message: str, hint: str | None) -> Response:
    if not wants_page(request.headers):
        error = {"code": "refused", "message": message, "hint": hint}
        return JSONResponse({"error": error}, status)
    if visit.session is None:
        return visit.page("login.html", status, refused=message, hint=hint or "")
    return visit.page("refused.html", status, message=message, hint=hint or "")


def _not_found(parts: DashboardParts) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = "there is no such page" if status == 404 else "this page takes no such request"
        return _refusal(Visit(request, parts, b""), request, status, words, None)

    return answer


def _login(
    parts: DashboardParts, sessions: BrowserSessions, cookie_name: str
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = Visit(request, parts, b"")
        try:
            visit = Visit(request, parts, await body_of(request))
        except FormRefused as error:
            return visit.page("login.html", 403, refused=error.message, hint="")
        cookie = sessions.redeem(visit.form.text("code").strip())
        if cookie is None:
            words = "this code is not good: each is good once, for 60 seconds"
            return visit.page("login.html", 403, refused=words, hint="raven-agent ui")
        response = RedirectResponse("/", 303)
        response.set_cookie(cookie_name, cookie, path="/", httponly=True, samesite="strict")
        return response

    return answer


def _lock(
    parts: DashboardParts, sessions: BrowserSessions, cookie_name: str
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = Visit(request, parts, b"")
        try:
            visit = Visit(request, parts, await body_of(request))
            visit.require_csrf()
        except FormRefused as error:
            return _refusal(visit, request, 403, error.message, error.hint)
        sessions.end(request.cookies.get(cookie_name, ""))
        response = RedirectResponse(LOGIN_PATH, 303)
        response.delete_cookie(cookie_name, path="/", httponly=True, samesite="strict")
        return response

    return answer
