"""A machine with notes, versions, trash, a skipped file and a conflict, its daemon, and its dashboard in Chromium."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

from support.processes import Daemon, Home
from support.servers import HubServer

HOSTILE_NAME: Final = "<img src=x onerror=alert(1)>.md"
HOSTILE_TEXT: Final = "</pre><script>alert(2)</script>\n<img src=x onerror=alert(3)>\n{{ 7 * 7 }}\n&lt;b&gt;\n"
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@dataclass
class World:
    """One machine with a running daemon.

    Attributes:
        home: the machine.
        daemon: answers over the control socket.
        source: the server's id of the linked folder.
        hub: the server, and with it another machine.
    """

    home: Home
    daemon: Daemon
    source: str
    hub: HubServer

    def link(self) -> str:
        """Return an address of the dashboard with a new code."""
        return str(self.daemon.call("ui")["url"])

    @property
    def origin(self) -> str:
        """Scheme, host and port of the dashboard."""
        return self.link().split("/login")[0]

    def at(self, kind: str, path: str) -> str:
        """Return the address of a page about one file."""
        return f"/{kind}/{self.source}/{quote(path)}"


@contextlib.contextmanager
def running_world(top: Path, hub: HubServer) -> Iterator[World]:
    """Prepare the machine and run its daemon."""
    home = Home(top)
    home.login(hub)
    home.write("todo.md", "milk\nbread\n")
    home.write("journal/2026/january.md", "\n".join(f"line {n}" for n in range(1, 400)) + "\n")
    home.write("journal/2026/february.md", "cold\n")
    home.write("shared.md", "start\n")
    home.write("fought.md", "one\ntwo\nthree\n")
    home.write(HOSTILE_NAME, HOSTILE_TEXT)
    home.write("blob.md", "\0binary")
    source = home.link()
    home.write("todo.md", "milk\nbread\ncheese\n")
    home.run("sync")
    home.write("todo.md", "milk\nrye bread\ncheese\n")
    hub.replace(source, "shared.md", "start\nfrom elsewhere\n")
    home.run("sync")
    home.write("fought.md", "one\nmine\nthree\n")
    hub.replace(source, "fought.md", "one\ntheirs\nthree\n")
    assert home.run("sync").code == 3
    with home.daemon() as daemon:
        yield World(home, daemon, source, hub)


@dataclass
class Watched:
    """A page, and everything that went wrong in it.

    Attributes:
        troubles: errors of scripts, refusals of the security policy, dialogs, requests that left this machine.
    """

    page: Page
    origin: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        self.page.on("dialog", self._on_dialog)
        self.page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        # A page that is refused on purpose is an error to the console.
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.troubles.append(f"console: {message.text}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "about:")):
            self.troubles.append(f"request: {url}")

    def go(self, path: str) -> Page:
        """Open a page of the dashboard; it must be there."""
        answer = self.page.goto(self.origin + path)
        assert answer is not None and answer.ok, (path, answer and answer.status, self.page.inner_text("main"))
        return self.page

    def violations(self, *rules: str) -> list[str]:
        """Return what axe-core finds in the page, one line a node; by all rules, or by the named ones."""
        chosen = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(TAGS)}
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_axe())
        found: dict[str, Any] = self.page.evaluate("(chosen) => axe.run(document, { runOnly: chosen })", chosen)
        return [f"{v['id']}: {node['html']}" for v in found["violations"] for node in v["nodes"]]

    def is_wider_than_its_window(self) -> bool:
        """Return True if the page scrolls sideways."""
        return bool(
            self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1")
        )


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@contextlib.contextmanager
def signed_in(browser: Browser, world: World, **options: Any) -> Iterator[Watched]:
    """Open the dashboard in a new profile, through the link of ``raven-agent ui``."""
    context: BrowserContext = browser.new_context(**options)
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        link = world.link()
        watched = Watched(page, link.split("/login")[0])
        page.goto(link)
        if options.get("java_script_enabled") is False:
            page.fill("#code", link.split("#")[1])
            page.click("text=Sign in >> nth=-1")
        page.wait_for_url(f"{watched.origin}/")
        yield watched
    finally:
        context.close()
