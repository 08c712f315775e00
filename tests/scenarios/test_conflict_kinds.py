"""Conflicts of three kinds on real processes: an unseen head, the merge's base, equal texts of two machines."""

from __future__ import annotations

from scenarios.conftest import Machines, on_both
from support.processes import Home
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
    """FC3: two machines park the same texts; one resolves, and none stays open on the server or in a list."""
    paths = [f"n{number}.md" for number in range(6)]
    left, right, source = pair(machine, server, dict.fromkeys(paths, "base\n"))
    for path in paths:
        for home in (left, right):
            home.write(path, f"same in both, {path}\n")
        server.replace(source, path, f"theirs, {path}\n")
    left.sync(code=3)
    right.sync(code=3)
    left.sync(code=3)
    for row in left.json("conflicts"):
        if row["mine"]:
            left.json("resolve", row["id"], "keep_raven")
    right.sync()
    left.sync()
    assert left.texts() == right.texts() == {path: f"theirs, {path}\n" for path in paths}
    assert server.conflicts(source) == left.json("conflicts") == right.json("conflicts") == []
