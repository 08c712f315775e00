"""A browser without scripts: pages over HTTP, and forms with the token of their page."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator
from typing import Any

import httpx

from support.processes import Daemon


class PlainBrowser:
    """One signed-in client.

    Attributes:
        client: holds the cookie.
        origin: scheme, host and port of the dashboard.
    """

    def __init__(self, client: httpx.Client, origin: str, code: str) -> None:
        self.client = client
        self.origin = origin
        assert client.post(f"{origin}/login", data={"code": code}).status_code == 303

    def get(self, path: str, status: int = 200) -> str:
        """Return the text of a page."""
        answer = self.client.get(f"{self.origin}{path}")
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the session's token; the answer is not followed."""
        csrf = forms(self.get("/settings"))["/settings"][0]["csrf"]
        return self.client.post(f"{self.origin}{path}", data={"csrf": csrf, **fields})

    def submit(self, page: str, action: str, **changes: str) -> str:
        """Send the first form of a page with this action and its hidden fields. Return the page that follows."""
        answer = self.client.post(f"{self.origin}{action}", data={**forms(page)[action][0], **changes})
        if answer.status_code == 303:
            return self.get(answer.headers["location"])
        return answer.text


@contextlib.contextmanager
def plain_browser(daemon: Daemon) -> Iterator[PlainBrowser]:
    """Yield a client that is signed in to the dashboard of a daemon."""
    origin, code = str(daemon.call("ui")["url"]).split("/login#")
    with httpx.Client(headers={"accept": "text/html"}, timeout=60) as client:
        yield PlainBrowser(client, origin, code)


def forms(page: str) -> dict[str, list[dict[str, str]]]:
    """Return the hidden fields of each form that posts, by its action."""
    found: dict[str, list[dict[str, str]]] = {}
    for action, inside in re.findall(r'<form method="post" action="([^"]+)".*?>(.*?)</form>', page, re.DOTALL):
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', inside)
        found.setdefault(html.unescape(action), []).append({name: html.unescape(value) for name, value in fields})
    return found


def text_of(page: str) -> str:
    """Return the words of the main part of a page, without elements."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())
