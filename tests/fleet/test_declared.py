"""Accounts and folders that stand in the configuration files: carried out by themselves, at the start and on SIGHUP."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

from fleet.conftest import account, declare, source, token_file
from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import HubServer, Server, StrictServer


def holds(server: Server, source_id: str, text: str) -> bool:
    """True if a.md of the source has this text on the server."""
    return server.text(source_id, "a.md") == text


def settled(daemon: Daemon, state: str = "up_to_date") -> dict[str, Any]:
    """The one source's status once it is in this state."""
    seen: dict[str, Any] = {}

    def reached() -> bool:
        seen.update(daemon.call("status"))
        return [row["state"] for row in seen["sources"]] == [state]

    try:
        eventually(reached, 30, f"one source is {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from error
    return dict(seen["sources"][0])


def declared(daemon: Daemon) -> dict[str, Any]:
    """The declarations of the status by name."""
    return {row["name"]: row for row in daemon.call("status")["declarations"]}


def ours(server: Server, name: str) -> list[str]:
    """Ids of the server's sources of this name."""
    return [row["id"] for row in server.client.ok("sources/list") if row["name"] == name]


def test_declared_links_are_made_once_at_the_first_start(home: Home, shared_hub: HubServer) -> None:
    """No login, no link: the folder is in step with the server, and the next start finds its own source again."""
    token_file(home, shared_hub)
    declare(home, account(shared_hub) + source(home.folder, name="once", server="work"))
    home.write("a.md", "a\n")
    with home.daemon() as daemon:
        row = settled(daemon)
        assert (row["server"], row["name"], row["declared_in"]) == (
            "work",
            "once",
            str(home.etc / "conf.d/10-fleet.toml"),
        )
        assert {name: found["state"] for name, found in declared(daemon).items()} == {
            "work": "applied",
            "once": "applied",
        }
    before = (home.path / "registry.json").read_bytes()
    with home.daemon() as daemon:
        assert settled(daemon)["id"] == row["id"]
    assert (home.path / "registry.json").read_bytes() == before
    assert ours(shared_hub, "once") == [row["id"]]
    assert shared_hub.text(row["id"], "a.md") == "a\n"


def test_sighup_links_and_unlinks_and_deletes_nothing(home: Home, shared_hub: HubServer) -> None:
    """A declaration that comes back goes on with its own source: nothing is sent twice."""
    token_file(home, shared_hub)
    only_account, both = account(shared_hub), account(shared_hub) + source(home.folder, name="back")
    declare(home, only_account)
    home.write("a.md", "a\n")
    with home.daemon() as daemon:
        assert daemon.call("status")["sources"] == []
        declare(home, both)
        daemon.process.send_signal(signal.SIGHUP)
        first = settled(daemon)["id"]
        declare(home, only_account)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.call("status")["sources"] == [], 20, "the folder is unlinked")
        assert home.texts() == {"a.md": "a\n"}
        assert shared_hub.text(first, "a.md") == "a\n"
        declare(home, both)
        daemon.process.send_signal(signal.SIGHUP)
        assert settled(daemon)["id"] == first
        assert ours(shared_hub, "back") == [first]
        assert len(shared_hub.events(first, "a.md")) == 1


def test_a_bad_declaration_is_one_bad_declaration(home: Home, shared_hub: HubServer) -> None:
    """The others are carried out; status, its check and the doctor name the bad one, its file and the remedy."""
    token_file(home, shared_hub)
    other = home.folder.parent / "other"
    file = declare(home, account(shared_hub) + source(home.folder) + source(other, mod="import_only"))
    home.write("a.md", "a\n")
    with home.daemon() as daemon:
        settled(daemon)
        said = declared(daemon)[str(other)]
        assert (said["kind"], said["state"], said["file"]) == ("source", "refused", str(file))
        assert said["error"]["message"] == "unknown key 'mod' in [[source]]"
        assert said["error"]["hint"] == "did you mean 'mode'?"
        assert home.run("status", "--check").code == 1
        assert str(file) in home.run("status").out
        [row] = [row for row in home.json("doctor", code=1)["checks"] if row["check"] == f"source {other}"]
        assert not row["ok"] and str(file) in row["detail"] and row["remedy"] == "did you mean 'mode'?"
    check = home.run("config", "check")
    assert check.code == 2 and "'mod'" in check.err and str(file) in check.err
    assert not other.exists()


