"""One look at a server's clock and certificate."""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent.core.errors import RemoteError
from agent.doctor.servers import account
from agent.hub.certificate import fingerprint
from agent.provisioning.plan import as_declared
from agent.remotes.detect import detect_dialect
from agent.remotes.http.probe import probe
from agent.settings.credentials import CredentialStore
from agent.settings.declarations import read
from agent.settings.home import Home
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings
from support.certificates import self_signed

DAY = 86400.0


class _Answers(BaseHTTPRequestHandler):
    """404 to everything, with the server's time; notes what it was asked with."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def https(folder: Path, days: float, host: str = "127.0.0.1") -> Iterator[tuple[str, Path, list[dict[str, str]]]]:
    """A server that speaks https: its address, its certificate, and the headers of what it was asked."""
    made = self_signed(folder, host, days)
    seen: list[dict[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (_Answers,), {"seen": seen}))
    server.socket = made.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", made.certificate, seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_clock_encryption_and_certificate_end_are_found(tmp_path: Path) -> None:
    """Without a token, whatever the server answers."""
    with https(tmp_path, 90) as (url, file, seen):
        found = probe(url, file)
        off = probe(url, file, clock=lambda: time.time() - 3600)
    assert found.skew is not None and abs(found.skew) < 2
    assert off.skew is not None and abs(off.skew - 3600) < 2
    assert found.protocol is not None and found.protocol.startswith("TLSv1.")
    assert found.certificate_ends is not None and 89 < (found.certificate_ends - time.time()) / DAY < 91
    assert seen and not any("authorization" in headers for headers in seen)


def test_a_certificate_nobody_vouches_for_is_named(tmp_path: Path) -> None:
    """It is not an address that cannot be reached."""
    with https(tmp_path, 90) as (url, _, _), pytest.raises(RemoteError, match="certificate is not trusted") as caught:
        probe(url)
    assert caught.value.hint is not None
    assert all(words in caught.value.hint for words in ("hub invite there", "join INVITE here", "ca_file FILE"))


def test_a_certificate_of_another_host_is_no_matter_of_trust(tmp_path: Path) -> None:
    """A hub's own certificate names no host: the next step is an invite, or a certificate with the host's name."""
    with https(tmp_path, 90, host="127.0.0.2") as (url, file, _), pytest.raises(RemoteError) as caught:
        probe(url, file)
    assert "IP address mismatch" in caught.value.message
    assert caught.value.hint is not None
    assert all(words in caught.value.hint for words in ("hub invite there", "join INVITE here", "certificate with"))


def test_a_login_names_the_step_for_an_untrusted_certificate(tmp_path: Path) -> None:
    """Neither the address, the workspace nor the token is the cause. A declared pin accepts the same server."""
    with https(tmp_path, 90, host="127.0.0.2") as (url, file, _):
        with pytest.raises(RemoteError) as caught:
            detect_dialect(url)
        assert "hub invite there" in str(caught.value.hint)
        text = f'[[server]]\nurl = "{url}"\nworkspace = "w"\npin = "{fingerprint(file).upper()}"'
        [server] = read([(tmp_path / "config.toml", tomllib.loads(text))]).servers
        assert probe(url, pin=as_declared(ServerEntry("raven", url, "w"), server, "w").pin).protocol is not None


@pytest.mark.parametrize(
    ("days", "ca_file", "state", "words"),
    [
        (90, str, "ok", "certificate good for"),
        (3, str, "failed", "ends in"),
        (90, lambda _: "", "failed", "not trusted"),
        (90, lambda file: str(file.with_name("none.pem")), "failed", "cannot be used"),
    ],
    ids=["good", "ends soon", "not trusted", "no such file"],
)
def test_the_doctor_says_what_is_wrong_with_the_way_to_a_server(
    tmp_path: Path, days: float, ca_file: Callable[[Path], str], state: str, words: str
) -> None:
    """And what to do about it."""
    home = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path / "home")})
    with https(tmp_path, days) as (url, file, _):
        settings = Settings(ca_file=ca_file(file))
        store = CredentialStore(home, settings, {})
        rows = account(ServerEntry("raven", url, "w"), settings, store, remote=None, max_bytes=None)
        row = next(row for row in rows if row["check"] == "tls raven")
    assert row["state"] == state
    assert words in row["detail"]
    assert (row["remedy"] is None) is (state == "ok")


def test_the_doctor_names_a_server_that_has_a_former_name(tmp_path: Path) -> None:
    """Only once this machine is registered there: until then the registration sends the name."""
    home, settings = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path)}), Settings(machine_name="attic")
    registered = ServerEntry("raven", "http://127.0.0.1:9", "w", connector_id="mine")

    def checks(entry: ServerEntry) -> set[str]:
        rows = account(entry, settings, CredentialStore(home, settings, {}), remote=None, max_bytes=None)
        return {row["check"] for row in rows}

    assert "name raven" in checks(registered)
    assert "name raven" not in checks(replace(registered, machine_name="attic"))
    assert "name raven" not in checks(replace(registered, connector_id=None))
