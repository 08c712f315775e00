"""Lists of the dashboard over a control API of the test's own: pages by mark, filters, names that are not UTF-8."""

from __future__ import annotations

import base64
import html
import re
from typing import Any

import httpx
import pytest

from ui.conftest import EMPTY_STATUS, Opened, ScriptedApi

STAMP = "2026-03-01T10:00:00.000Z"
SOURCE = {"id": "s1", "root": "/home/ada/notes", "name": "notes", "conflicts": 0}


@pytest.fixture(autouse=True)
def answers(api: ScriptedApi) -> None:
    """One linked folder, and an empty answer of each list."""
    status = {**EMPTY_STATUS, "sources": [SOURCE]}
    api.answers |= {"status": status, "settings": {"settings": []}, "traffic": [], "activity": [], "trash": []}
    api.answers["events"] = [{"id": "7.a.b", "kind": "status", "status": status}]


def _asked(api: ScriptedApi, method: str) -> dict[str, Any]:
    return [params for name, params in api.calls if name == method][-1]


def _next(page: httpx.Response) -> str:
    (found,) = re.findall(r'href="([^"]*)" rel="next"|rel="next" href="([^"]*)"', page.text)
    return html.unescape(found[0] or found[1])


def _activity(number: int) -> dict[str, Any]:
    return {
        "id": number, "at": STAMP.replace("10:00", f"10:{number % 60:02}"), "root": "/home/ada/notes", "path": "a.md",
        "what": "pushed", "detail": None,
    }  # fmt: skip


def test_activity_is_asked_for_one_page(client: httpx.Client, opened: Opened, api: ScriptedApi) -> None:
    """The agent filters and sorts; the next page begins behind the last row, with the same filters."""
    api.answers["activity"] = [_activity(number) for number in range(500, 299, -1)]
    page = client.get(f"{opened.origin}/activity", params={"kind": "pushed", "q": "a", "span": "7d", "before": "900"})
    asked = _asked(api, "activity")
    assert asked.pop("since") is not None
    assert asked == {"kind": "pushed", "match": "a", "order": "newest", "after": 900, "limit": 201}
    assert _next(page) == "/activity?kind=pushed&q=a&span=7d&before=301"
    assert "raven-agent activity --json --kind pushed --match a --since 7d" in html.unescape(page.text)
    # The status comes with the position of the stream; it is not computed a second time.
    assert "status" not in [name for name, _ in api.calls]


def test_unknown_filters_are_left_out(client: httpx.Client, opened: Opened, api: ScriptedApi) -> None:
    """A kind or a time that does not exist shows everything, and no error."""
    assert client.get(f"{opened.origin}/activity?kind=none&span=1y&by=year").status_code == 200
    assert _asked(api, "activity") == {"order": "newest", "limit": 201}
    assert _asked(api, "traffic")["by"] == "hour"


def test_the_trash_is_asked_for_one_page(client: httpx.Client, opened: Opened, api: ScriptedApi) -> None:
    """The next page begins behind the last row; a name that is not UTF-8 goes back as its bytes."""
    raw = base64.b64encode(b"bad\xff.md").decode()
    row = {"path": "bad\N{REPLACEMENT CHARACTER}.md", "path_base64": raw, "size": 1, "reason": "replaced"}
    row |= {"moved_at": STAMP, "on_server": False, "root": "/home/ada/notes", "unlinked": False, "hash": "a" * 64}
    api.answers["trash"] = [{**row, "id": f"t{number}"} for number in range(101)]
    page = client.get(f"{opened.origin}/trash?after=t900")
    assert _asked(api, "trash") == {"order": "newest", "limit": 101, "after": "t900"}
    assert _next(page) == "/trash?after=t99"
    assert "another text on the server" in page.text
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    api.answers["restore"] = {"path": "x", "replaced": None}
    fields = {"csrf": csrf, "root": "/home/ada/notes", "path": row["path"], "raw": raw, "trash_id": "t1"}
    assert client.post(f"{opened.origin}/trash", data=fields).status_code == 303
    whole = base64.b64decode(_asked(api, "restore")["path_base64"])
    assert whole == b"/home/ada/notes/bad\xff.md"


def test_conflicts_are_asked_for_one_page(client: httpx.Client, opened: Opened, api: ScriptedApi) -> None:
    """The agent filters and sorts; counts come from a method of their own."""
    row = {"root": "/home/ada/notes", "kind": "edit_edit", "opened_at": STAMP, "state": "open", "mine": True}
    row |= {"note": None, "excluded": False, "draft": None}
    api.answers["conflicts"] = [{**row, "id": f"{number}.1", "path": f"{number}.md"} for number in range(51)]
    api.answers["conflict_counts"] = [{"source_id": "s1", "root": row["root"], "conflicts": 1000, "matching": 400}]
    page = client.get(f"{opened.origin}/conflicts?q=x&sort=path&after=77&kind=none")
    assert _asked(api, "conflicts") == {"match": "x", "order": "path", "limit": 51, "after": "77"}
    assert _asked(api, "conflict_counts") == {"match": "x"}
    assert "400 of 1000 conflicts; these are 50 of them" in re.sub(r"\s+", " ", page.text)
    assert _next(page) == "/conflicts?q=x&sort=path&after=49"


def test_a_file_with_a_strange_name_has_a_page(client: httpx.Client, opened: Opened, api: ScriptedApi) -> None:
    """The list links to it with its bytes; the page asks with them, and its command has them as a shell takes them."""
    raw = base64.b64encode(b"sub/bad\xff.md").decode()
    shown = "sub/bad\N{REPLACEMENT CHARACTER}.md"
    row = {
        "path": shown,
        "path_base64": raw,
        "state": "skipped",
        "size": None,
        "reason_text": "its name cannot be synced",
    }
    api.answers["files"] = [row]
    listed = client.get(f"{opened.origin}/f/s1?state=skipped")
    (link,) = re.findall(r'href="(/file/[^"]+)"', listed.text)
    api.answers["explain"] = {
        "path": shown, "state": "skipped", "synced": False, "rule": None, "origin": None, "reason": "its name",
        "hash": None, "base_hash": None, "remote_hash": None,
    }  # fmt: skip
    page = client.get(opened.origin + html.unescape(link))
    assert page.status_code == 200
    assert base64.b64decode(_asked(api, "explain")["path_base64"]) == b"/home/ada/notes/sub/bad\xff.md"
    assert r"raven-agent explain $'/home/ada/notes/sub/bad\xff.md'" in html.unescape(page.text)
    api.answers["history"] = {"versions": [], "error": None}
    (link,) = re.findall(r'href="(/history/[^"]+)"', page.text)
    assert client.get(opened.origin + html.unescape(link)).status_code == 200
    assert "path_base64" in _asked(api, "history")
    assert client.get(f"{opened.origin}/file/s1/x.md?raw=%2A").status_code == 404
