"""Every address of the dashboard, as the table of routes lists them: refused to strangers, never in a frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import httpx
import pytest

from agent.ui.page_route import PageRoute
from agent.ui.pages import NAVIGATION, ROUTES
from ui.conftest import Opened, ScriptedApi

FOREIGN = {
    "foreign origin": {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    "another port": {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"},
    "a file or a sandbox": {"origin": "null"},
    "rebinding host": {"host": "evil.example"},
}
Ask = Callable[[PageRoute], httpx.Response]


def _address(route: PageRoute) -> str:
    return re.sub(r"\{[^}]+\}", "1", route.path)


def _all_refused(routes: Iterable[PageRoute], ask: Ask, api: ScriptedApi) -> None:
    """Ask for each route; each answer is a 403 that no frame shows, and no method of the agent is called."""
    before = len(api.calls)
    for route in routes:
        answer = ask(route)
        assert answer.status_code == 403, (route, answer.text)
        assert answer.headers["x-frame-options"] == "DENY", route
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], route
        assert answer.headers["cache-control"] == "no-store", route
    assert len(api.calls) == before


def test_no_address_answers_without_a_session(api: ScriptedApi, opened: Opened) -> None:
    """A good code that was not exchanged yet changes nothing, in whatever place it is sent."""
    with httpx.Client() as stranger:
        _all_refused(
            ROUTES,
            lambda route: stranger.request(route.method, opened.origin + _address(route), params={"code": opened.code}),
            api,
        )


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_no_address_answers_a_foreign_page(
    api: ScriptedApi, opened: Opened, client: httpx.Client, headers: dict[str, str]
) -> None:
    """With the cookie too: a page of another site, another port, and another name for this address are refused."""
    _all_refused(
        ROUTES, lambda route: client.request(route.method, opened.origin + _address(route), headers=headers), api
    )


def test_no_form_is_taken_without_its_token(api: ScriptedApi, opened: Opened, client: httpx.Client) -> None:
    """The cookie alone, or with the token of another session, changes nothing."""
    forms = [route for route in ROUTES if route.method == "POST"]
    assert len(forms) > 20
    for fields in ({}, {"csrf": ""}, {"csrf": opened.code}):
        _all_refused(
            forms,
            lambda route, fields=fields: client.post(opened.origin + _address(route), data={"x": "1", **fields}),  # type: ignore[misc]
            api,
        )


def test_a_page_is_shown_in_no_frame(api: ScriptedApi, opened: Opened, client: httpx.Client) -> None:
    """A page that is shown forbids it as well, whatever kind of answer it is."""
    for path in ("/", "/login", "/static/app.js", "/no-such-page"):
        answer = client.get(opened.origin + path)
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_each_route_is_listed_once() -> None:
    """No page takes the address of another one, and each entry of the navigation is a page with a key of its own."""
    asked = [(route.method, route.path) for route in ROUTES]
    assert len(set(asked)) == len(asked)
    assert {entry.path for entry in NAVIGATION} <= {path for method, path in asked if method == "GET"}
    assert len({entry.key for entry in NAVIGATION}) == len(NAVIGATION)
