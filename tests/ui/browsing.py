"""A real Chromium over a real agent, and the checks that every page has to pass."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, sync_playwright

from support.processes import Daemon

CHROMIUM: Final = "/usr/bin/chromium"
NARROW: Final = {"width": 320, "height": 720}
WIDE: Final = {"width": 1280, "height": 860}
PICTURES: Final = Path(__file__).parents[2] / "build" / "screenshots"
"""Screenshots for people who look at a change; git ignores the folder."""

_AXE_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield Debian's Chromium; it is ended with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Screen:
    """One signed-in browser window.

    Attributes:
        page: its page.
        origin: address of the dashboard.
        problems: refused scripts and styles, and errors of scripts, as the browser reported them.
    """

    def __init__(self, context: BrowserContext, daemon: Daemon) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.problems: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", self._on_dialog)
        self.origin = ""
        self.sign_in(daemon)

    def sign_in(self, daemon: Daemon) -> None:
        """Exchange a new code for a cookie."""
        url = str(daemon.call("ui")["url"])
        self.origin, code = url.split("/login#")
        self.page.goto(f"{self.origin}/login")
        self.page.fill("#code", code)
        self.page.click("main button")
        self.page.wait_for_url(f"{self.origin}/")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _on_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str) -> Page:
        """Open a page and wait until its scripts have run."""
        self.page.goto(f"{self.origin}{path}")
        return self.page

    def violations(self) -> list[str]:
        """Return what axe finds wrong with the page, one line a rule and element."""
        source = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
        self.page.evaluate(source)
        found: Any = self.page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(_AXE_TAGS)}}})")
        return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]

    def overflow(self) -> int:
        """Return the pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def picture(self, name: str) -> None:
        """Keep a screenshot."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@contextlib.contextmanager
def screen(browser: Browser, daemon: Daemon, **options: Any) -> Iterator[Screen]:
    """Yield a signed-in window; ``options`` are those of Playwright's contexts."""
    with contextlib.closing(browser.new_context(**{"viewport": WIDE, **options})) as context:
        yield Screen(context, daemon)
