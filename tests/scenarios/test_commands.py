"""Every command with a daemon and without one: the same documents, with the fields the contract names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from scenarios.conftest import Machines
from support.processes import Home
from support.servers import Server, StrictServer, sha

SERVER = "name url workspace dialect connector_id state token_expires_at"
SOURCE = (
    "id name root server dialect mode state files bytes pending_push pending_pull conflicts skipped held_deletes "
    "progress paused_until cursor last_sync_at degraded error"
)
STATUS = "schema version checked_at daemon servers sources"
PASS = "id root state pushed pulled deleted_remote deleted_local conflicts_opened conflicts skipped errors seconds"
CONFLICT = "id source_id root path kind base_hash local_hash remote_hash opened_at state mine"
FILE = "path state size hash base_hash remote_hash"
LINK = "changed source_id connector_id root server mode plan"

COMMANDS: list[tuple[str, int, str]] = [
    ("servers", 0, SERVER),
    ("sources", 0, "id name mode status connector_id root"),
    ("link .", 0, LINK),
    ("link . --dry-run", 0, LINK),
    ("rules .", 0, "changed include exclude starts stops"),
    ("rules . --exclude x* --dry-run", 0, "changed include exclude starts stops"),
    ("sync --dry-run", 3, "sources"),
    ("sync", 3, "sources"),
    ("sync . --conflicts-ok", 0, "sources"),
    ("status", 0, STATUS),
    ("status . --check", 3, STATUS),
    ("files", 0, FILE),
    ("files . --state conflict --limit 1", 0, FILE),
    ("explain b.md", 0, "path synced rule origin state hash base_hash remote_hash"),
    ("retry", 0, "changed"),
    ("retry b.md", 0, "changed path"),
    ("conflicts", 0, CONFLICT),
    ("diff a.md", 0, f"{CONFLICT} base local remote merged merge_clean"),
    ("resolve a.md keep_local --dry-run", 0, "resolved"),
    ("history b.md", 0, "hash size recorded_at origin where"),
    ("trash", 0, "id path hash size reason moved_at on_server"),
    ("trash prune", 0, "changed"),
    ("pause --for 1h", 0, "changed paused_until"),
    ("resume", 0, "changed"),
    ("pause . --everywhere", 0, "changed"),
    ("resume . --everywhere", 0, "changed"),
    ("activity --limit 5", 0, "path"),
    ("doctor", 0, "ok checks"),
    ("config get", 0, ""),
    ("config path", 0, ""),
    ("config check", 0, ""),
    ("resolve --all keep_raven", 0, "resolved"),
    ("unlink .", 0, "changed"),
    ("logout", 0, "changed"),
]
"""Arguments, exit code, and the fields of the document, or of each row where it is a list."""

NESTED = {"sync": ("sources", PASS), "status": ("sources", SOURCE), "doctor": ("checks", "check ok detail remedy")}


@pytest.fixture
def prepared(home: Home, server: Server, way: str) -> Iterator[Home]:
    """A machine with a parked conflict, an entry in the trash and a file with a history; with a daemon or alone."""
    for name in "abc":
        home.write(f"{name}.md", f"{name}\n")
    source = home.link()
    home.write("a.md", "mine\n")
    server.replace(source, "a.md", "theirs\n")
    server.replace(source, "b.md", "b, edited there\n")
    home.sync(code=3)
    with ExitStack() as stack:
        if way == "daemon":
            stack.enter_context(home.daemon())
        yield home


@pytest.mark.parametrize(("server", "way"), [("strict", "alone"), ("hub", "daemon")], indirect=["server"])
def test_every_command_answers_with_the_contracts_document(prepared: Home) -> None:
    """One JSON document on stdout, its fields, nothing on stderr, and the exit code."""
    wrong: list[tuple[str, object]] = []
    for words, code, fields in COMMANDS:
        ran = prepared.run(*words.split(), "--json")
        if ran.code != code or ran.err:
            wrong.append((words, ran))
            continue
        document = ran.document
        rows = document if isinstance(document, list) else [document]
        assert rows, words
        verb = words.split(maxsplit=1)[0]
        missing = [set(fields.split()) - set(row) for row in rows if set(fields.split()) - set(row)]
        if verb in NESTED:
            key, inner = NESTED[verb]
            missing += [lack for row in document[key] if (lack := set(inner.split()) - set(row))]
        if missing:
            wrong.append((words, missing))
    assert wrong == []


def test_piped_output_has_no_colour_and_errors_go_to_stderr(strict_home: Home, strict: StrictServer) -> None:
    """Words for a person on a pipe are plain lines; a refusal leaves stdout empty."""
    strict_home.write("a.md", "a\n")
    strict_home.link()
    shown = ("status", "files", "conflicts", "servers", "sources", "doctor", "activity", "sync", "explain a.md")
    with strict_home.daemon():
        for words in shown:
            ran = strict_home.run(*words.split())
            assert ran.code == 0, ran
            assert "\x1b" not in ran.out + ran.err
    refused = strict_home.run("diff", "nothing-like-that")
    assert (refused.code, refused.out) == (2, "")
    assert "\x1b" not in refused.err


def test_each_exit_code_has_its_cause(machine: Machines, strict: StrictServer) -> None:
    """0, 1, 2, 4, 5 and 7, each with one error document on stderr and nothing on stdout. 3 and 6 are results, not
    errors: see the conflicts and the deletes.
    """
    home = machine()
    bad = home.run("login", strict.url, "--workspace", strict.workspace, "--token-stdin", "--json", stdin="a.b.c")
    assert (bad.code, bad.out, bad.error["code"]) == (4, "", "signed_out")
    home.login(strict)
    home.write("a.md", "a\n")
    usage = home.run("link", home.folder, "--mode", "sideways", "--json")
    assert (usage.code, usage.out, usage.error["code"]) == (2, "", "usage")
    no_terminal = home.run("login", strict.url, "--json")
    assert (no_terminal.code, no_terminal.error["code"]) == (2, "usage")
    strict.down()
    gone = home.run("link", home.folder, "--json")
    assert (gone.code, gone.out, gone.error["code"]) == (5, "", "offline")
    strict.up()
    home.link()
    follow = home.run("activity", "-f", "--json")
    assert (follow.code, follow.error["code"]) == (7, "not_running")
    held = home.folder / "held.md"
    held.write_text("x" * 1_100_000)
    assert home.run("sync", "--json").code == 1
    held.unlink()
    assert home.run("sync", "--json").code == 0


def _parked(home: Home, server: Server, base: str, mine: str, theirs: str) -> tuple[str, str]:
    """One conflict at a.md; the source and the conflict's id."""
    home.write("a.md", base)
    source = home.link()
    home.write("a.md", mine)
    server.replace(source, "a.md", theirs)
    home.sync(code=3)
    return source, home.json("conflicts")[0]["id"]


