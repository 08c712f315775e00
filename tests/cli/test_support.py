"""Settings, hub, doctor, logs: what works without an agent."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from agent import __version__
from agent.cli.commands.hub_invite import joined_elsewhere, qr_lines
from agent.cli.log_reader import tail
from agent.cli.logsetup import log_as_daemon, log_to_file, scrub
from agent.core.model import Mode
from agent.settings.home import Home
from agent.settings.invite import Invite
from agent.settings.links import Registry, ServerEntry, SourceEntry
from agent.settings.registry_file import save_registry
from agent.settings.settings import Settings
from cli.conftest import Ran
from cli.documents import source, status
from cli.fake_agent import FakeAgent, Refusal
from support.fixtures import quiet_root as quiet_root

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"
CHECKS = {"ok": True, "checks": [{"check": "clock", "ok": True, "detail": "0 s off", "remedy": None}]}


def test_a_setting_that_is_set_can_be_got(raven: Callable[..., Ran]) -> None:
    assert raven("config", "get", "quiet_ms").out == "100\n"
    assert raven("config", "set", "quiet_ms", "250").code == 0
    assert raven("config", "get", "quiet_ms").out == "250\n"
    rows = json.loads(raven("config", "get", "--json").out)["settings"]
    assert {row["name"]: row["origin"] for row in rows if row["origin"] != "default"} == {"quiet_ms": "file"}


def test_an_unknown_setting_is_a_usage_error_with_a_suggestion(raven: Callable[..., Ran], home: Home) -> None:
    """An unknown setting is a usage error with the nearest name."""
    ran = raven("config", "get", "quite_ms", "--json")
    assert ran.code == 2
    assert json.loads(ran.err)["error"]["hint"] == "did you mean 'quiet_ms'?"
    home.create()
    home.config_file.write_text("heartbeat_second = 5\n")
    ran = raven("config", "check")
    assert ran.code == 2
    assert "heartbeat_second" in ran.err
    assert str(home.config_file) in ran.err


def test_edited_settings_are_checked(
    raven: Callable[..., Ran], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\necho "nonsense = 1" >> "$1"\n')
    script.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    assert raven("config", "edit").code == 2
    assert raven("config", "path").out == f"{home.config_file}\n"


def test_hub_token_prints_a_token_and_nothing_else(raven: Callable[..., Ran], home: Home) -> None:
    ran = raven("hub", "token", "--workspace", "w", "--user", "u", "--days", "3")
    assert (ran.code, ran.err) == (0, "")
    claims = jwt.decode(ran.out.strip(), (home.hub_dir / "secret").read_bytes(), algorithms=["HS256"])
    assert (claims["workspaceId"], claims["sub"], claims["exp"] - claims["iat"]) == ("w", "u", 3 * 86_400)
    assert stat.S_IMODE(home.hub_dir.stat().st_mode) == 0o700


def test_an_invitation_holds_no_token(raven: Callable[..., Ran], home: Home) -> None:
    """The line has addresses, a pin and a code; without an agent it says that nobody can join yet."""
    ran = raven("hub", "invite", "--listen", "127.0.0.1:0")
    assert ran.code == 0 and ran.out.startswith("raven-agent join raven1_") and ran.out.count("\n") == 1
    assert "now listens on 127.0.0.1:" in ran.err and "no agent runs here" in ran.err
    invite = Invite.from_text(ran.out.split()[2])
    assert (len(invite.pin), len(invite.code)) == (64, 32)
    assert "eyJ" not in ran.out
    assert raven("config", "get", "hub_listen").out.strip() == "127.0.0.1:0"


def test_an_invitation_to_a_hub_with_a_name(raven: Callable[..., Ran], home: Home) -> None:
    """Behind a proxy the certificate is checked by its name; plain HTTP to another machine is refused."""
    document = json.loads(raven("hub", "invite", "--url", "https://h.example/", "--workspace", "w", "--json").out)
    assert document["login"] == "raven-agent login https://h.example --workspace w --token-stdin"
    assert document["token_command"] == "raven-agent hub token --workspace w --user owner"
    assert (document["pin"], document["only_here"]) == (None, False)
    assert Invite.from_text(document["invite"]).urls == ["https://h.example"]
    assert raven("hub", "invite", "--url", "http://h.example").code == 2
    assert raven("hub", "invite", "--data", "elsewhere").code == 2
    missing = raven("hub", "invite", "--data", "elsewhere", "--workspace", "w")
    assert (missing.code, "--listen HOST:PORT" in missing.err) == (2, True)


@pytest.mark.parametrize(("server", "tail"), [("local", ""), ("local-files", " --all-files")])
def test_an_invitation_to_files_of_any_kind_says_so(
    raven: Callable[..., Ran], home: Home, server: str, tail: str
) -> None:
    """A machine that joins with the printed line gets what is synced here, pictures too."""
    source = SourceEntry(1, server, "s", "n", Path("/n"), Mode.BIDIRECTIONAL, (), (), 0.0)
    save_registry(home.registry_file, Registry((ServerEntry(server, "http://127.0.0.1:1", "local"),), (source,)))
    ran = raven("hub", "invite", "--url", "https://h.example/", "--json")
    document = json.loads(ran.out)
    assert document["join"] == f"raven-agent join {document['invite']}{tail}"
    shown = raven("hub", "invite", "--url", "https://h.example/")
    assert shown.out.strip().endswith(tail) and f"raven-agent join INVITE{tail} ~/notes" in shown.err


def test_a_machine_that_joined_makes_no_second_hub(raven: Callable[..., Ran], home: Home) -> None:
    """An invite from there is refused before anything is opened; a flag, or a folder with its own hub, allows it."""
    joined = ServerEntry("desk", "https://desk:8675", "local", pin="ab" * 32)
    save_registry(home.registry_file, Registry((ServerEntry("office", "https://o.example", "w"), joined)))
    ran = raven("hub", "invite", "--listen", "127.0.0.1:0")
    assert ran.code == 2 and "this machine joined the hub desk" in ran.err and "--own-hub" in ran.err
    assert not home.hub_dir.exists() and not home.config_file.exists()
    assert raven("hub", "invite", "--listen", "127.0.0.1:0", "--own-hub").code == 0
    assert raven("hub", "invite").code == 0


@pytest.mark.parametrize(
    ("pin", "listen", "server", "expected"),
    [
        ("ab", "", "desk", "desk"),
        ("", "", "desk", ""),
        ("ab", "0.0.0.0:8675", "desk", ""),
        ("ab", "", "local", ""),
        ("ab", "", "local-files", ""),
    ],
)
def test_a_second_hub_on_purpose_is_known(pin: str, listen: str, server: str, expected: str) -> None:
    """By a folder that syncs with it, or by its address for other machines."""
    source = SourceEntry(1, server, "s", "n", Path("/n"), Mode.BIDIRECTIONAL, (), (), 0.0)
    registry = Registry((ServerEntry("desk", "https://desk:8675", "local", pin=pin),), (source,))
    assert joined_elsewhere(registry, Settings(hub_listen=listen)) == expected


def test_a_qr_code_is_drawn_in_half_lines() -> None:
    """Each line of blocks holds two rows of the code, with its light border."""
    lines = qr_lines("raven1_" + "A" * 110)
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) in (2 * len(lines), 2 * len(lines) - 1)
    assert set(lines[0]) == {"\u2588"} and set("".join(lines)) == set("\u2588\u2580\u2584 ")


@pytest.mark.parametrize("listen", ["a:b", "::1:80", "h:99999", "h:-1"])
def test_a_listening_address_that_makes_no_sense_is_refused(raven: Callable[..., Ran], listen: str) -> None:
    assert raven("hub", "serve", "--listen", listen).code == 2


def test_a_backup_of_no_hub_is_an_error(raven: Callable[..., Ran], tmp_path: Path) -> None:
    assert raven("hub", "backup", str(tmp_path / "b.db")).code == 1
    assert not (tmp_path / "b.db").exists()
    missing = raven("hub", "backup", str(tmp_path / "none" / "b.db"))
    assert (missing.code, "There is no folder" in missing.err) == (1, True)
    (tmp_path / "text").write_text("no backup")
    assert "is not a backup of a hub" in raven("hub", "restore", str(tmp_path / "text")).err


def test_doctor_exits_by_what_it_found(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["doctor"] = CHECKS
    ran = raven("doctor", "--json")
    document = json.loads(ran.out)
    assert (ran.code, document["ok"]) == (0, True)
    assert document["version"] == __version__
    assert {"config", "registry", "permissions", "clock"} <= {row["check"] for row in document["checks"]}


def test_doctor_goes_on_when_the_agent_cannot_answer(raven: Callable[..., Ran], fake: FakeAgent, home: Home) -> None:
    fake.answers["doctor"] = Refusal("index_damaged", "the index cannot be read", "it is rebuilt")
    home.registry_file.write_text("{")
    home.registry_file.chmod(0o644)
    ran = raven("doctor", "--json")
    failed = {row["check"]: row for row in json.loads(ran.out)["checks"] if not row["ok"]}
    assert ran.code == 1
    assert set(failed) == {"registry", "permissions", "agent"}
    assert all(row["remedy"] for row in failed.values())


def test_a_bundle_holds_no_token(raven: Callable[..., Ran], fake: FakeAgent, home: Home, tmp_path: Path) -> None:
    fake.answers |= {"doctor": CHECKS, "status": status(source(name=TOKEN))}
    home.log_file.write_text(f"Authorization: Bearer opaque-secret\nsent {TOKEN}\nfine\n")
    home.log_file.chmod(0o600)
    bundle = tmp_path / "b.zip"
    assert raven("doctor", "--bundle", str(bundle)).code == 0
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"doctor.json", "status.json", "versions.json", "agent.log"} <= set(texts)
    assert "fine" in texts["agent.log"]
    assert not any(secret in text for text in texts.values() for secret in (TOKEN, "opaque-secret"))
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600


def test_fu1_a_bundle_replaces_no_file(raven: Callable[..., Ran], fake: FakeAgent, home: Home, tmp_path: Path) -> None:
    """FU1: neither a note, nor a file of the agent's own, nor what a link leads to."""
    fake.answers |= {"doctor": CHECKS, "status": status(source())}
    note = tmp_path / "note.md"
    note.write_text("mine")
    (tmp_path / "link.zip").symlink_to(tmp_path / "new.zip")
    before = home.config_file.read_bytes() if home.config_file.exists() else None
    for target in (note, home.config_file if before is not None else note, tmp_path / "link.zip"):
        ran = raven("doctor", "--bundle", str(target))
        assert ran.code == 1 and "exists" in ran.err
    assert note.read_text() == "mine" and not (tmp_path / "new.zip").exists()


