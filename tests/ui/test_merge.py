"""The inbox and the merge page in a real Chromium, over a running agent and a strict server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import StrictServer
from ui.browsing import NARROW, Screen, chromium, screen

BASE = "# Plan\n\nIntro.\nThe budget is 100 euros.\nMiddle.\nWe meet on Monday.\nEnd.\n"
MINE = BASE.replace("100 euros", "120 euros").replace("Monday", "Tuesday")
THEIRS = BASE.replace("100 euros", "90 dollars").replace("Monday", "Wednesday")
HOSTILE = "<img src=x onerror=alert(1)>.md"
SCRIPT = "</script><script>alert(2)</script><img src=x onerror=alert(3)>{{ 7 * 7 }}\n"
MERGED = BASE.replace("100 euros", "120 euros").replace("Monday", "Wednesday")


@dataclass(frozen=True)
class World:
    """A machine with conflicts, its daemon and a browser."""

    home: Home
    server: StrictServer
    source: str
    daemon: Daemon
    browser: Browser

    def number(self, path: str) -> str:
        """The number of the conflict about a path."""
        rows = self.daemon.call("conflicts")
        return next(str(row["id"]).split(".")[0] for row in rows if row["path"] == path)

    def paths(self) -> set[str]:
        """The paths in conflict."""
        return {row["path"] for row in self.daemon.call("conflicts")}

    def text(self, path: str) -> str:
        """The server's text of a path, once its conflict is over."""
        eventually(lambda: path not in self.paths(), 20, "the conflict is over")
        found = self.server.text(self.source, path)
        assert found is not None
        return found