def test_a_clean_proposal_is_taken_and_an_unclean_one_refused(home: Home, server: Server) -> None:
    """``--proposed`` merges edits at different places, and leaves edits at one place to a person."""
    lines = [f"line {number}\n" for number in range(9)]
    mine, theirs = [*lines], [*lines]
    mine[0], theirs[8] = "mine\n", "theirs\n"
    source, _ = _parked(home, server, "".join(lines), "".join(mine), "".join(theirs))
    [row] = home.json("resolve", "--all", "manual_merge", "--proposed")["resolved"]
    assert row["state"] == "resolved"
    merged = "".join(["mine\n", *lines[1:8], "theirs\n"])
    assert home.texts() == {"a.md": merged}
    assert server.text(source, "a.md") == merged
    home.write("a.md", "mine again\n")
    server.replace(source, "a.md", "theirs again\n")
    home.sync(code=3)
    [row] = home.json("resolve", "a.md", "manual_merge", "--proposed", code=1)["resolved"]
    assert row["state"] == "refused"
    assert home.texts() == {"a.md": "mine again\n"}


def test_a_merge_can_be_finished_in_an_editor(strict_home: Home, strict: StrictServer) -> None:
    """What the editor leaves is the result; markers left in it are refused."""
    source, _ = _parked(strict_home, strict, "base\n", "mine\n", "theirs\n")
    editor = strict_home.folder.parent / "editor"
    editor.write_text('#!/bin/sh\ncat "$1" > "$0.seen"\nprintf "<<<<<<< mine\\nx\\n>>>>>>> theirs\\n" > "$1"\n')
    editor.chmod(0o755)
    strict_home.extra = {"EDITOR": str(editor)}
    refused = strict_home.run("resolve", "a.md", "manual_merge", "--edit", "--json")
    assert (refused.code, refused.error["code"]) == (1, "not_merged")
    assert {"mine\n", "theirs\n"} <= set((editor.parent / "editor.seen").read_text().splitlines(keepends=True))
    editor.write_text('#!/bin/sh\nprintf "by hand\\n" > "$1"\n')
    [row] = strict_home.json("resolve", "a.md", "manual_merge", "--edit")["resolved"]
    assert row["state"] == "resolved"
    assert strict_home.texts() == {"a.md": "by hand\n"}
    assert strict.text(source, "a.md") == "by hand\n"


