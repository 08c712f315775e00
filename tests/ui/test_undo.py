"""The bar that takes the last change back: for 30 seconds on every page, and only for the last change."""

from __future__ import annotations

import httpx

from agent.ui.session import UNDO_SECONDS, BrowserSession, Notice
from ui.conftest import Opened, ScriptedApi
from ui.http_visit import forms


def test_an_undo_is_offered_for_thirty_seconds() -> None:
    """The seconds are counted down and rounded up; at the end there are none."""
    session = BrowserSession("token", 1e9)
    session.say(Notice("Paused.", undo="/resume"), 100.0)
    assert session.offer is not None and session.notices == []
    left = [session.offer.seconds_left(100.0 + passed) for passed in (0.0, 0.1, 29.0, 29.9, UNDO_SECONDS, 99.0)]
    assert left == [30, 30, 1, 1, 0, 0]


def test_the_next_change_ends_an_undo() -> None:
    """An undo belongs to the last change: one without an undo leaves none, and one with its own replaces it."""
    session = BrowserSession("token", 1e9)
    session.say(Notice("Paused.", undo="/resume"), 0.0)
    session.say(Notice("Set.", undo="/settings"), 1.0)
    assert session.offer is not None and session.offer.notice.undo == "/settings"
    session.say(Notice("Synced."), 2.0)
    assert session.offer is None and [one.text for one in session.notices] == ["Synced."]


def test_every_page_shows_the_undo_until_it_is_used(api: ScriptedApi, opened: Opened, client: httpx.Client) -> None:
    """It outlives the page that follows the change, posts what takes the change back, and is gone after that."""
    api.answers |= {"pause": {"roots": []}, "resume": {"roots": []}, "settings": {"settings": []}}
    csrf = forms(client.get(f"{opened.origin}/").text)["/lock"][0]["csrf"]
    client.post(f"{opened.origin}/pause", data={"csrf": csrf, "folder": '/a "quoted" <b>', "seconds": "60"})
    for path in ("/", "/settings", "/"):
        page = client.get(f"{opened.origin}{path}").text
        assert 'id="undo-bar" data-seconds="' in page
        assert "<b>" not in page
        (fields,) = forms(page)["/resume"][-1:]
        assert fields == {"csrf": csrf, "folder": '/a "quoted" <b>'}
    client.post(f"{opened.origin}/resume", data=fields)
    assert api.calls[-1] == ("resume", {"folder": '/a "quoted" <b>'})
    page = client.get(f"{opened.origin}/").text
    assert "undo-bar" not in page and "It goes on." in page
