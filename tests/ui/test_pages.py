"""Every page in a real browser over a real daemon: complete, accessible, narrow, dark, without scripts."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from support.servers import HubServer
from ui.browsing import chromium
from ui.world import HOSTILE_NAME, Watched, World, running_world, signed_in

PAGES = {
    "overview": "/",
    "folder": "/f/{source}",
    "search": "/f/{source}?q=jan",
    "skipped": "/f/{source}?state=skipped",
    "file": "/file/{source}/todo.md",
    "conflict-file": "/file/{source}/fought.md",
    "hostile-file": "/file/{source}/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.md",
    "history": "/history/{source}/todo.md",
    "history-split": "/history/{source}/todo.md?view=split",
    "trash": "/trash",
    "activity": "/activity",
    "activity-filtered": "/activity?kind=pushed&span=24h&q=todo",
    "rules": "/rules/{source}",
    "rules-tested": "/rules/{source}?test=journal/2026/x.org",
    "servers": "/servers",
    "add": "/add?browse=1&folder=/",
    "unlink": "/unlink/{source}",
    "report": "/health/bundle",
    "health": "/health",
    "settings": "/settings",
    "history-text": "/history/{source}/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.md?view=text",
}
WINDOWS: dict[str, dict[str, Any]] = {
    "scripts": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "plain": {"viewport": {"width": 320, "height": 640}, "java_script_enabled": False},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_hub: HubServer) -> Iterator[World]:
    """One machine for all tests of this module; a test leaves its files as they are."""
    with running_world(tmp_path_factory.mktemp("world"), shared_hub) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module; each page has a profile of its own."""
    with chromium() as made:
        yield made


@pytest.fixture
def watched(browser: Browser, world: World) -> Iterator[Watched]:
    """A signed-in page; nothing may go wrong in it."""
    with signed_in(browser, world) as made:
        yield made
        assert made.troubles == []


@pytest.mark.parametrize("kind", WINDOWS)
def test_every_page_is_complete_in_every_look(browser: Browser, world: World, kind: str) -> None:
    """No violation that axe-core finds, no sideways scrolling, no refused part, one heading of the first rank.

    Each page is loaded once with scripts, and then seen in light, dark and narrow; once without scripts, narrow.
    """
    wrong: list[str] = []
    with signed_in(browser, world, reduced_motion="reduce", **WINDOWS[kind]) as watched:
        for name, path in PAGES.items():
            page = watched.go(path.format(source=world.source))
            if page.locator("h1").count() != 1:
                wrong.append(f"{name}: not one heading")
            if kind == "scripts":
                wrong += [f"{name}: {found}" for found in watched.violations()]
                wrong += _scrolled(watched, name, "light")
                page.emulate_media(color_scheme="dark")
                wrong += [f"{name}: {found}" for found in watched.violations("color-contrast")]
                _picture(watched, name, "dark")
                page.set_viewport_size({"width": 320, "height": 640})
                wrong += _scrolled(watched, name, "narrow")
                page.set_viewport_size({"width": 1280, "height": 900})
                page.emulate_media(color_scheme="light")
            else:
                wrong += _scrolled(watched, name, "plain")
        assert wrong == []
        assert watched.troubles == []


def _scrolled(watched: Watched, name: str, look: str) -> list[str]:
    _picture(watched, name, look)
    return [f"{name}: scrolls sideways, {look}"] if watched.is_wider_than_its_window() else []


def _picture(watched: Watched, name: str, look: str) -> None:
    if pictures := os.environ.get("UI_SCREENSHOTS"):
        watched.page.screenshot(path=Path(pictures) / f"{name}-{look}.png", full_page=True)


def test_a_hostile_name_and_text_do_nothing(watched: Watched, world: World) -> None:
    """A file named like an element and a text full of markup are shown as they are written."""
    page = watched.go(f"/f/{world.source}")
    page.click(f"text={HOSTILE_NAME}")
    assert page.inner_text("h1") == HOSTILE_NAME
    page.click("main >> text=History")
    page.select_option("#view", "text")
    page.locator("main form.filters button").click()
    assert "<script>alert(2)</script>" in page.inner_text(".code")
    assert "{{ 7 * 7 }}" in page.inner_text(".code")
    assert page.locator("main img, main script").count() == 0


def test_a_version_is_restored_and_taken_back_without_scripts(browser: Browser, world: World) -> None:
    """Forms and links alone restore an old version; the undo brings back what was there."""
    file = world.home.folder / "todo.md"
    before = file.read_text()
    with signed_in(browser, world, java_script_enabled=False) as watched:
        page = watched.go(world.at("history", "todo.md"))
        page.click(".versions li:last-child a")
        page.click("text=Restore this version")
        assert file.read_text() == "milk\nbread\n"
        page.click("text=Undo")
        assert "Restored" in page.inner_text(".notice")
        assert file.read_text() == before


