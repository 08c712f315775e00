"""Folders that the page of a new link offers for a typed path: over HTTP and a real daemon, and the decisions alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.methods.folder_names import is_offered, split_typed
from agent.core.errors import UsageError
from support.processes import POWERLESS, Home
from ui.http_visit import PlainBrowser, plain_browser, text_of

HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.mark.parametrize(
    ("typed", "above", "beginning"),
    [
        ("", "~/", ""),
        ("~", "~/", ""),
        ("~ada", "~ada/", ""),
        ("~/no", "~/", "no"),
        ("/", "/", ""),
        ("/ho", "/", "ho"),
        ("/home/ada/", "/home/ada/", ""),
        ("/home//ada/../no", "/home//ada/../", "no"),
    ],
)
def test_a_typed_path_is_split_at_its_last_slash(typed: str, above: str, beginning: str) -> None:
    """The part before it stays as it was typed, so that each answer begins with that."""
    assert split_typed(typed) == (above, beginning)


@pytest.mark.parametrize("typed", ["notes", "./notes", "-x", "/a\0b", " ~/x"])
def test_a_path_that_is_not_whole_is_refused(typed: str) -> None:
    """The agent has no working folder of the person's."""
    with pytest.raises(UsageError):
        split_typed(typed)


@pytest.mark.parametrize(
    ("name", "beginning", "offered"),
    [
        ("notes", "", True),
        ("notes", "no", True),
        ("notes", "No", False),
        (".git", "", False),
        (".git", ".", True),
        (HOSTILE, "", True),
        ("a\nb", "", False),
        ("a\x1b[2Jb", "", False),
        ("a\u202egpj.exe", "", False),
        ("a\udcff", "", False),
    ],
)
def test_a_name_is_offered_if_it_can_be_shown(name: str, beginning: str, offered: bool) -> None:
    """Markup is a name like any other; characters that show as something else are left out."""
    assert is_offered(name, beginning) is offered


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[PlainBrowser]:
    """A daemon without the powers of root, in a home with a few folders."""
    home = Home(tmp_path)
    home.command = POWERLESS
    person = tmp_path / "person"
    home.extra["HOME"] = str(person)
    for name in ("notes/drafts", "notes-old", HOSTILE, ".hidden", "locked", "note\u202e"):
        (person / name).mkdir(parents=True)
    (person / "note.md").write_text("no folder\n")
    (person / "no-such").symlink_to("nowhere")
    (person / "nooks").symlink_to("notes")
    (person / "locked").chmod(0)
    with home.daemon() as daemon, plain_browser(daemon) as made:
        yield made
    (person / "locked").chmod(0o700)


def test_folders_are_completed_below_the_typed_path(browser: PlainBrowser) -> None:
    """Only folders that the person may read, each beginning as typed; a broken link and a file are none."""

    def folders(typed: str) -> list[str]:
        answer = browser.client.get(f"{browser.origin}/add/folders", params={"typed": typed})
        assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"
        return list(answer.json()["folders"])

    assert folders("~/no") == ["~/nooks", "~/notes", "~/notes-old"]
    assert folders("~/notes/") == ["~/notes/drafts"] and folders("~//notes/") == ["~//notes/drafts"]
    assert folders("~/") == [f"~/{HOSTILE}", "~/nooks", "~/notes", "~/notes-old"]
    assert folders("~/.") == ["~/.hidden"]
    assert folders("~/locked/") == folders("~/missing/") == folders("~/note.md/") == folders("~nobody-here/") == []
    refused = browser.client.get(f"{browser.origin}/add/folders?typed=notes", headers={"accept": "application/json"})
    assert refused.status_code == 404 and "not a whole path" in refused.json()["error"]["message"]


def test_folders_are_listed_without_scripts(browser: PlainBrowser) -> None:
    """A button lists the folders; each link fills the field, keeps what was typed, and goes one folder down."""
    answer = browser.post("/add", browse="1", folder="~/no", server="local", name="my name", include="a\nb & c")
    assert answer.status_code == 200 and "~/notes-old" in text_of(answer.text)
    link = re.findall(r'href="(/add\?[^"]*notes%2F[^"]*)"', answer.text)[0].replace("&amp;", "&")
    page = browser.get(link)
    assert 'value="~/notes/"' in page and "~/notes/drafts" in text_of(page)
    assert 'value="my name"' in page and "a\nb &amp; c</textarea>" in page
    assert "no folder that you may read" in text_of(browser.get("/add?browse=1&folder=~/notes/drafts/"))
    page = browser.get("/add?browse=1&folder=~/")
    assert HOSTILE in text_of(page) and "<img" not in page