MERGES = ("mouse.md", "keys.md", "plain.md", "narrow.md", "moved.md", "side.md", "over.md", HOSTILE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Conflicts of every kind: one file for each test."""
    with StrictServer.serving() as server:
        home = Home(tmp_path_factory.mktemp("merge"))
        home.login(server)
        theirs = dict.fromkeys(MERGES, THEIRS) | {
            HOSTILE: THEIRS + SCRIPT,
            "windows.md": THEIRS.replace("\n", "\r\n"),
            "mixed.md": THEIRS.replace("\n", "\r\n").replace("End.\r\n", "End.\n"),
            "clean-1.md": "A\nb\nc\nd\n",
            "clean-2.md": "A\nb\nc\nd\n",
            "gone.md": "their edit\n",
        }
        mine = dict.fromkeys(MERGES, MINE) | {
            HOSTILE: MINE + SCRIPT.replace("2", "4"),
            "windows.md": MINE.replace("\n", "\r\n"),
            "mixed.md": MINE.replace("\n", "\r\n").replace("End.\r\n", "End.\n"),
            "clean-1.md": "a\nb\nc\nD\n",
            "clean-2.md": "a\nb\nc\nD\n",
        }
        for name in theirs:
            first = {"clean-1.md": "a\nb\nc\nd\n", "clean-2.md": "a\nb\nc\nd\n"}.get(name, BASE)
            home.write(name, first.replace("\n", "\r\n") if name in ("windows.md", "mixed.md") else first)
        source = home.link()
        for name, text in theirs.items():
            server.replace(source, name, text)
            if name in mine:
                home.write(name, mine[name])
            else:
                (home.folder / name).unlink()
        home.sync(code=3)
        with home.daemon() as daemon, chromium() as browser:
            yield World(home, server, source, daemon, browser)


@pytest.fixture
def window(world: World) -> Iterator[Screen]:
    """A signed-in window without a single refused script or style."""
    with screen(world.browser, world.daemon) as made:
        yield made
        assert made.problems == []


def editor(page: Page) -> str:
    """The text of the editor, markers included."""
    # A page that was just opened has its text before its editor.
    expect(page.locator(".cm-content")).to_be_visible()
    # The script that holds the editor gives nothing away; its content element knows its view.
    return str(page.evaluate("document.querySelector('.cm-content').cmTile.view.state.sliceDoc()"))


def test_a_merge_with_the_mouse(world: World, window: Screen) -> None:
    """Buttons decide the blocks, typing changes the text, and the next conflict opens by itself."""
    page = window.open(f"/conflicts/{world.number('mouse.md')}")
    expect(page.locator("#merge-left")).to_have_text("2 of 2 left")
    window.picture("merge-light")
    assert window.violations() == []
    page.get_by_role("button", name="Take mine, conflict 1").click()
    expect(page.locator("#merge-left")).to_have_text("1 of 2 left")
    page.locator("[data-take=server]").click()
    expect(page.locator("#merge-left")).to_contain_text("No conflict left")
    page.locator(".cm-line", has_text="Intro.").click()
    page.keyboard.press("End")
    page.keyboard.type(" Typed here.")
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    assert world.text("mouse.md") == MERGED.replace("Intro.", "Intro. Typed here.")


def test_a_merge_with_keys_only(world: World, window: Screen) -> None:
    """No mouse: blocks are decided, undone and decided again; Escape, then Tab leaves the editor."""
    page = window.open(f"/conflicts/{world.number('keys.md')}")
    left = page.locator("#merge-left")
    page.keyboard.press("Alt+3")
    expect(left).to_have_text("1 of 2 left")
    assert "120 euros.\nThe budget is 90 dollars.\nMiddle" in editor(page)
    page.keyboard.press("Control+z")
    expect(left).to_have_text("2 of 2 left")
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.press("Alt+2")
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+1")
    expect(left).to_contain_text("No conflict left")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Finish")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    assert world.text("keys.md") == MERGED


def test_markers_are_changed_only_as_a_whole(world: World, window: Screen) -> None:
    """Typing and deleting at the edges of a block change its sides, never its markers."""
    page = window.open(f"/conflicts/{world.number('narrow.md')}")
    mine = page.locator(".cm-line.cm-mine").first
    mine.click()
    page.keyboard.press("Home")
    page.keyboard.press("Backspace")
    page.keyboard.type("x")
    page.keyboard.press("End")
    page.keyboard.type("y")
    page.keyboard.press("Delete")
    expect(page.locator("#merge-left")).to_have_text("2 of 2 left")
    assert "<<<<<<< local\nxThe budget is 120 euros.y\n=======\n" in editor(page)
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("alert")).to_contain_text("Conflict markers are left")
    assert "xThe budget is 120 euros.y" in editor(page)
    assert "narrow.md" in world.paths()
    # Chromium reports the status of the refused form.
    assert [one for one in window.problems if "409" not in one] == []
    window.problems.clear()


def test_a_merge_without_javascript(world: World) -> None:
    """The text field and its buttons do the same, one request at a time."""
    with screen(world.browser, world.daemon, java_script_enabled=False) as window:
        page = window.open(f"/conflicts/{world.number('plain.md')}")
        page.get_by_role("button", name="Take mine for conflict 1").click()
        page.get_by_role("button", name="Take server for conflict 1").click()
        text = page.locator("#merge-text")
        expect(text).to_have_value(MERGED)
        text.fill(MERGED + "Added.\n")
        page.get_by_role("button", name="Keep draft").click()
        expect(page.locator(".notice.good")).to_contain_text("The draft is kept")
        window.picture("merge-plain")
        page.get_by_role("button", name="Finish").click()
        expect(page.locator(".notice.good")).to_contain_text("Solved")
    assert world.text("plain.md") == MERGED + "Added.\n"


@pytest.mark.parametrize("name", ["windows.md", "mixed.md"])
def test_line_ends_are_kept(world: World, window: Screen, name: str) -> None:
    """A file with Windows line ends keeps them, in typed lines too; a file with two kinds keeps each of them."""
    page = window.open(f"/conflicts/{world.number(name)}")
    page.keyboard.press("Alt+3")
    page.keyboard.press("Alt+2")
    if name == "windows.md":
        page.keyboard.press("Control+End")
        page.keyboard.type("Typed.\n")
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    merged = MERGED.replace("euros.\n", "euros.\nThe budget is 90 dollars.\n").replace("\n", "\r\n")
    expected = {"windows.md": merged + "Typed.\r\n", "mixed.md": merged.replace("End.\r\n", "End.\n")}
    assert world.text(name) == expected[name]


def test_a_moved_side_keeps_the_draft(world: World, window: Screen) -> None:
    """The page says that a side moved, and carries its change over into the text that was typed."""
    number = world.number("moved.md")
    page = window.open(f"/conflicts/{number}")
    page.keyboard.press("Alt+1")
    page.locator(".cm-line", has_text="Intro.").click()
    page.keyboard.press("End")
    page.keyboard.type(" Mine alone.")
    expect(page.locator("#merge-kept")).to_contain_text("Draft kept")
    world.server.replace(world.source, "moved.md", THEIRS.replace("End.\n", "End.\nA new line.\n"))
    expect(page.locator("#merge-moved")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Carry the changes over into the draft").click()
    expect(page.locator(".notice.care").first).to_contain_text("carried over")
    expect(page.locator("#merge-left")).to_have_text("1 of 1 left")
    expected = MERGED.replace("Intro.", "Intro. Mine alone.").replace("End.\n", "End.\nA new line.\n")
    page.keyboard.press("Alt+2")
    assert editor(page) == expected
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    assert world.text("moved.md") == expected


def test_hostile_names_and_texts_do_nothing(world: World, window: Screen) -> None:
    """A file named like an element, and a text full of HTML, are text on every page."""
    number = world.number(HOSTILE)
    for path in ("/conflicts", f"/conflicts/{number}"):
        page = window.open(path)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.locator("main img").count() == 0
    assert "{{ 7 * 7 }}" in editor(page)
    page.locator("summary", has_text="Three columns").click()
    assert page.locator("table.sides img, table.sides script").count() == 0


def test_narrow_dark_pages_lose_nothing(world: World) -> None:
    """At 320 px and in the dark nothing is cut, and axe finds nothing."""
    paths = ("/conflicts", f"/conflicts/{world.number('narrow.md')}", f"/conflicts/{world.number('gone.md')}")
    with screen(world.browser, world.daemon, viewport=NARROW, color_scheme="dark") as window:
        for path in paths:
            page = window.open(path)
            if page.locator("#columns").count():
                page.locator("#columns > summary").click()
            assert window.overflow() <= 0, path
            assert window.violations() == []
            window.picture(f"narrow{path.replace('/', '-')}")
        assert window.problems == []


def test_many_conflicts_are_decided_after_a_dry_run(world: World, window: Screen) -> None:
    """Ticked conflicts are solved after a page that shows the effect; what cannot be solved so stays."""
    page = window.open("/conflicts")
    expect(page.locator(".badge", has_text="clean merge")).to_have_count(2)
    window.picture("inbox-light")
    for name in ("clean-1.md", "clean-2.md", "gone.md"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Take the clean merges").click()
    expect(page.locator("main")).to_contain_text("2 conflicts would be solved")
    expect(page.locator("main")).to_contain_text("clean-1.md: the merged text replaces the file here")
    expect(page.locator("main")).to_contain_text("gone.md: the proposed merge is not clean")
    assert window.violations() == []
    assert "clean-1.md" in world.paths()
    page.get_by_role("button", name="Take the clean merges").click()
    expect(page.locator(".notice.good")).to_contain_text("2 conflicts solved")
    assert world.text("clean-1.md") == world.text("clean-2.md") == "A\nb\nc\nD\n"


def test_a_deleted_file_has_two_cards(world: World, window: Screen) -> None:
    """An edit against a delete is no merge: each side is a card with its own button."""
    page = window.open(f"/conflicts/{world.number('gone.md')}")
    expect(page.get_by_text("You deleted the file.")).to_be_visible()
    page.get_by_role("button", name="Keep the server’s file").click()
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    eventually((world.home.folder / "gone.md").exists, 20, "the file is back")


def test_a_side_is_taken_and_taken_back(world: World, window: Screen) -> None:
    """The decision for one side is undone with the message that reports it."""
    page = window.open(f"/conflicts/{world.number('side.md')}")
    expect(page.locator("main")).to_contain_text("The server’s text is of")
    page.get_by_role("button", name="Keep the server’s").click()
    expect(page.locator(".notice.good")).to_contain_text("Solved")
    assert world.text("side.md") == THEIRS
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".notice.good")).to_contain_text("The other text is back")
    assert world.text("side.md") == MINE


def test_a_text_for_a_conflict_that_is_over_is_kept(world: World) -> None:
    """Solved elsewhere while a form was open: the text is shown and kept, and nothing is replaced."""
    number = world.number("over.md")
    with screen(world.browser, world.daemon, java_script_enabled=False) as window:
        page = window.open(f"/conflicts/{number}")
        page.locator("#merge-text").fill("typed for nothing\n")
        world.daemon.call("resolve", ids=[number], choice="keep_local")
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_role("alert")).to_contain_text("Your text was not used")
        expect(page.get_by_label("Your text")).to_have_value("typed for nothing\n")
    assert world.text("over.md") == MINE
    kept = [row for row in world.daemon.call("drafts") if row["id"].startswith(f"{number}.")]
    assert [row["conflict"] for row in kept] == [None]


def test_a_killed_agent_loses_no_older_keystroke(world: World) -> None:
    """SIGKILL in the middle of typing: all typed two seconds before is in the draft, the rest after a new sign-in."""
    number = world.number("narrow.md")
    with screen(world.browser, world.daemon) as window:
        page = window.open(f"/conflicts/{number}")
        page.locator(".cm-line", has_text="Intro.").click()
        page.keyboard.press("End")
        typed: list[float] = []
        for count in range(40):
            page.keyboard.type(f"<{count}>")
            typed.append(time.monotonic())
            page.wait_for_timeout(100)
        world.daemon.kill()
        older = sum(time.monotonic() - moment > 2 for moment in typed)
        draft = world.home.json("drafts", number)["text"]
        assert older > 5
        assert all(f"<{count}>" in draft for count in range(older))
        page.keyboard.type("<after the end>")
        expect(page.locator("#merge-problem")).to_contain_text("not kept")
        with world.home.daemon() as again:
            Screen(page.context, again)
            expect(page.locator("#merge-problem")).to_be_hidden(timeout=20_000)
            assert "<39><after the end>" in again.call("draft", id=number)["text"]