def test_an_outdated_generation_is_refused_and_shown_anew(home: Home, server: Server) -> None:
    """The file changed since it was looked at: the old id resolves nothing, the new one does."""
    source, old = _parked(home, server, "base\n", "mine\n", "theirs\n")
    home.write("a.md", "mine, newer\n")
    home.sync(code=3)
    [row] = home.json("conflicts")
    assert row["id"] != old
    assert row["id"].split(".")[0] == old.split(".", maxsplit=1)[0]
    [refused] = home.json("resolve", old, "keep_raven", code=1)["resolved"]
    assert refused["state"] == "refused"
    assert home.texts() == {"a.md": "mine, newer\n"}
    assert server.text(source, "a.md") == "theirs\n"
    assert home.json("resolve", row["id"], "keep_local")["resolved"][0]["state"] == "resolved"
    assert server.text(source, "a.md") == "mine, newer\n"


@pytest.mark.parametrize("moved", [False, True], ids=["still", "moved-meanwhile"])
def test_a_resolution_made_offline_is_queued_and_sent_later(
    strict_home: Home, strict: StrictServer, moved: bool
) -> None:
    """Code 5 and ``queued``; when the server is back it is carried out, unless its side moved meanwhile."""
    source, _ = _parked(strict_home, strict, "base\n", "mine\n", "theirs\n")
    strict.down()
    [row] = strict_home.json("resolve", "a.md", "keep_local", code=5)["resolved"]
    assert row["state"] == "queued"
    assert [shown["state"] for shown in strict_home.json("conflicts")] == ["resolving"]
    strict.up()
    if moved:
        strict.replace(source, "a.md", "theirs, newer\n")
    strict_home.sync(code=3 if moved else 0)
    assert strict.text(source, "a.md") == ("theirs, newer\n" if moved else "mine\n")
    assert strict_home.texts() == {"a.md": "mine\n"}
    assert [shown["state"] for shown in strict_home.json("conflicts")] == (["open"] if moved else [])


def test_a_local_pause_and_a_pause_on_the_server_differ(home: Home, server: Server) -> None:
    """Nothing moves while paused, by a restart neither; resumed, both sides come into step."""
    home.write("a.md", "a\n")
    source = home.link()
    for everywhere in ((), ("--everywhere",)):
        mark = f"paused {len(everywhere)}\n"
        if not everywhere:
            server.put(source, f"there-{len(everywhere)}.md", mark)
        home.json("pause", *everywhere)
        home.write("a.md", mark)
        passed = home.sync(code=1)
        assert (passed["state"], passed["paused_by"]) == ("paused", None if everywhere else "person")
        assert home.run("status", "--check").code == 1
        shown = home.run("sync").out
        assert f"nothing was sent or fetched: paused {'on the server' if everywhere else 'without an end'}" in shown
        assert f"raven-agent resume{' --everywhere' if everywhere else ''}\n" in shown
        assert server.text(source, "a.md") != mark
        assert "there-0.md" not in home.files() or everywhere
        with home.daemon() as daemon:
            daemon.call("sync")
            assert daemon.source()["state"] == "paused"
        if everywhere:
            said = home.run("resume")
            assert said.code == 1 and "resumed" not in said.out and "--everywhere" in said.out
        home.json("resume", *everywhere)
        home.sync(code=0)
        assert server.text(source, "a.md") == mark
        assert home.texts() == {"a.md": mark, "there-0.md": "paused 0\n"}


@pytest.mark.parametrize("mode", ["bidirectional", "local_to_cloud", "import_only"])
def test_each_mode_lets_through_what_it_says(home: Home, server: Server, mode: str) -> None:
    """Edits go up in all; deletes in two; only one brings anything down. The others' folder is never written to."""
    for name in ("edited", "deleted", "kept"):
        home.write(f"{name}.md", "base\n")
    for number in range(8):
        home.write(f"other-{number}.md", "base\n")
    source = home.link("--mode", mode)
    home.write("edited.md", "edited here\n")
    (home.folder / "deleted.md").unlink()
    server.put(source, "theirs.md", "theirs\n")
    server.replace(source, "kept.md", "edited there\n")
    home.sync(code=0 if mode == "bidirectional" else None)
    assert server.text(source, "edited.md") == "edited here\n"
    assert server.text(source, "deleted.md") == ("base\n" if mode == "import_only" else None)
    here = home.texts()
    assert ("theirs.md" in here) == (mode == "bidirectional")
    assert here["kept.md"] == ("edited there\n" if mode == "bidirectional" else "base\n")
    assert server.text(source, "theirs.md") == "theirs\n"
    assert server.text(source, "kept.md") == "edited there\n"


