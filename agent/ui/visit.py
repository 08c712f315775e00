"""One request as a page sees it, and the ways to answer it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jinja2
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agent.core.errors import AgentError
from agent.ui.guard import NONCE_KEY, SESSION_KEY
from agent.ui.preferences import DashboardPreferences, PreferencesFile
from agent.ui.session import BrowserSession, Notice, uptime

Call = Callable[[str, Mapping[str, Any]], Any]
"""Answers one method of the control API with its document. Raises AgentError."""

FORM_BYTES: Final = 64 << 20
"""Largest form: a merged text is not larger than what a server takes."""


class FormRefused(AgentError):
    """A form without the session's token, or one that cannot be read."""

    code = "foreign"


class DashboardParts(Struct, frozen=True):
    """The parts that every page is made of.

    Attributes:
        call: the control API.
        templates: the templates, with autoescape.
        preferences: what a person chose about the look of the pages.
        is_ending: returns True once the listener ends, so that an answer without end stops too.
        clock: the clock of the sessions.
    """

    call: Call
    templates: jinja2.Environment
    preferences: PreferencesFile
    is_ending: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = uptime


class Fields:
    """Fields of a form or of an address, each with any number of values."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """Return the first value of a field."""
        found = self._values.get(name)
        return found[0] if found else default

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return list(self._values.get(name, ()))

    def lines(self, name: str) -> list[str]:
        """Return the lines of a text field that are not empty, without surrounding spaces."""
        return [line.strip() for line in self.text(name).splitlines() if line.strip()]

    def number(self, name: str, default: int) -> int:
        """Return a field as a whole number; ``default`` for anything else."""
        found = self.text(name)
        return int(found) if found.isascii() and found.isdigit() and len(found) < 16 else default


class Visit:
    """One request, for the function of a page. It runs on a thread of its own, so calls may take their time.

    Attributes:
        request: the request of Starlette.
        query: fields of the address.
        form: fields of a posted form.
        session: the signed-in browser; None on the page that signs in.
    """

    def __init__(self, request: Request, parts: DashboardParts, body: bytes) -> None:
        self.request = request
        self.query = Fields(_parsed(request.scope["query_string"].decode("ascii", "replace")))
        self.form = Fields(_parsed(body.decode("utf-8", "replace")) if body else {})
        self.session: BrowserSession | None = request.scope[SESSION_KEY]
        self._parts = parts

    @property
    def route(self) -> Mapping[str, Any]:
        """Variable parts of the path."""
        return self.request.path_params

    @property
    def preferences(self) -> DashboardPreferences:
        """A person's choices about the look of the pages."""
        return self._parts.preferences.read()

    @property
    def is_ending(self) -> bool:
        """True once the listener ends."""
        return self._parts.is_ending()

    def prefer(self, preferences: DashboardPreferences) -> None:
        """Store other preferences."""
        self._parts.preferences.write(preferences)

    def call(self, method: str, **params: Any) -> Any:
        """Answer one method of the control API. Parameters that are None are left out.

        Raises:
            AgentError: the request was refused; the message gives the reason.
        """
        return self.call_with(method, {name: value for name, value in params.items() if value is not None})

    def call_with(self, method: str, params: Mapping[str, Any]) -> Any:
        """Answer one method of the control API with these parameters, None included. Raises AgentError."""
        return self._parts.call(method, params)

    def require_csrf(self) -> None:
        """Check the token of a form, in its field or in a header.

        Raises:
            FormRefused: it is not the session's token.
        """
        given = self.form.text("csrf") or self.request.headers.get("x-csrf-token", "")
        wanted = "" if self.session is None else self.session.csrf
        if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise FormRefused("this form is not from an open page of this session", "load the page again, and repeat")

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page made from a template, with the messages that wait for one."""
        notices: list[Notice] = []
        offer, seconds = None, 0
        if self.session is not None:
            notices, self.session.notices = self.session.notices, []
            offer = self.session.offer
            seconds = 0 if offer is None else offer.seconds_left(self._parts.clock())
        text: str = self._parts.templates.get_template(template).render(
            visit=self,
            nonce=self.request.scope[NONCE_KEY],
            csrf="" if self.session is None else self.session.csrf,
            preferences=self.preferences,
            notices=notices,
            offer=offer.notice if offer is not None and seconds else None,
            offer_seconds=seconds,
            here=self.request.url.path,
            **values,
        )
        return HTMLResponse(text, status)

    def fragment(self, template: str, **values: Any) -> Response:
        """Return a part of a page. It shows no waiting messages: the next whole page does."""
        text: str = self._parts.templates.get_template(template).render(
            visit=self, csrf="" if self.session is None else self.session.csrf, here=self.request.url.path, **values
        )
        return HTMLResponse(text)

    def go(self, address: str, notice: str | Notice = "") -> Response:
        """Send the browser to another page of this program, and show a message there."""
        if notice and self.session is not None:
            self.session.say(Notice(notice) if isinstance(notice, str) else notice, self._parts.clock())
        return RedirectResponse(local_address(address), 303)


def local_address(address: str) -> str:
    """Return an address below this program's root; ``/`` for any other one, so that no form leads elsewhere."""
    parts = urlsplit(address)
    is_local = not parts.scheme and not parts.netloc and address.startswith("/") and not address.startswith("//")
    return address if is_local and "\\" not in address and address.isprintable() else "/"


def _parsed(text: str) -> Mapping[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=50_000)
    except ValueError:
        return {}
