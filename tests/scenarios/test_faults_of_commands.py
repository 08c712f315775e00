"""Faults that people met at the command line, by the ids of the fault table."""

from __future__ import annotations

import contextlib
import math
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from agent.index import open_index
from agent.index.trash_outbox import PendingTrashWrite
from support.eventually import eventually, patience
from support.processes import COMMAND, Home
from support.servers import StrictServer, sha

COUNT = 120


def parked(home: Home, strict: StrictServer, count: int = 1) -> str:
    """Park files a0.md, a1.md, … and return the source."""
    for number in range(count):
        home.write(f"a{number}.md", "base\n")
    source = home.link()
    home.sync(code=0)
    for number in range(count):
        home.write(f"a{number}.md", f"mine {number}\n")
        strict.replace(source, f"a{number}.md", f"theirs {number}\n")
    home.sync(code=3)
    return source


def editor(home: Home, script: str) -> None:
    """Have ``resolve --edit`` run a script with the file as its argument."""
    file = home.folder.parent / "editor"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    home.extra = {**home.extra, "EDITOR": str(file)}


def test_an_edited_merge_that_is_refused_is_kept(strict_home: Home, strict: StrictServer) -> None:
    """FC6: a side moves while the editor is open; the text is kept, listed, offered again, and taken then."""
    source = parked(strict_home, strict)
    editor(strict_home, f'printf "by hand\\n" > "$1"; printf "moved\\n" > {strict_home.folder}/a0.md')
    refused = strict_home.run("resolve", "a0.md", "manual_merge", "--edit", "--json")
    assert refused.code == 1
    [row] = refused.document["resolved"]
    assert row["state"] == "refused"
    assert Path(row["draft"]).read_bytes() == b"by hand\n"
    assert "your merge is kept in" in row["message"]
    strict_home.sync(code=3)
    [listed] = strict_home.json("conflicts")
    assert listed["draft"]["file"] == row["draft"]
    editor(strict_home, f'cp "$1" {strict_home.folder.parent}/offered')
    [taken] = strict_home.json("resolve", "a0.md", "manual_merge", "--edit")["resolved"]
    assert taken["state"] == "resolved"
    assert (strict_home.folder.parent / "offered").read_bytes() == b"by hand\n"
    assert strict.text(source, "a0.md") == "by hand\n"
    assert not Path(row["draft"]).exists()


def test_a_merge_with_markers_left_is_kept(strict_home: Home, strict: StrictServer) -> None:
    """FC6: the error names the draft, which only its owner can read."""
    parked(strict_home, strict)
    editor(strict_home, 'printf "half done\\n<<<<<<< mine\\n" > "$1"')
    refused = strict_home.run("resolve", "a0.md", "manual_merge", "--edit", "--json")
    assert (refused.code, refused.error["code"]) == (1, "not_merged")
    file = Path(refused.error["message"].rpartition("kept in ")[2])
    assert file.read_text() == "half done\n<<<<<<< mine\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_merge_of_an_editor_that_failed_is_kept(strict_home: Home, strict: StrictServer) -> None:
    """FC6: also where the editor ends with an error after it saved."""
    parked(strict_home, strict)
    editor(strict_home, 'printf "saved\\n" > "$1"; exit 1')
    refused = strict_home.run("resolve", "a0.md", "manual_merge", "--edit", "--json")
    assert (refused.code, refused.error["code"]) == (1, "editor")
    assert Path(refused.error["message"].rpartition("kept in ")[2]).read_text() == "saved\n"


_IN_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a command as the leader of a terminal's session."""


class _EditInTerminal:
    """``resolve --edit`` of a0.md in a terminal of its own, with an editor that saved and is still open."""

    def __init__(self, home: Home) -> None:
        self.opened = home.folder.parent / "opened"
        editor(home, f'printf "by hand\\n" > "$1"; echo "$1" > {self.opened}; exec sleep 600')
        self.terminal, theirs = pty.openpty()
        command = [sys.executable, "-c", _IN_TERMINAL, *COMMAND, "resolve", "1", "manual_merge", "--edit"]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=home.env)
        os.close(theirs)
        eventually(lambda: self.opened.exists() and self.opened.read_text(), 60, "the editor is open")

    def shown(self) -> str:
        """What the terminal showed until the command ended."""
        said = b""
        # A terminal without a process answers with an error.
        with contextlib.suppress(OSError):
            while fresh := os.read(self.terminal, 65_536):
                said += fresh
        return said.decode()


