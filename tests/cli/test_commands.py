"""What each command asks the agent, and when it asks a person."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.exit_codes import for_error
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry
from agent.settings.registry_file import save_registry
from cli.conftest import Ran
from cli.documents import conflict, passed, plan, resolved, source, status
from cli.fake_agent import FakeAgent, Refusal


def test_paths_go_out_absolute_from_the_working_directory(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake.answers |= {"explain": {"path": "x", "synced": True}, "files": []}
    raven("explain", "sub/x.md")
    assert fake.params("explain") == {"path": str(tmp_path / "sub" / "x.md"), "facts": True}
    raven("files", "sub", "--state", "skipped", "--limit", "5", "--after", "m")
    assert fake.params("files") == {"folder": str(tmp_path / "sub"), "state": "skipped", "limit": 5, "after": "m"}


def test_login_takes_the_token_from_stdin_and_never_shows_it(
    raven: Callable[..., Ran], fake: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("t-secret\n"))
    fake.answers["login"] = {"name": "r.example", "changed": True}
    ran = raven("login", "https://R.example/", "--workspace", "w", "--token-stdin", "-v")
    assert ran.code == 0
    assert fake.params("login") == {
        "url": "https://r.example",
        "workspace": "w",
        "token": "t-secret",
        "insecure_http": False,
        "dialect": "raven",
    }
    assert "t-secret" not in ran.out + ran.err


def test_login_takes_the_workspace_from_the_token(raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("e30.eyJ3b3Jrc3BhY2VJZCI6ICJ3LTkifQ.sig\n")
    fake.answers["login"] = {"changed": True}
    assert raven("login", "https://r.example", "--token-file", str(file), "--name", "n").code == 0
    assert (fake.params("login")["workspace"], fake.params("login")["name"]) == ("w-9", "n")


@pytest.mark.parametrize(("folders", "next_step"), [(0, "link FOLDER --server home"), (2, "sync")])
def test_a_login_names_the_next_step(
    raven: Callable[..., Ran], fake: FakeAgent, monkeypatch: pytest.MonkeyPatch, folders: int, next_step: str
) -> None:
    """An account with folders is one that was signed in to again: nothing has to be linked."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("t\n"))
    document = {"name": "home", "url": "https://r.example", "workspace": "w", "stored_in": "file", "changed": True}
    fake.answers["login"] = {**document, "folders": folders}
    ran = raven("login", "https://r.example", "--name", "home", "--workspace", "w", "--token-stdin")
    assert ran.out.endswith(f"next: raven-agent {next_step}\n")
    assert ("2 folders of it can go on" in ran.out) == (folders == 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("http://r.example", "--token-stdin"), "unencrypted"),
        (("r.example", "--token-stdin"), "not an http or https address"),
        (("https://r.example",), "a token is needed"),
        (("https://r.example", "--token-stdin", "--token-file", "x"), "exclude each other"),
    ],
)
def test_a_login_that_makes_no_sense_asks_nobody(
    raven: Callable[..., Ran],
    fake: FakeAgent,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("t\n"))
    ran = raven("login", *arguments)
    assert (ran.code, fake.calls) == (2, [])
    assert says in ran.err


def test_a_link_that_only_sends_files_up_needs_no_answer(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path
) -> None:
    fake.answers["link"] = plan(upload=2)
    assert raven("link", str(tmp_path), "--mode", "import_only", "--exclude", "x/").code == 0
    assert [params["dry_run"] for _, params in fake.calls] == [True, False]
    assert fake.params("link") == {
        "folder": str(tmp_path),
        "mode": "import_only",
        "include": [],
        "exclude": ["x/"],
        "create": False,
        "dry_run": False,
    }


@pytest.mark.parametrize("met", [{"download": 1, "upload": 1}, {"download": 1, "adopt": 1}, {"park": 1}])
def test_linking_over_files_needs_confirmation_or_the_flag(
    raven: Callable[..., Ran], fake: FakeAgent, met: dict[str, int]
) -> None:
    """A link that meets files needs a yes and without a terminal the flag."""
    fake.answers["link"] = plan(**met)
    ran = raven("link", "d", "--json")
    assert ran.code == 2
    assert json.loads(ran.err)["error"]["hint"] == "repeat with --yes"
    assert [params["dry_run"] for _, params in fake.calls] == [True]
    assert raven("link", "d", "--yes").code == 0


