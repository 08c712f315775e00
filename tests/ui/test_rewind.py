"""Rewind, and parts of pages that change by themselves, in a real Chromium over a running agent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import StrictServer
from ui.browsing import NARROW, chromium, screen

World = tuple[Home, StrictServer, Daemon, Browser]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A linked folder with three files that are in step."""
    with StrictServer.serving() as server:
        home = Home(tmp_path_factory.mktemp("rewind"))
        home.login(server)
        for name in ("kept", "edited", "deleted"):
            home.write(f"{name}.md", f"{name} then\n")
        home.link()
        with home.daemon() as daemon, chromium() as browser:
            yield home, server, daemon, browser


def _synced(home: Home, daemon: Daemon) -> None:
    daemon.call("sync")
    eventually(lambda: daemon.source()["state"] == "up_to_date", 20, "the folder is in step")


def test_a_folder_goes_back_and_forward_again(world: World) -> None:
    """The page lists exactly the files, changes them with one button, and takes the whole step back."""
    home, _, daemon, browser = world
    last = daemon.call("activity", limit=1)[-1]["at"]
    at = dt.datetime.fromisoformat(last) + dt.timedelta(milliseconds=1)
    home.write("edited.md", "edited now\n")
    home.write("made.md", "made now\n")
    (home.folder / "deleted.md").unlink()
    _synced(home, daemon)
    now = home.texts()
    source = daemon.source()["id"]
    with screen(browser, daemon) as window:
        page = window.open(f"/rewind/{source}")
        page.get_by_text("The numbers, and a link to each time").click()
        assert page.locator("svg rect").count() >= 1
        assert window.violations() == []
        when = at.isoformat().replace("+", "%2B")
        page.goto(f"{window.origin}/rewind/{source}?at={when}&below=edited.md")
        expect(page.locator("main")).to_contain_text("1 file would be restored")
        page.goto(f"{window.origin}/rewind/{source}?at={when}")
        expect(page.locator("main")).to_contain_text("2 files would be restored")
        expect(page.locator("main")).to_contain_text("1 file made later would go to the trash")
        window.picture("rewind-light")
        assert window.violations() == []
        page.get_by_role("button", name="Change 3 files").click()
        expect(page.locator(".notice.good")).to_contain_text("3 files changed")
        assert home.texts() == {
            name: f"{name.removesuffix('.md')} then\n" for name in ("kept.md", "edited.md", "deleted.md")
        }
        page.get_by_role("button", name="Undo", exact=True).click()
        expect(page.locator(".notice.good")).to_contain_text("Undone: 3 files changed")
        assert home.texts() == now
        assert window.problems == []


def test_a_rewind_page_fits_a_narrow_window(world: World) -> None:
    """At 320 px and in the dark nothing is cut, and axe finds nothing."""
    _, _, daemon, browser = world
    with screen(browser, daemon, viewport=NARROW, color_scheme="dark") as window:
        window.open(f"/rewind/{daemon.source()['id']}?by=day")
        assert window.overflow() <= 0
        assert window.violations() == []
        window.picture("rewind-narrow")


def test_the_inbox_changes_by_itself(world: World) -> None:
    """A new conflict appears, and goes once it is solved; a row that is in use stays."""
    home, server, daemon, browser = world
    with screen(browser, daemon) as window:
        page = window.open("/conflicts")
        expect(page.locator("#live")).to_contain_text("No conflicts")
        daemon.call("pause")
        home.write("kept.md", "mine\n")
        server.replace(daemon.source()["id"], "kept.md", "theirs\n")
        daemon.call("resume")
        expect(page.get_by_role("link", name="kept.md")).to_be_visible(timeout=40_000)
        expect(page.locator("#live-said")).to_have_text("1 conflict")
        page.get_by_label("Choose kept.md").check()
        assert home.run("resolve", "--all", "keep_local").code == 0
        expect(page.locator("#live-stale")).to_be_visible(timeout=20_000)
        expect(page.get_by_label("Choose kept.md")).to_be_checked()
        page.get_by_role("link", name="Show it").click()
        expect(page.locator("#live")).to_contain_text("The last one was solved")
        window.picture("inbox-empty")
        assert window.problems == []


def test_the_overview_changes_by_itself(world: World) -> None:
    """A pause in the terminal is shown without a reload, and said once to a screen reader."""
    _, _, daemon, browser = world
    with screen(browser, daemon) as window:
        page = window.open("/")
        expect(page.locator("#live")).to_contain_text("in step", timeout=20_000)
        daemon.call("pause")
        expect(page.locator("#live")).to_contain_text("paused", timeout=20_000)
        expect(page.locator("#live-said")).to_contain_text("paused", timeout=20_000)
        daemon.call("resume")
        expect(page.locator("#live")).to_contain_text("in step", timeout=20_000)
        assert window.violations() == []
        assert window.problems == []


def test_the_activity_changes_by_itself(world: World) -> None:
    """A new entry appears; a paused list stays, and catches up afterwards."""
    home, _, daemon, browser = world
    with screen(browser, daemon) as window:
        page = window.open("/activity")
        home.write("seen-1.md", "1\n")
        expect(page.locator("#live")).to_contain_text("seen-1.md", timeout=20_000)
        page.get_by_role("button", name="Pause the list").click()
        home.write("seen-2.md", "2\n")
        with page.expect_response(lambda answer: "/activity" in answer.url, timeout=20_000):
            pass
        assert "seen-2.md" not in page.inner_text("#live")
        page.get_by_role("button", name="Pause the list").click()
        expect(page.locator("#live")).to_contain_text("seen-2.md", timeout=20_000)
        assert window.problems == []