def _taken_up(home: Home, strict: StrictServer, source: str) -> None:
    """The merge is listed, offered by the next ``--edit``, and taken."""
    [listed] = home.json("conflicts")
    assert Path(listed["draft"]["file"]).read_bytes() == b"by hand\n"
    editor(home, f'cp "$1" {home.folder.parent}/offered')
    [taken] = home.json("resolve", "a0.md", "manual_merge", "--edit")["resolved"]
    assert taken["state"] == "resolved"
    assert (home.folder.parent / "offered").read_bytes() == b"by hand\n"
    assert strict.text(source, "a0.md") == "by hand\n"
    assert list((home.path / "drafts").iterdir()) == []


def test_a_merge_survives_the_end_of_its_terminal(strict_home: Home, strict: StrictServer) -> None:
    """FC6: SIGHUP for command and editor; the merge is in the home, and the command says where."""
    source = parked(strict_home, strict)
    edit = _EditInTerminal(strict_home)
    os.killpg(edit.process.pid, signal.SIGHUP)
    shown = edit.shown()
    edit.process.wait(patience(30))
    os.close(edit.terminal)
    [draft] = (strict_home.path / "drafts").iterdir()
    assert "cut off by SIGHUP" in shown and draft.name in "".join(shown.split())
    _taken_up(strict_home, strict, source)


def test_a_merge_survives_a_closed_terminal(strict_home: Home, strict: StrictServer) -> None:
    """FC6: nobody can be told any more; the next commands name the merge."""
    source = parked(strict_home, strict)
    edit = _EditInTerminal(strict_home)
    os.close(edit.terminal)
    edit.process.wait(patience(30))
    _taken_up(strict_home, strict, source)


def test_a_merge_survives_a_kill(strict_home: Home, strict: StrictServer) -> None:
    """FC6: SIGKILL leaves no time for anything; what the editor saved is a draft all the same."""
    source = parked(strict_home, strict)
    edit = _EditInTerminal(strict_home)
    os.killpg(edit.process.pid, signal.SIGKILL)
    edit.process.wait(patience(30))
    os.close(edit.terminal)
    _taken_up(strict_home, strict, source)


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_many_conflicts_are_resolved_by_one_command(strict_home: Home, strict: StrictServer, daemon: bool) -> None:
    """FP3: every row is ``resolved``, none ``queued``, and the code is 0.

    Each conflict costs one question for its head and one resolution; each round of fifty one list and a few polls.
    """
    source = parked(strict_home, strict, COUNT)
    with strict_home.daemon() if daemon else contextlib.nullcontext():
        strict.raven.log.clear()
        rows = strict_home.json("resolve", "--path", "*.md", "keep_local")["resolved"]
        asked = Counter(entry.path.rpartition("local-sync/")[2] for entry in strict.raven.log)
    assert [row["state"] for row in rows] == ["resolved"] * COUNT
    assert strict.text(source, "a7.md") == "mine 7\n"
    rounds = math.ceil(COUNT / 50)
    assert (asked["sources/file"], asked["sources/conflicts/resolve"]) == (COUNT, COUNT)
    assert rounds <= asked["sources/conflicts"] <= rounds + 3
    assert asked["sources/deltas"] <= 20 * rounds


def test_an_excluded_conflict_is_shown_and_resolved(strict_home: Home, strict: StrictServer) -> None:
    """FC4: it stays ours, is marked as excluded, and can be resolved."""
    parked(strict_home, strict)
    strict_home.json("rules", strict_home.folder, "--exclude", "a0.md", "--yes")
    strict_home.sync()
    shown = strict_home.json("conflicts")
    assert [(row["mine"], row["excluded"]) for row in shown] in ([(True, True)], [])
    if shown:
        [row] = strict_home.json("resolve", "a0.md", "keep_local")["resolved"]
        assert row["state"] == "resolved"


def test_a_skipped_file_is_counted_once_and_named(strict_home: Home, strict: StrictServer) -> None:
    """FS7: a link, a name that is not UTF-8 and a large file are three skipped files, each with its reason."""
    strict_home.write("a.md", "a\n")
    strict_home.write("large.md", "x" * (2 << 20))
    (strict_home.folder / "link.md").symlink_to("a.md")
    (strict_home.folder / os.fsdecode(b"bad\xff.md")).write_text("b\n")
    strict_home.link(codes=(0, 1))
    strict_home.sync(code=1)
    rows = strict_home.json("files", "--state", "skipped")
    assert sorted(row["reason"] for row in rows) == ["bad_name", "link", "too_large"]
    assert all(row["reason_text"] for row in rows)
    status = strict_home.json("status")["sources"][0]
    assert (status["skipped"], status["failed"]) == (3, 2)