def test_a_token_is_scrubbed_wherever_it_stands() -> None:
    assert scrub(f"x {TOKEN} y") == "x [token] y"
    assert scrub("Authorization: Bearer abc.def") == "Authorization: Bearer [token]"
    assert scrub("eyes and keys") == "eyes and keys"


@pytest.mark.usefixtures("quiet_root")
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_file_is_private_and_holds_no_token(raven: Callable[..., Ran], home: Home, form: str) -> None:
    import logging

    log_to_file(home, Settings(log_format=form))
    logging.getLogger("agent.x").warning("sent %s for %s", TOKEN, "a\udcff.md")
    logging.getLogger("agent.x").debug("not said")
    text = home.log_file.read_text()
    assert "[token]" in text
    assert TOKEN not in text
    assert "not said" not in text
    assert stat.S_IMODE(home.log_file.stat().st_mode) == 0o600
    assert json.loads(raven("logs", "--json").out)["lines"] == text.splitlines()


@pytest.mark.usefixtures("quiet_root")
def test_a_daemon_without_a_journal_logs_to_the_file_and_stderr(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    log_as_daemon(home, Settings())
    logging.getLogger("agent.x").info("hello")
    assert "hello" in home.log_file.read_text()
    assert "hello" in capsys.readouterr().err


def test_no_log_is_an_error_with_a_next_step(raven: Callable[..., Ran]) -> None:
    ran = raven("logs")
    assert ran.code == 1
    assert "journalctl" in ran.err


def test_a_followed_log_goes_on_after_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text("old\n")
    lines = tail(log, log.stat().st_size)
    with log.open("a") as out:
        out.write("one\ntwo\nha")
    assert [next(lines), next(lines)] == ["one", "two"]
    with log.open("a") as out:
        out.write("lf\n")
    assert next(lines) == "half"
    log.rename(tmp_path / "agent.log.1")
    log.write_text("new\n")
    assert next(lines) == "new"


def test_a_mistyped_account_of_a_declared_folder_is_said(raven: Callable[..., Ran], home: Home) -> None:
    """It is no error, because the login may follow. The nearest known name stands beside it."""
    house = '[[server]]\nname = "house"\nurl = "https://h.example"\n'
    home.create()
    home.config_file.write_text(f'{house}[[source]]\nserver = "hose"\nroot = "/srv/n"\n')
    ran = raven("config", "check")
    assert ran.code == 0 and "no account is called 'hose' yet; did you mean 'house'?" in ran.err
    home.config_file.write_text(f'{house}[[source]]\nserver = "house"\nroot = "/srv/n"\n')
    assert raven("config", "check").err == ""
