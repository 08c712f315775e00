"""Unlinking a folder in the dashboard, over HTTP and a real daemon: the preview, the change, and the way back."""

from __future__ import annotations

from support.eventually import eventually
from support.processes import Home
from support.servers import StrictServer
from ui.http_visit import forms, plain_browser, text_of

HOSTILE = "<img src=x onerror=alert(1)>.md"


def test_a_folder_is_unlinked_and_linked_again(signed_in: Home, strict: StrictServer) -> None:
    """The page says what stays; the undo gives the same link with its own patterns, and sends nothing again."""
    signed_in.run("rules", signed_in.folder, "--exclude", "drafts/", "--include", "**/*.org")
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        before = daemon.source()
        rules = daemon.call("rules", folder=str(signed_in.folder))
        at = f"/unlink/{before['id']}"
        page = browser.get(at)
        assert "1 file, 4 B" in text_of(page) and "Nothing is deleted" in text_of(page)
        assert "raven-agent unlink" in text_of(page) and "What ends" not in text_of(page)
        assert daemon.call("status")["sources"] != []
        page = browser.submit(page, at)
        assert "is not synced any more" in text_of(page)
        assert daemon.call("status")["sources"] == []
        assert signed_in.texts() == {"a.md": "one\n"} and strict.text(before["id"], "a.md") == "one\n"
        page = browser.submit(page, "/unlink")
        assert "Linked again" in text_of(page)
        again = daemon.source()
        assert {name: again[name] for name in ("id", "name", "root", "server", "mode")} == {
            name: before[name] for name in ("id", "name", "root", "server", "mode")
        }
        assert daemon.call("rules", folder=str(signed_in.folder)) == rules
        eventually(lambda: daemon.source()["state"] == "up_to_date", 20, "the folder is in step")


def test_unsent_changes_need_a_tick(signed_in: Home, strict: StrictServer) -> None:
    """Without the tick nothing happens; the page names the files, also one with a hostile name."""
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        strict.down()
        signed_in.write(HOSTILE, "never sent\n")
        eventually(lambda: daemon.source()["pending_push"] == 1, 20, "the file is seen")
        at = f"/unlink/{daemon.source()['id']}"
        page = browser.get(at)
        assert "1 change not on the server yet" in text_of(page) and HOSTILE in text_of(page)
        assert "<img" not in page
        assert "Tick the box" in text_of(browser.submit(page, at))
        assert len(daemon.call("status")["sources"]) == 1
        browser.submit(page, at, force="1")
        assert daemon.call("status")["sources"] == []
        assert HOSTILE in signed_in.texts()
        strict.up()


def test_a_paused_folder_is_unlinked_without_an_undo(signed_in: Home) -> None:
    """A new link would sync at once, and a paused folder must not."""
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        daemon.call("pause")
        at = f"/unlink/{daemon.source()['id']}"
        page = browser.submit(browser.get(at), at)
        assert "is not synced any more" in text_of(page) and "/unlink" not in forms(page)


def test_an_address_of_no_folder_is_no_page(signed_in: Home) -> None:
    """A folder that was unlinked elsewhere meanwhile: the page says so, and nothing fails."""
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        at = f"/unlink/{daemon.source()['id']}"
        page = browser.get(at)
        assert signed_in.run("unlink", signed_in.folder).code == 0
        assert "not linked" in text_of(browser.submit(page, at))
        assert "not linked" in text_of(browser.get(at, 404))