def test_a_join_over_files_names_the_link_to_repeat(raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path) -> None:
    """The invite is used up by then, so the same command with a flag would be refused."""
    fake.answers["join"] = {"changed": True, "name": "desk", "url": "https://h", "workspace": "w", "stored_in": "file"}
    fake.answers["sources"] = [{"id": "s-1", "name": "team"}]
    fake.answers["link"] = plan(upload=1, download=2)
    ran = raven("join", "raven1_x", str(tmp_path), "--json")
    assert ran.code == 2
    again = f"raven-agent link {tmp_path} --server desk --source s-1 --yes"
    assert json.loads(ran.err)["error"]["hint"] == again
    assert raven(*again.split()[1:]).code == 0


def test_sources_are_listed_on_every_account(raven: Callable[..., Ran], fake: FakeAgent, home: Home) -> None:
    """Each with its account; one that cannot be asked hides none of the others, and gives the exit code."""
    save_registry(
        home.registry_file,
        Registry((ServerEntry("desk", "https://d.example", "w"), ServerEntry("work", "https://w.example", "w"))),
    )

    def answer(params: dict[str, Any]) -> Any:
        row = {"id": "s", "server": params["server"], "name": "notes", "mode": "bidirectional", "status": "active"}
        return [{**row, "connector_id": None, "root": None, "include": [], "exclude": [], "dialect": "raven"}]

    fake.answers["sources"] = answer
    ran = raven("sources")
    assert ran.code == 0 and "ACCOUNT" in ran.out
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == ["desk", "work"]
    one = raven("sources", "--server", "work")
    assert one.code == 0 and "ACCOUNT" not in one.out
    fake.answers["sources"] = lambda params: Refusal("offline") if params["server"] == "desk" else answer(params)
    ran = raven("sources", "--json")
    assert ran.code == for_error("offline") and [row["server"] for row in json.loads(ran.out)] == ["work"]
    assert json.loads(ran.err)["error"]["code"] == "offline"