def test_keys_move_between_pages_and_rows(watched: Watched, world: World) -> None:
    """Single keys work, leave fields alone, and can be switched off."""
    page = watched.go("/")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url(f"**/f/{world.source}")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/file/**")
    watched.go(f"/f/{world.source}")
    page.keyboard.press("/")
    page.keyboard.type("g?")
    assert page.input_value("#q") == "g?"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.click("text=switch off")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 0
    page.click("text=switch on")


def test_the_skip_link_is_first_and_focus_is_visible(watched: Watched) -> None:
    """The first stop of the Tab key leads to the content, and every stop has an outline of 2 pixels or more."""
    page = watched.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    outline = "parseFloat(getComputedStyle(document.activeElement).outlineWidth)"
    seen = 0
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert page.evaluate(outline) >= 2, page.evaluate("document.activeElement.outerHTML")
        seen += 1
    assert seen >= 10


def test_a_folder_is_paused_and_goes_on(watched: Watched, world: World) -> None:
    """The page pauses what the command pauses; its message takes the pause back."""
    page = watched.go("/")
    page.click("text=Pause 15 min")
    assert world.daemon.source()["state"] == "paused"
    page.click(".notice >> text=Undo")
    assert world.daemon.source()["state"] != "paused"


def test_the_undo_counts_down_and_waits_for_the_focus(browser: Browser, world: World) -> None:
    """Keys alone reach the undo. The countdown stops while the focus is on it, and the bar goes at its end."""
    with signed_in(browser, world) as watched:
        # The clock of the page moves only as the test says, however long the browser takes.
        watched.page.clock.install(time=0)
        watched.page.clock.pause_at(1000)
        page = watched.go("/")
        page.click("text=Pause 15 min")
        page.mouse.move(0, 0)
        seconds = int(page.locator("#undo-bar").get_attribute("data-seconds") or "0")
        assert page.inner_text("#undo-left") == f"{seconds} s"
        page.clock.run_for(1000)
        assert page.locator("#undo-left").inner_text() == f"{seconds - 1} s"
        page.focus("#undo-bar button")
        page.clock.run_for(60_000)
        assert page.locator("#undo-left").inner_text() == f"{seconds - 1} s"
        page.keyboard.press("Tab")
        page.clock.run_for(1000 * seconds)
        assert page.locator("#undo-bar").count() == 0
        page.click("text=Resume all")
        page.click("text=Pause 15 min")
        page.focus("#undo-bar button")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert world.daemon.source()["state"] != "paused"


def test_targets_are_large_enough(browser: Browser, world: World) -> None:
    """On a narrow screen every button, link of a list and field is at least 24 pixels high."""
    small = (
        "[...document.querySelectorAll('button, nav a, td a, th a, .links a, .counts a, summary, input, select')]"
        ".filter((one) => one.offsetParent && one.type !== 'hidden' && one.getBoundingClientRect().height < 23.9)"
        ".map((one) => one.outerHTML)"
    )
    with signed_in(browser, world, viewport={"width": 320, "height": 640}) as watched:
        for path in ("/", "/f/{source}", "/trash", "/activity", "/settings"):
            page = watched.go(path.format(source=world.source))
            assert page.evaluate(small) == [], path


def test_the_first_page_is_small(watched: Watched) -> None:
    """Everything that the first page loads is at most 60 KB compressed."""
    page = watched.go("/")
    page.wait_for_load_state("load")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    parts = [page.url, *(url for url in loaded if url.startswith(watched.origin) and "/events" not in url)]
    sizes = [len(gzip.compress(page.request.get(url).body())) for url in parts]
    assert len(sizes) >= 3 and sum(sizes) <= 60_000, dict(zip(parts, sizes, strict=True))


def test_rules_are_shown_before_they_are_saved(browser: Browser, world: World) -> None:
    """The preview names the files that stop; nothing changes before the save, and no file is deleted."""
    with signed_in(browser, world, java_script_enabled=False) as watched:
        page = watched.go(f"/rules/{world.source}")
        page.fill("#exclude", "journal/")
        page.click("text=Preview")
        assert "stops 2 files" in page.inner_text("main")
        assert "journal/2026/january.md" in page.inner_text("main")
        assert world.daemon.call("rules", folder=str(world.home.folder))["exclude"] == []
        page.click("text=Save")
        assert world.daemon.call("rules", folder=str(world.home.folder))["exclude"] == ["journal/"]
        assert (world.home.folder / "journal/2026/january.md").exists()
        page.check("text=remove journal/")
        page.click("text=Preview")
        page.click("text=Save")
        assert world.daemon.call("rules", folder=str(world.home.folder))["exclude"] == []


def test_a_folder_is_planned_then_linked(browser: Browser, world: World, tmp_path: Path) -> None:
    """The plan names each file before anything is sent; a folder that is not there needs a tick."""
    folder = tmp_path / "recipes"
    with signed_in(browser, world, java_script_enabled=False) as watched:
        page = watched.go("/add")
        page.fill("#folder", str(folder))
        page.select_option("#server", "raven")
        page.click("text=Show what it would do")
        assert "there is no folder" in page.inner_text(".notice")
        folder.mkdir()
        (folder / "soup.md").write_text("water\n")
        page.click("text=Show what it would do")
        assert "1 file sent to the server" in page.inner_text("main")
        assert len(world.daemon.call("status")["sources"]) == 1
        page.click("section button.primary")
        assert "Linked" in page.inner_text(".notice")
    assert len(world.daemon.call("status")["sources"]) == 2
    world.daemon.call("unlink", folder=str(folder), force=True)