def test_the_trash_of_an_unlinked_folder_stays_listed(strict_home: Home, strict: StrictServer) -> None:
    """FS8: and an entry of it can be brought back to another place."""
    strict_home.write("a.md", "first\n")
    source = strict_home.link()
    strict_home.sync(code=0)
    strict.replace(source, "a.md", "second\n")
    strict_home.sync(code=0)
    strict_home.json("unlink", strict_home.folder)
    [entry] = strict_home.json("trash")
    assert (entry["path"], entry["unlinked"]) == ("a.md", True)
    target = strict_home.folder.parent / "back.md"
    strict_home.json("restore", strict_home.folder / "a.md", "--trash", entry["id"], "--to", target)
    assert target.read_text() == "first\n"


def test_unlink_without_a_daemon_looks_first(strict_home: Home, strict: StrictServer) -> None:
    """FS8: an edit and a new file since the last command are counted, so it is refused without --yes."""
    strict_home.write("a.md", "first\n")
    strict_home.link()
    strict_home.sync(code=0)
    strict_home.write("a.md", "edited\n")
    strict_home.write("b.md", "new\n")
    assert strict_home.run("unlink", strict_home.folder).code == 2
    planned = strict_home.json("unlink", strict_home.folder, "--dry-run")
    assert (planned["changed"], planned["unsent"], planned["files"]) == (False, 2, 2)
    assert "would never reach the server" in strict_home.run("unlink", strict_home.folder, "--dry-run").out
    assert strict_home.json("unlink", strict_home.folder, "--yes")["unsent"] == 2


def test_unlink_writes_owed_texts_to_the_trash(strict_home: Home, strict: StrictServer) -> None:
    """FS8: a text that only the index holds is in the trash after unlink, is listed as unlinked, and comes back."""
    strict_home.write("a.md", "first\n")
    strict_home.link()
    strict_home.sync(code=0)
    with closing(open_index(strict_home.path / "index.sqlite")) as index, index.transaction():
        [(key,)] = index.connection.execute("SELECT DISTINCT source FROM files")
        index.texts.put(sha("owed\n"), b"owed\n")
        index.trash_outbox.add(key, PendingTrashWrite("00ff", "a.md", sha("owed\n"), "overwritten"))
    assert strict_home.json("unlink", strict_home.folder)["unsent"] == 0
    assert trash_comes_back(strict_home) == "owed\n"
    with closing(open_index(strict_home.path / "index.sqlite")) as index:
        assert index.trash_outbox.all(key) == []


def test_unlink_keeps_the_refused_edit_of_a_conflict(strict_home: Home, strict: StrictServer) -> None:
    """FS8: the server's refused edit is in no folder and no head; an open conflict over it is asked about first."""
    strict_home.write("a.md", "first\n")
    source = strict_home.link()
    strict_home.write("a.md", "second\n")
    strict_home.sync(code=0)
    strict.edit(source, "a.md", "edited on the page\n", sha("first\n"))
    strict_home.sync(code=3)
    assert strict_home.run("unlink", strict_home.folder).code == 2
    strict_home.json("unlink", strict_home.folder, "--yes")
    assert strict_home.texts() == {"a.md": "second\n"}
    assert trash_comes_back(strict_home) == "edited on the page\n"


def trash_comes_back(home: Home) -> str:
    """Restore the one entry of the trash of the unlinked folder to another place and return its text."""
    [entry] = home.json("trash")
    assert (entry["path"], entry["unlinked"]) == ("a.md", True)
    target = home.folder.parent / "back.md"
    home.json("restore", home.folder / "a.md", "--trash", entry["id"], "--to", target)
    return target.read_text()


def test_a_shrunk_file_is_shown_with_its_remedy(strict_home: Home, strict: StrictServer) -> None:
    """FD1: ``status`` and ``explain`` name both commands: one takes the file as it is, one brings the text back."""
    strict_home.write("a.md", "a long text\n")
    file = strict_home.folder / "a.md"
    os.utime(file, ns=(10**18, 10**18))
    strict_home.link()
    file.write_bytes(b"")
    os.utime(file, ns=(10**18, 10**18))
    strict_home.sync()
    explained = strict_home.json("explain", file)["reason"]
    shown = strict_home.json("status")["sources"][0]["error"]["message"]
    for words in (explained, shown):
        assert "raven-agent retry FILE" in words and "raven-agent restore FILE --version" in words


def test_status_counts_failed_files_and_lists_them(strict_home: Home, strict: StrictServer) -> None:
    """FD1: with several failed files the error names their number and the command that lists them all."""
    for name in ("a.md", "b.md", "c.md"):
        strict_home.write(name, "x" * (2 << 20))
    strict_home.link(codes=(0, 1))
    strict_home.sync(code=1)
    message = strict_home.json("status")["sources"][0]["error"]["message"]
    assert message.startswith("3 files cannot be synced: raven-agent files --state skipped")