def test_an_unread_ignore_file_needs_a_yes(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    """What another program leaves out may be private: it is not sent without an answer."""
    fake.answers["link"] = {**plan(upload=3), "unread_ignores": [".stignore"]}
    ran = raven("link", "d")
    assert ran.code == 2 and ".stignore is not read here; .ravenignore is" in ran.err
    assert [params["dry_run"] for _, params in fake.calls] == [True]
    assert raven("link", "d", "--yes").code == 0


def test_a_link_names_another_program_of_the_folder(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    """The line is there with the link, not only in the doctor's list."""
    fake.answers["link"] = {**plan(upload=3), "other_tool": "Syncthing"}
    ran = raven("link", "d")
    assert ran.code == 0 and "Syncthing syncs this folder too" in ran.out


def test_a_link_that_fills_an_empty_folder_needs_no_answer(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["link"] = plan(download=3)
    assert raven("link", "d").code == 0


def test_a_link_dry_run_changes_nothing_and_says_so(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["link"] = {**plan(park=1), "changed": False, "was_linked": False}
    ran = raven("link", "d", "--dry-run")
    assert ran.code == 0
    assert "would link:" in ran.out
    assert [params["dry_run"] for _, params in fake.calls] == [True]


def test_a_link_that_waits_exits_as_the_pass_does(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers |= {"link": plan(), "sync": passed(state="conflict", conflicts=1)}
    ran = raven("link", "d", "--wait", "--json")
    assert ran.code == 3
    assert json.loads(ran.out) == {**plan(), "sync": passed(state="conflict", conflicts=1)}


def test_unlinking_unsent_work_needs_a_yes(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    def answer(params: dict[str, object]) -> object:
        return {"changed": True} if params["force"] else Refusal("unsent", "2 files were not sent yet")

    fake.answers["unlink"] = answer
    ran = raven("unlink", "d")
    assert ran.code == 2
    assert "2 files were not sent yet" in ran.err
    assert raven("unlink", "d", "--yes").code == 0


def test_sync_passes_its_flags_on(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["sync"] = passed(conflicts=1)
    assert raven("sync", "--approve-deletes", "p7").code == 3
    assert fake.params("sync") == {"approve_deletes": "p7", "dry_run": False, "undo_deletes": False}
    assert raven("sync", "--undo-deletes", "--dry-run", "--conflicts-ok").code == 0
    assert fake.params("sync") == {"dry_run": True, "undo_deletes": True}
    assert raven("sync", "--undo-deletes", "--approve-deletes", "p7").code == 2


def test_status_exits_0_unless_it_is_to_check(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["status"] = status(source(state="offline"))
    assert raven("status").code == 0
    assert raven("status", "--check").code == 5


@pytest.mark.parametrize(
    ("age", "stamp", "code"), [("2m", None, 1), ("2m", "2026-03-01T12:00:00Z", 0), ("30s", "2026-03-01T12:00:00Z", 1)]
)
def test_a_status_older_than_allowed_fails_the_check(
    raven: Callable[..., Ran], fake: FakeAgent, age: str, stamp: str | None, code: int
) -> None:
    fake.answers["status"] = status(source(last_sync_at=stamp))
    assert raven("status", "--check", "--max-age", age).code == code


def test_pausing_takes_a_length_of_time(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers |= {"pause": {"changed": True}, "resume": {"changed": True}}
    assert raven("pause", "--for", "1h30m").code == 0
    assert fake.params("pause") == {"seconds": 5400.0, "everywhere": False}
    assert raven("resume", "--everywhere").code == 0
    assert fake.params("resume") == {"everywhere": True}
    fake.answers["resume"] = {"changed": True, "roots": ["/n", "/m"], "paused_on_server": ["/n"]}
    ran = raven("resume")
    assert ran.code == 1
    assert "resumed: /m" in ran.out and "to go on: raven-agent resume /n --everywhere" in ran.out
    assert raven("pause", "--for", "1h", "--everywhere").code == 2
    assert raven("pause", "--for", "soon").code == 2


def test_restore_takes_exactly_one_version(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake.answers["restore"] = {"restored": True}
    assert raven("restore", "a.md").code == 2
    assert raven("restore", "a.md", "--version", "aa", "--trash", "t").code == 2
    assert raven("restore", "a.md", "--trash", "t1", "--to", "b.md").code == 0
    assert fake.params("restore") == {"path": str(tmp_path / "a.md"), "trash_id": "t1", "to": str(tmp_path / "b.md")}


def test_a_folder_called_prune_can_still_be_named(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake.answers |= {"trash": [], "trash_prune": {"pruned": 0}}
    raven("trash", "./prune")
    assert fake.params("trash") == {"folder": str(tmp_path / "prune")}
    assert raven("trash", "prune", "--limit", "3").code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("keep_local",), "which conflicts"),
        (("1", "--all", "keep_local"), "which conflicts"),
        (("--all", "--path", "*.md", "keep_local"), "which conflicts"),
        (("1", "manual_merge"), "exactly one of"),
        (("1", "manual_merge", "--edit", "--proposed"), "exactly one of"),
        (("1", "2", "manual_merge", "--file", "x"), "exactly one ID"),
        (("--all", "manual_merge", "--edit"), "exactly one ID"),
        (("1", "keep_raven", "--proposed"), "go with manual_merge"),
        (("1", "manual_merge", "--file", "/nowhere"), "cannot read"),
        (("1", "keep_all"), "keep_all"),
    ],
)
def test_a_resolution_that_makes_no_sense_asks_nobody(
    raven: Callable[..., Ran], fake: FakeAgent, arguments: tuple[str, ...], says: str
) -> None:
    ran = raven("resolve", *arguments)
    assert (ran.code, fake.calls) == (2, [])
    assert says in ran.err


def test_resolve_sends_ids_as_typed_with_the_working_directory(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["resolve"] = resolved("queued")
    assert raven("resolve", "7", "sub/a.md", "keep_local", "--dry-run").code == 5
    assert fake.params("resolve") == {
        "ids": ["7", "sub/a.md"],
        "cwd": str(Path.cwd()),
        "all": False,
        "choice": "keep_local",
        "proposed": False,
        "dry_run": True,
    }


def test_a_merged_file_is_sent_as_it_is(raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path) -> None:
    fake.answers["resolve"] = resolved()
    (tmp_path / "m.md").write_bytes("\ufeffone\r\nzwei ü\n\n".encode())
    assert raven("resolve", "7", "manual_merge", "--file", str(tmp_path / "m.md")).code == 0
    assert fake.params("resolve")["text"] == "\ufeffone\r\nzwei ü\n\n"
    (tmp_path / "m.md").write_bytes(b"\xff")
    assert raven("resolve", "7", "manual_merge", "--file", str(tmp_path / "m.md")).code == 2


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    file = tmp_path / "editor.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(file))


def test_an_edited_merge_keeps_line_ends_and_generation(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edited merge keeps its line ends and names its generation."""
    editor(tmp_path, monkeypatch, 'printf "more" >> "$1"')
    fake.answers |= {"diff": conflict(), "resolve": resolved()}
    assert raven("resolve", "7", "manual_merge", "--edit").code == 0
    assert fake.params("resolve")["ids"] == ["7.2"]
    assert fake.params("resolve")["text"] == "one\r\nlocal\r\nremote\r\nmore"


@pytest.mark.parametrize("script", ["exit 1", 'printf "<<<<<<< local\n" > "$1"', 'printf "\\377" > "$1"'])
def test_an_edit_that_is_not_finished_resolves_nothing(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    editor(tmp_path, monkeypatch, script)
    fake.answers |= {"diff": conflict(), "resolve": resolved()}
    ran = raven("resolve", "7", "manual_merge", "--edit")
    assert ran.code == 1
    assert "nothing was changed" in ran.err
    assert [method for method, _ in fake.calls] == ["diff"]


def test_activity_cannot_be_followed_where_nothing_happens(raven: Callable[..., Ran]) -> None:
    assert raven("activity", "-f").code == 7


def test_activity_is_followed_line_by_line(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    rows = [{"at": "t", "what": "pushed", "path": f"{n}.md"} for n in range(3)]
    fake.answers["activity_follow"] = rows
    ran = raven("activity", "-f", "--json")
    assert [json.loads(line) for line in ran.out.splitlines()] == rows
    assert (ran.code, json.loads(ran.err)["error"]["code"]) == (7, "not_running")
    ran = raven("activity", "-f")
    assert ran.out.splitlines()[2] == "t  pushed  2.md"
    assert ran.code == 7 and "the agent has ended" in ran.err


def test_up_links_an_unlinked_folder_to_the_embedded_hub(
    raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path
) -> None:
    fake.answers |= {"ensure_local_hub": {"url": "http://127.0.0.1:9"}, "link": plan(upload=1), "sync": passed()}
    ran = raven("up", str(tmp_path), "--once", "--port", "9", "--json")
    assert json.loads(ran.out) == passed()
    assert fake.params("ensure_local_hub") == {"port": 9}
    assert fake.params("link")["server"] == "local"
    assert fake.params("sync")["folder"] == str(tmp_path)


def test_up_says_that_a_known_account_is_not_used(
    raven: Callable[..., Ran], fake: FakeAgent, home: Home, tmp_path: Path
) -> None:
    """After a join, a hub of this machine's own beside the joined one would keep the files apart without a word."""
    joined = ServerEntry("desk", "https://desk:8675", "local", pin="ab" * 32)
    save_registry(home.registry_file, Registry((joined,)))
    fake.answers |= {"ensure_local_hub": {"url": "http://127.0.0.1:9"}, "link": plan(upload=1), "sync": passed()}
    ran = raven("up", str(tmp_path), "--once")
    assert ran.code == 0 and fake.params("link")["server"] == "local"
    assert "not with desk" in ran.err and "--server desk" in ran.err


def test_up_with_a_server_needs_no_hub(raven: Callable[..., Ran], fake: FakeAgent, tmp_path: Path) -> None:
    fake.answers |= {"link": plan(upload=1), "sync": passed(state="offline")}
    assert raven("up", str(tmp_path), "--once", "--server", "work").code == 5
    assert fake.params("link")["server"] == "work"
    assert "ensure_local_hub" not in {method for method, _ in fake.calls}
