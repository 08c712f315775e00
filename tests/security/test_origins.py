"""The token goes to its own origin only, and only where nobody can read it on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from security.hostile_server import WildServer, whole
from support.certificates import self_signed
from support.processes import Home, Ran


def login(home: Home, server: WildServer, *flags: str, url: str | None = None) -> Ran:
    """Sign in as the account `raven`."""
    words = ["login", url or server.url, "--workspace", server.workspace, "--name", "raven", "--token-stdin", *flags]
    return home.run(*words, stdin=server.token)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_is_not_followed(home: Home, wild: WildServer, status: int) -> None:
    """The other origin is never asked, by `login` or a linked folder; the state says what happened, and goes on."""
    assert login(home, wild).code == 0
    home.write("a.md", "a\n")
    home.link()
    with WildServer.serving() as other:
        wild.answer("", whole(b"", status, location=f"{other.url}/api/local-sync/sources/deltas"))
        home.write("a.md", "b\n")
        ran = home.run("sync", "--json")
        assert ran.code == 5, ran
        assert "redirect" in ran.out
        assert ran.document["sources"][0]["state"] != "up_to_date"
        fresh = Home(home.path.parent, "fresh")
        assert login(fresh, wild).code == 5
        assert not (fresh.path / "credentials.json").exists()
        assert other.seen == []
    wild.behave()
    assert home.sync(code=0)["pushed"] == 1


def test_a_downgrade_from_https_to_http_is_refused(home: Home, tmp_path: Path) -> None:
    """A redirect of an encrypted server to a plain one on the same host does not carry the token there."""
    made = self_signed(tmp_path)
    with WildServer.serving() as plain, WildServer.serving(made.server_context()) as secure:
        home.run("config", "set", "ca_file", str(made.certificate))
        secure.answer("", whole(b"", 307, location=f"{plain.url}/api/local-sync/sources/list"))
        ran = login(home, secure)
        assert ran.code == 5
        assert "redirect" in ran.err
        assert len(secure.seen) == 1
        assert plain.seen == []


def test_plain_http_off_loopback_wants_the_flag(home: Home) -> None:
    """Refused before anything is sent; an account from the environment too."""
    refused = home.run("login", "http://192.0.2.7", "--token-stdin", "--workspace", "w", stdin="token")
    assert refused.code == 2
    assert "unencrypted" in refused.err
    home.extra = {"RAVEN_SERVER_URL": "http://192.0.2.7", "RAVEN_TOKEN": "token", "RAVEN_WORKSPACE": "w"}
    assert home.run("sources").code == 2


def test_a_self_signed_server_needs_its_certificate_named(home: Home, tmp_path: Path) -> None:
    """No request reaches it before; with `ca_file` signing in, linking and syncing work."""
    made = self_signed(tmp_path)
    with WildServer.serving(made.server_context()) as secure:
        secure.client.http.close()
        refused = login(home, secure)
        assert refused.code == 5
        assert "certificate is not trusted" in refused.err
        assert secure.seen == []
        home.run("config", "set", "ca_file", str(made.certificate))
        accepted = login(home, secure)
        assert accepted.code == 0, accepted
        home.write("a.md", "a\n")
        assert home.link()
        assert home.sync(code=0)["state"] == "up_to_date"
        home.run("config", "set", "ca_file", "")
        home.write("a.md", "b\n")
        asked = len(secure.seen)
        ran = home.run("sync", "--json")
        assert ran.code == 5
        assert len(secure.seen) == asked


def test_a_certificate_for_another_host_is_refused(home: Home, tmp_path: Path) -> None:
    """Though whoever signed it is trusted."""
    made = self_signed(tmp_path, "127.0.0.9")
    home.run("config", "set", "ca_file", str(made.certificate))
    with WildServer.serving(made.server_context()) as secure:
        assert login(home, secure).code == 5
        assert secure.seen == []