def test_a_table_that_turned_bad_unlinks_nothing(home: Home, shared_hub: HubServer) -> None:
    """Whoever mistypes a mode has not said that the folder is to go; a file that is no TOML says nothing at all."""
    token_file(home, shared_hub)
    good = account(shared_hub) + source(home.folder, name="typo")
    declare(home, good)
    home.write("a.md", "a\n")
    with home.daemon() as daemon:
        linked = settled(daemon)["id"]
        for bad in (account(shared_hub) + source(home.folder, name="typo", mode="both"), good + "[[source]\n"):
            declare(home, bad)
            said = daemon.call("reload")
            assert not said["ok"] and "10-fleet.toml" in said["message"]
            text = f"{len(bad)}\n"
            home.write("a.md", text)
            eventually(partial(holds, shared_hub, linked, text), 20, "the folder still syncs")
        declare(home, good)
        assert daemon.call("reload")["ok"]
        assert settled(daemon)["id"] == linked


def test_what_is_declared_is_changed_where_it_is_declared(home: Home, shared_hub: HubServer) -> None:
    """By hand it would be undone at the next start: the refusal names the file. Pausing is no such change."""
    token_file(home, shared_hub)
    file = declare(home, account(shared_hub) + source(home.folder))
    with home.daemon() as daemon:
        settled(daemon)
        (home.folder.parent / "elsewhere").mkdir()
        for words in (
            ("unlink", str(home.folder), "--yes"),
            ("rules", str(home.folder), "--include", "**/*.org"),
            ("move", str(home.folder), str(home.folder.parent / "elsewhere")),
            ("logout", "work"),
            ("login", shared_hub.url, "--name", "work", "--workspace", shared_hub.workspace, "--token-stdin"),
        ):
            ran = home.run(*words, stdin=shared_hub.token)
            assert ran.code == 2 and str(file) in ran.err, ran
        assert home.run("pause", home.folder).code == 0
        assert home.run("rules", home.folder).code == 0


def test_a_changed_declaration_changes_the_link_not_its_source(home: Home, shared_hub: HubServer) -> None:
    """New patterns and a mode that writes less are taken; one that writes more than the source allows is refused."""
    token_file(home, shared_hub)
    patterns = 'include = ["**/*.org"]\n'
    declare(home, account(shared_hub) + source(home.folder, name="more"))
    home.write("a.md", "a\n")
    home.write("b.org", "b\n")
    with home.daemon() as daemon:
        linked = settled(daemon)["id"]
        assert shared_hub.hashes(linked).keys() == {"a.md"}
        declare(home, account(shared_hub) + source(home.folder, name="more", mode="local_to_cloud") + patterns)
        assert daemon.call("reload")["ok"]
        eventually(lambda: shared_hub.text(linked, "b.org") == "b\n", 20, "the new pattern's file goes up")
        row = settled(daemon)
        assert (row["id"], row["mode"]) == (linked, "local_to_cloud")
        assert shared_hub.text(linked, "a.md") == "a\n"


def test_a_folder_linked_by_hand_follows_a_later_declaration(home: Home, shared_hub: HubServer) -> None:
    """The link and its source stay; from then on it is changed in the file."""
    home.login(shared_hub)
    home.write("a.md", "a\n")
    linked = home.link()
    declare(home, source(home.folder, server="raven"))
    with home.daemon() as daemon:
        row = settled(daemon)
        assert row["id"] == linked
        eventually(lambda: declared(daemon)["notes"]["state"] == "applied", 20, "the declaration is taken up")
        assert home.run("unlink", home.folder, "--yes").code == 2


def test_a_server_that_is_away_at_the_start_is_waited_for(home: Home, strict: StrictServer) -> None:
    """The daemon is up at once, says what it waits for, and links when the server answers."""
    token_file(home, strict)
    declare(home, account(strict) + source(home.folder, name="later"))
    strict.down()
    with home.daemon() as daemon:
        waiting = eventually(lambda: declared(daemon)["later"].get("error"), 20, "the trouble is told")
        eventually(lambda: declared(daemon)["later"]["error"]["code"] == "offline", 20, "the server is away")
        assert waiting and home.run("status", "--check").code == 5
        strict.up()
        assert settled(daemon)["name"] == "later"


