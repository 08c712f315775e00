"""Each page over HTTP and a real daemon: small enough, complete without its server, and without a token."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest

from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import StrictServer
from ui.http_visit import PlainBrowser, plain_browser, text_of

PAGE_BYTES = 60_000
EDITOR_BYTES = 250_000
HOSTILE = "<img src=x onerror=alert(1)>.md"
PAGES = (
    "/",
    "/conflicts",
    "/f/{source}",
    "/file/{source}/a.md",
    "/history/{source}/a.md",
    "/rewind/{source}",
    "/trash",
    "/activity",
    "/rules/{source}",
    "/unlink/{source}",
    "/servers",
    "/add",
    "/health",
    "/health/bundle",
    "/settings",
)
EDITOR = "/conflicts/{conflict}"


@pytest.fixture
def machine(signed_in: Home, strict: StrictServer) -> Iterator[tuple[Home, Daemon, PlainBrowser, dict[str, str]]]:
    """A daemon with one conflict about a file with a hostile name, and the words of its addresses."""
    source = signed_in.json("status")["sources"][0]["id"]
    signed_in.write(HOSTILE, "one\n")
    signed_in.sync(code=0)
    strict.replace(source, HOSTILE, f"theirs {HOSTILE}\n")
    signed_in.write(HOSTILE, "mine\n")
    signed_in.sync(code=3)
    with signed_in.daemon() as daemon, plain_browser(daemon) as browser:
        (conflict,) = daemon.call("conflicts")
        yield signed_in, daemon, browser, {"source": source, "conflict": conflict["id"].split(".")[0]}


def test_every_page_is_small_and_inert(
    machine: tuple[Home, Daemon, PlainBrowser, dict[str, str]], strict: StrictServer
) -> None:
    """Compressed, a page and all that it loads take 60 KB at most, the editor 250 KB. None holds a token or markup."""
    _, _, browser, words = machine
    sizes: dict[str, int] = {}
    for path in (*PAGES, EDITOR):
        page = browser.get(path.format(**words))
        assert strict.token not in page and "<img" not in page, path
        parts = set(re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css))"', page))
        assert {"/static/style.css", "/static/app.js"} <= parts
        loaded = [page, *(browser.get(part) for part in sorted(parts))]
        sizes[path] = sum(len(gzip.compress(one.encode())) for one in loaded)
    editor = sizes.pop(EDITOR)
    assert PAGE_BYTES < editor <= EDITOR_BYTES, "the page of the editor loads the editor"
    assert {path: size for path, size in sizes.items() if size > PAGE_BYTES} == {}


def test_every_page_answers_while_the_server_is_away(
    machine: tuple[Home, Daemon, PlainBrowser, dict[str, str]], strict: StrictServer
) -> None:
    """No page needs the network; what only the server knows is missing with its reason."""
    _, daemon, browser, words = machine
    strict.down()
    daemon.call("sync")
    eventually(lambda: daemon.source()["state"] == "offline", 20, "the server is known to be away")
    for path in (*PAGES, EDITOR):
        assert "<h1" in browser.get(path.format(**words))
    assert "offline" in text_of(browser.get("/")) and "offline" in text_of(browser.get("/servers"))
    strict.up()
