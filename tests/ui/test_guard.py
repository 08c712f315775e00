"""Requests that the dashboard refuses, over a real port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agent.ui.server import DashboardServer
from ui.conftest import Opened, ScriptedApi


def _csrf(page: str) -> str:
    return page.split('name="csrf" value="')[1].split('"', maxsplit=1)[0]


def test_the_code_is_exchanged_for_a_strict_cookie(opened: Opened) -> None:
    """The cookie is invisible to scripts, sent to this site only, and lost with the browser."""
    with httpx.Client() as client:
        answer = opened.sign_in(client)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "Max-Age" not in cookie and "expires" not in cookie.lower()


def test_a_replayed_code_is_refused(opened: Opened) -> None:
    """A second browser with the same code gets 403 and no cookie."""
    with httpx.Client() as first, httpx.Client() as second:
        opened.sign_in(first)
        answer = opened.sign_in(second)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/health", "/no-such-page", "/static/vendor/x.js"])
def test_without_a_cookie_nothing_is_shown(opened: Opened, path: str) -> None:
    """Every address but the sign-in page and its assets gives 403, also one that does not exist."""
    for headers in ({"accept": "text/html"}, {"accept": "*/*"}, {"cookie": "raven-agent-1=x"}):
        assert httpx.get(opened.origin + path, headers=headers).status_code == 403
    assert httpx.get(f"{opened.origin}/login").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "evil.example"},
        {"host": "evil.example:8675"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_page_is_refused(opened: Opened, client: httpx.Client, headers: dict[str, str]) -> None:
    """A foreign origin, a rebinding host name and another port of this machine get 403, with the cookie too."""
    assert client.get(f"{opened.origin}/").status_code == 200
    assert client.get(f"{opened.origin}/", headers=headers).status_code == 403
    assert client.get(f"{opened.origin}/login", headers=headers).status_code == 403
    assert client.post(f"{opened.origin}/preferences", headers=headers, data={"theme": "dark"}).status_code == 403


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_form_without_its_token_is_refused(opened: Opened, client: httpx.Client, token: str | None) -> None:
    """The cookie alone changes nothing."""
    fields = {"theme": "dark"} | ({} if token is None else {"csrf": token})
    assert client.post(f"{opened.origin}/preferences", data=fields).status_code == 403
    assert client.post(f"{opened.origin}/lock", data=fields).status_code == 403
    page = client.get(f"{opened.origin}/").text
    assert 'data-theme="system"' in page
    good = client.post(f"{opened.origin}/preferences", data={"theme": "dark", "csrf": _csrf(page)})
    assert good.status_code == 303
    assert 'data-theme="dark"' in client.get(f"{opened.origin}/").text


def test_a_request_that_is_no_form_is_refused(opened: Opened, client: httpx.Client) -> None:
    """A page elsewhere can send JSON as text, and no such body is read."""
    csrf = _csrf(client.get(f"{opened.origin}/").text)
    answer = client.post(f"{opened.origin}/preferences", content=f"csrf={csrf}", headers={"content-type": "text/plain"})
    assert answer.status_code == 403


def test_every_answer_has_the_security_headers(opened: Opened, client: httpx.Client) -> None:
    """Pages, refusals and assets forbid frames, foreign parts and guessing of types."""
    answers = [client.get(opened.origin + path) for path in ("/", "/login", "/none", "/static/style.css")]
    answers += [httpx.get(f"{opened.origin}/"), client.get(f"{opened.origin}/", headers={"host": "evil.example"})]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 403, 403]
    nonces = set()
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        nonces.add(policy.split("'nonce-")[1].split("'")[0])
        for part in ("default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert len(nonces) == len(answers)
    assert answers[0].headers["cache-control"] == "no-store"


def test_locking_ends_the_session(opened: Opened, client: httpx.Client) -> None:
    """After the lock the old cookie is worth nothing."""
    page = client.get(f"{opened.origin}/").text
    kept = dict(client.cookies)
    assert client.post(f"{opened.origin}/lock", data={"csrf": _csrf(page)}).status_code == 303
    assert httpx.get(f"{opened.origin}/", cookies=kept).status_code == 403


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no table of connections")
def test_another_user_is_refused(opened: Opened, server: DashboardServer) -> None:
    """A process of another user gets 403, with a good code and with a good cookie; its code stays good for us."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    script = (
        "import os, socket, sys\n"
        "port, code, cookie = sys.argv[1:]\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "head = f'HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nCookie: {cookie}\\r\\nConnection: close\\r\\n'\n"
        "form = f'Content-Type: application/x-www-form-urlencoded\\r\\nContent-Length: {len(code) + 5}\\r\\n'\n"
        "for asked in (f'POST /login {head}{form}\\r\\ncode={code}', f'GET / {head}\\r\\n'):\n"
        "    with socket.socket() as connection:\n"
        "        connection.connect(('127.0.0.1', int(port)))\n"
        "        connection.sendall(asked.encode())\n"
        "        print(connection.recv(4096).split()[1].decode())\n"
    )
    code = server.open().url.split("#")[1]
    with httpx.Client() as client:
        opened.sign_in(client)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        arguments = [sys.executable, "-c", script, opened.origin.rsplit(":", 1)[1], code, cookie]
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert ran.stdout.split() == ["403", "403"], ran
        assert client.get(f"{opened.origin}/").status_code == 200
        assert Opened(opened.origin, code).sign_in(client).status_code == 303


def test_both_loopback_addresses_are_served_and_no_other(opened: Opened, client: httpx.Client) -> None:
    """The listener is bound to this machine's own addresses."""
    port = opened.origin.rsplit(":", 1)[1]
    with contextlib.suppress(httpx.ConnectError):
        assert httpx.get(f"http://[::1]:{port}/login").status_code == 200
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    bound = {line.split()[1] for line in lines if line.split()[1].endswith(f":{int(port):04X}")}
    assert bound and {address.split(":")[0] for address in bound} == {"0100007F"}


def test_an_error_of_a_page_shows_no_code_of_the_program(
    api: ScriptedApi, opened: Opened, client: httpx.Client
) -> None:
    """A failure is one sentence, escaped, and the log has the rest."""

    def fail(_params: object) -> None:
        raise ValueError("<img src=x onerror=alert(1)>")

    api.answers["status"] = fail
    answer = client.get(f"{opened.origin}/")
    assert answer.status_code == 500
    assert "<img" not in answer.text and "&lt;img" in answer.text and "Traceback" not in answer.text


def test_the_port_is_remembered(server: DashboardServer, api: ScriptedApi, opened: Opened) -> None:
    """The next start listens on the port of the last one, so that a bookmark stays good."""
    port = int(opened.origin.rsplit(":", 1)[1])
    path = server._preferences._path
    server.close()
    again = DashboardServer(api, path)
    try:
        assert again.open().port == port
        assert again.open().moved_from is None
    finally:
        again.close()


def test_a_remembered_port_of_the_hub_is_left_to_it(server: DashboardServer, api: ScriptedApi, opened: Opened) -> None:
    """A release before chose the port at which the hub listens for other machines; the move is reported."""
    port = int(opened.origin.rsplit(":", 1)[1])
    path = server._preferences._path
    server.close()
    again = DashboardServer(api, path, lambda: frozenset({port}))
    try:
        found = again.open()
        assert found.port != port and found.moved_from == port
    finally:
        again.close()
