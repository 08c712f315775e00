"""What a program writes to a file after its new version was installed comes back (FD3, law 1)."""

from __future__ import annotations

import os

from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, sha


def linked_pair(machine: Machines, server: Server) -> tuple[Home, Home]:
    """Two machines with the same file, and the second one's daemon not running."""
    one, two = machine("one"), machine("two")
    one.login(server)
    two.login(server)
    one.write("a.md", "old\n")
    source = one.link()
    one.run("sync")
    two.link("--source", source)
    return one, two


def late(name: str) -> bool:
    return "written late" in name


def test_fd3_a_write_through_an_open_handle_comes_back(machine: Machines, server: Server) -> None:
    """FD3: the daemon swaps in a new version; the program's text becomes a file of its own and reaches the server."""
    one, two = linked_pair(machine, server)
    with two.daemon(), (two.folder / "a.md").open("r+b") as handle:
        one.write("a.md", "new\n")
        one.run("sync")
        eventually(lambda: two.files()["a.md"] == b"new\n", what="the new version is installed")
        handle.write(b"from the editor\n")
        handle.close()
        eventually(lambda: any(map(late, two.files())), 40.0, "the late text is in the folder")
        eventually(lambda: any(row["what"] == "late_write" for row in two.json("activity")), what="activity has a line")
    (name,) = filter(late, two.files())
    assert two.files()[name] == b"from the editor\n" and two.files()["a.md"] == b"new\n"
    (entry,) = two.json("trash")
    assert entry["hash"] == sha("from the editor\n") and entry["path"] == "a.md"
    two.run("sync")
    one.run("sync")
    assert one.files()[name] == b"from the editor\n"


def test_fd3_a_write_through_another_link_comes_back(machine: Machines, server: Server) -> None:
    """FD3: without a daemon, the next command that looks at the trash finds it; a restore returns the hashed bytes."""
    one, two = linked_pair(machine, server)
    other = two.folder.parent / "other-name"
    os.link(two.folder / "a.md", other)
    one.write("a.md", "new\n")
    one.run("sync")
    two.run("sync")
    other.write_bytes(b"through the link\n")
    then = other.stat().st_mtime - 60
    os.utime(other, (then, then))
    (entry,) = two.json("trash")
    assert entry["hash"] == sha("through the link\n")
    (name,) = filter(late, two.files())
    assert two.files()[name] == b"through the link\n"
    two.run("restore", two.folder / "a.md", "--trash", entry["id"])
    assert two.files()["a.md"] == b"through the link\n"