def test_a_version_comes_back_from_the_server_and_from_the_trash(home: Home, server: Server) -> None:
    """``history`` shows both places; what stands there goes to the trash first; a parked path is refused."""
    home.write("a.md", "first\n")
    source = home.link()
    server.replace(source, "a.md", "second\n")
    home.sync(code=0)
    [entry] = home.json("trash")
    assert (entry["path"], entry["hash"]) == ("a.md", sha("first\n"))
    assert {row["where"] for row in home.json("history", "a.md")} == {"server", "trash"}
    home.json("restore", "a.md", "--trash", entry["id"])
    assert home.texts() == {"a.md": "first\n"}
    assert server.text(source, "a.md") == "first\n"
    assert sha("second\n") in {row["hash"] for row in home.json("trash")}
    home.json("restore", "a.md", "--version", sha("second\n")[:12])
    assert home.texts() == {"a.md": "second\n"}
    home.write("a.md", "mine\n")
    server.replace(source, "a.md", "theirs\n")
    home.sync(code=3)
    refused = home.run("restore", "a.md", "--version", sha("first\n"), "--json")
    assert (refused.code, refused.out) == (1, "")
    assert home.texts() == {"a.md": "mine\n"}


def test_unlinking_with_unsent_changes_needs_confirmation(strict_home: Home, strict: StrictServer) -> None:
    """Code 2 without it; with it both sides stay as they are, and nothing is synced any more."""
    strict_home.write("a.md", "a\n")
    source = strict_home.link()
    strict_home.write("a.md", "unsent\n")
    strict.down()
    strict_home.sync(code=5)
    refused = strict_home.run("unlink", strict_home.folder, "--json")
    assert (refused.code, refused.out) == (2, "")
    strict.up()
    assert strict_home.json("unlink", strict_home.folder, "--yes")["changed"] is True
    assert strict_home.texts() == {"a.md": "unsent\n"}
    assert strict.text(source, "a.md") == "a\n"
    assert strict_home.json("status")["sources"] == []


def test_a_moved_folder_keeps_its_source_and_sends_nothing_again(home: Home, server: Server) -> None:
    """The events on the server are those from before the move, and the next edit."""
    for number in range(5):
        home.write(f"n{number}.md", f"{number}\n")
    source = home.link()
    before = server.events(source)
    old, home.folder = home.folder, home.folder.with_name("moved")
    old.rename(home.folder)
    assert home.json("move", old, home.folder)["source_id"] == source
    home.sync(code=0)
    assert server.events(source) == before
    home.write("n0.md", "edited\n")
    home.sync(code=0)
    assert server.events(source) == [*before, ("file.upsert", sha("edited\n"))]


def test_rules_report_what_starts_and_stops_syncing(strict_home: Home, strict: StrictServer) -> None:
    """A file that enters the selection goes up; the patterns are this machine's."""
    strict_home.write("a.md", "a\n")
    strict_home.write("b.csv", "b\n")
    source = strict_home.link()
    shown = strict_home.json("rules", strict_home.folder, "--include", "*.md")
    assert (shown["starts"], shown["stops"], shown["warning"]) == (0, 0, None)
    shown = strict_home.json("rules", strict_home.folder, "--include", "*.csv", "--include", "*.org")
    assert (shown["starts"], shown["stops"], shown["warning"]) == (1, 0, "no file matches *.org")
    strict_home.sync(code=0)
    assert set(strict.hashes(source)) == {"a.md", "b.csv"}
    shown = strict_home.json("rules", strict_home.folder, "--remove", "*.csv", "--yes")
    kept = ["**/*.md", "**/*.markdown", "**/*.txt", "*.md", "*.org"]
    assert (shown["starts"], shown["stops"], shown["include"]) == (0, 1, kept)
    strict_home.sync(code=0)
    assert set(strict.hashes(source)) == set(strict_home.files()) == {"a.md", "b.csv"}
