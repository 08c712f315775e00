"""Conflicts of three kinds on real processes: an unseen head, the merge's base, equal texts of two machines."""

from __future__ import annotations

import pytest

from scenarios.conftest import Machines, on_both
from support.processes import Home
from support.resources import MEMORY_LIMIT, comes_to_rest, needs_proc, peak_memory
from support.servers import Server, sha

LINES = [f"line {number}\n" for number in range(1, 10)]
FIRST = "".join(LINES)
REWRITTEN = "".join(["rewritten\n", *LINES[1:]])
PAGE = "".join([*LINES[:-1], "edited on the page\n"])
MERGED = "".join(["rewritten\n", *LINES[1:-1], "edited on the page\n"])


def pair(machine: Machines, server: Server, texts: dict[str, str]) -> tuple[Home, Home, str]:
    """Two machines with the same files, and their source."""
    left, right = machine("left"), machine("right")
    for home in (left, right):
        home.login(server)
    for path, text in texts.items():
        left.write(path, text)
    source = left.link()
    right.link("--source", source)
    assert right.texts() == texts
    return left, right, source


@on_both
def test_a_page_edit_waits_for_the_unseen_head(machine: Machines, server: Server) -> None:
    """FC1, FC2: the head comes down first; the conflict shows it, and the merge keeps both changes."""
    left, right, source = pair(machine, server, {"a.md": FIRST})
    left.write("a.md", REWRITTEN)
    left.sync()
    server.edit(source, "a.md", PAGE, sha(FIRST))
    right.sync(code=3)
    assert right.texts() == {"a.md": REWRITTEN}
    [row] = right.json("conflicts")
    assert (row["base_hash"], row["local_hash"], row["remote_hash"]) == (sha(FIRST), sha(REWRITTEN), sha(PAGE))
    shown = right.json("diff", row["id"])
    assert (shown["base"], shown["merged"], shown["merge_clean"]) == (FIRST, MERGED, True)
    right.json("resolve", row["id"], "manual_merge", "--proposed")
    assert server.text(source, "a.md") == MERGED
    left.sync()
    assert left.texts() == right.texts() == {"a.md": MERGED}
    assert server.conflicts(source) == []


@on_both
def test_equal_texts_leave_no_conflict_open(machine: Machines, server: Server) -> None:
    """FC3: two machines park the same 30 texts; one resolves, and none stays open on the server or in a list."""
    paths = [f"n{number}.md" for number in range(30)]
    left, right, source = pair(machine, server, dict.fromkeys(paths, "base\n"))
    for path in paths:
        for home in (left, right):
            home.write(path, f"same in both, {path}\n")
        server.replace(source, path, f"theirs, {path}\n")
    left.sync(code=3)
    right.sync(code=3)
    left.sync(code=3)
    assert {row["state"] for row in left.json("resolve", "--all", "keep_raven")["resolved"]} == {"resolved"}
    right.sync()
    left.sync()
    assert left.texts() == right.texts() == {path: f"theirs, {path}\n" for path in paths}
    assert server.conflicts(source) == left.json("conflicts") == right.json("conflicts") == []


@needs_proc
@pytest.mark.parametrize(
    ("count", "lines"),
    [(15, 100), pytest.param(75, 100, marks=pytest.mark.long), pytest.param(75, 9000, marks=pytest.mark.long)],
)
def test_large_conflicts_stay_within_the_memory_bound(home: Home, server: Server, count: int, lines: int) -> None:
    """FC7: a daemon lists, shows and resolves conflicts with texts of 1 MB each, in at most 200 MB.

    With small texts of the folder one request parks all of them. With large ones each takes a request.
    """
    paths = [f"n{number:02}.md" for number in range(count)]
    half = count // 2
    mine = {path: f"mine of {path}, {'x' * 80}\n" * lines for path in paths}
    theirs = {path: f"theirs of {path}, {'x' * 80}\n" * 9000 for path in paths}
    for path in paths:
        home.write(path, "base\n")
    source = home.link()
    for path in paths:
        home.write(path, mine[path])
        server.put(source, path, theirs[path], sha("base\n"))
    with home.daemon() as daemon:
        assert daemon.call("sync")["sources"][0]["conflicts"] == count
        rows = daemon.call("conflicts")
        assert [(row["path"], row["state"]) for row in rows] == [(path, "open") for path in paths]
        shown = home.json("diff", rows[7]["id"])
        assert (shown["local"], shown["remote"]) == (mine[paths[7]], theirs[paths[7]])
        for choice, some in (("keep_local", rows[:half]), ("keep_raven", rows[half:])):
            done = home.json("resolve", *(row["id"] for row in some), choice)["resolved"]
            assert {row["state"] for row in done} == {"resolved"}
        report = daemon.call("sync")["sources"][0]
        assert (report["state"], report["errors"]) == ("up_to_date", [])
        comes_to_rest(daemon.process.pid)
        assert peak_memory(daemon.process.pid) <= MEMORY_LIMIT, peak_memory(daemon.process.pid)
    assert home.texts() == {path: mine[path] if path in paths[:half] else theirs[path] for path in paths}
    assert server.conflicts(source) == []