def test_a_token_is_rotated_under_the_agent(home: Home, strict: StrictServer) -> None:
    """A refused token signs out and keeps the queue; the new one in the same file is taken without a login."""
    file = token_file(home, strict)
    declare(home, account(strict) + source(home.folder))
    home.write("a.md", "one\n")
    with home.daemon() as daemon:
        linked = settled(daemon)["id"]
        file.write_text("e30.e30.e30")
        home.write("a.md", "two\n")
        assert settled(daemon, "signed_out")["pending_push"] == 1
        assert home.run("status", "--check").code == 4
        file.write_text(strict.token)
        assert daemon.call("reload")["ok"]
        eventually(lambda: strict.text(linked, "a.md") == "two\n", 20, "the queue is sent with the new token")
        settled(daemon)


def test_a_token_file_others_can_read_is_not_used_and_says_so(home: Home, strict: StrictServer) -> None:
    """The status has the sentence and the way out; the daemon runs."""
    file = token_file(home, strict)
    file.chmod(0o644)
    declare(home, account(strict) + source(home.folder, name="open"))
    with home.daemon() as daemon:
        eventually(lambda: declared(daemon)["open"]["error"]["code"] == "signed_out", 20, "the token is refused")
        [server] = daemon.call("status")["servers"]
        assert server["state"] == "signed_out" and str(file) in server["warning"]
        file.chmod(0o600)
        settled(daemon)


def test_a_missing_declared_token_is_asked_for_by_its_place(home: Home, strict: StrictServer) -> None:
    """``login`` refuses such an account, so nobody is sent there."""
    token_file(home, strict).unlink()
    declare(home, account(strict) + source(home.folder, name="empty-handed"))
    with home.daemon():
        eventually(lambda: "there is no token in" in home.run("status").out, 20, "the status names the file")
        shown = home.run("status").out
        checks = {row["check"]: row for row in home.json("doctor", code=1)["checks"]}
    missing = str(home.etc)
    assert missing in checks["credentials work"]["detail"] and missing in checks["credentials work"]["remedy"]
    assert "login" not in shown + str(checks)


def test_two_accounts_work_side_by_side(home: Home, shared_hub: HubServer, strict: StrictServer) -> None:
    """Each folder goes to its own server with its own token."""
    token_file(home, shared_hub)
    (home.etc / "second.token").touch(mode=0o600)
    (home.etc / "second.token").write_text(strict.token)
    other = home.folder.parent / "other"
    other.mkdir()
    (other / "b.md").write_text("b\n")
    home.write("a.md", "a\n")
    declare(
        home,
        account(shared_hub)
        + account(strict, name="second", token_file="../second.token")
        + source(home.folder, server="work")
        + source(other, server="second"),
    )
    with home.daemon() as daemon:
        eventually(lambda: [s["state"] for s in daemon.call("status")["sources"]] == ["up_to_date"] * 2, 30)
        rows = {row["server"]: row["id"] for row in daemon.call("status")["sources"]}
    assert shared_hub.hashes(rows["work"]).keys() == {"a.md"}
    assert strict.hashes(rows["second"]).keys() == {"b.md"}


def test_a_persons_settings_override_the_systems_on_reload(home: Home) -> None:
    """``config set`` reaches the running agent; what only a start can take is named."""
    declare(home, "quiet_ms = 300\ntrash_days = 7\n")
    with home.daemon():
        said = home.json("config", "set", "quiet_ms", "200")
        assert said["reload"]["changed"] == ["quiet_ms"]
        assert home.json("config", "set", "log_format", "json")["reload"]["waiting"] == ["log_format"]
        assert home.json("config", "reload")["ok"]
    rows = {row["name"]: row for row in home.json("config", "get")["settings"]}
    assert (rows["quiet_ms"]["value"], rows["quiet_ms"]["origin"]) == (200, "file")
    assert (rows["trash_days"]["value"], rows["trash_days"]["origin"]) == (7, str(home.etc / "conf.d/10-fleet.toml"))
    assert json.loads(home.run("config", "reload", "--json").err)["error"]["code"] == "not_running"


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(home: Home, tmp_path: Path) -> None:
    """Where ``conf.d`` cannot be looked into nothing is assumed: the command says so."""
    home.etc.mkdir()
    (home.etc / "conf.d").symlink_to(home.etc / "conf.d")
    ran = home.run("status")
    assert ran.code == 2 and "conf.d" in ran.err, ran
