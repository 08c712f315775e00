"""Sources of a server in the dashboard: renamed, archived, brought back, deleted; over HTTP, a daemon and a hub."""

from __future__ import annotations

from pathlib import Path

from support.processes import Home
from support.servers import HubServer, StrictServer
from ui.http_visit import forms, plain_browser, text_of

HOSTILE = '"><img src=x onerror=alert(1)>'
AT = "/servers/source"


def _form(page: str, action: str) -> dict[str, str]:
    (found,) = [fields for fields in forms(page)[AT] if fields["action"] == action]
    return found


def test_a_source_is_renamed_archived_and_deleted(tmp_path: Path) -> None:
    """Each change but the delete has its undo; a delete needs a tick; no file on the disk changes."""
    home = Home(tmp_path)
    home.write("a.md", "one\n")
    with HubServer.serving(tmp_path / "hub") as hub:
        home.login(hub)
        source = home.link("--name", "team")
        with home.daemon() as daemon, plain_browser(daemon) as browser:

            def row() -> tuple[str, str]:
                (found,) = daemon.call("sources")
                return found["name"], found["status"]

            page = browser.get("/servers")
            browser.post(AT, **_form(page, "rename") | {"name": HOSTILE})
            page = browser.get("/servers")
            assert row() == (HOSTILE, "active") and "<img" not in page
            assert f"team is called {HOSTILE} on raven now" in text_of(page)
            browser.post(AT, **next(one for one in forms(page)[AT] if one.get("name") == "team"))
            assert row() == ("team", "active")

            page = browser.get("/servers")
            browser.post(AT, **_form(page, "archive"))
            assert row() == ("team", "archived")
            page = browser.get("/servers")
            assert "archived" in text_of(page) and f"raven-agent sources archive {source} --undo" in text_of(page)
            browser.post(AT, **forms(page)[AT][0])
            assert row() == ("team", "active")

            page = browser.get("/servers")
            refused = browser.post(AT, **_form(page, "delete"))
            assert refused.status_code == 409 and "the tick is missing" in refused.text
            assert row() == ("team", "active")
            browser.post(AT, **_form(page, "delete"), sure="1")
            page = browser.get("/servers")
            assert "team is deleted on raven" in text_of(page) and "undo-bar" not in page
            assert daemon.call("sources") == [] and home.texts() == {"a.md": "one\n"}


def test_a_server_without_these_calls_says_so(signed_in: Home, strict: StrictServer) -> None:
    """The page of a server that does not offer the change names the reason, and nothing is changed."""
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        page = browser.get("/servers")
        answer = browser.post(AT, **_form(page, "archive"))
        assert answer.status_code == 409 and "does not let a client change its sources" in answer.text
        assert [one["status"] for one in daemon.call("sources")] == ["active"]
