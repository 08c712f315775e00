"""Nothing outside the synced folder is written, deleted, read or sent, whatever a server or a link says (SC1-SC6)."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.fixtures import delete, upsert
from security.outside import Opened, Swapper, tree
from support.processes import Home
from support.servers import StrictServer, sha

HOSTILE = [
    "../escape.md",
    "/escape.md",
    "sub/../../escape.md",
    "../outside/secret.md",
    "C:\\escape.md",
    "..\\escape.md",
    "",
    ".",
    "..",
    "sub/",
    "sub//x.md",
    "./x.md",
    "a\nb.md",
    "\x1b]0;x\x07.md",
    ".raven-agent/x.md",
    ".RAVEN-agent/x.md",
    ".raven\u200c-agent/x.md",
    "n" * 300 + ".md",
    "/".join(["deep"] * 900) + "/x.md",
    "\u202egnp.md/../../escape.md",
]


@pytest.fixture
def outside(home: Home) -> Path:
    """A folder beside the synced one, with secrets in it."""
    folder = home.folder.with_name("outside")
    (folder / "inner").mkdir(parents=True)
    for name in ("secret.md", "inner/secret.md", "n0.md"):
        (folder / name).write_text(f"secret of {name}\n")
    return folder


def linked(home: Home, server: StrictServer) -> str:
    """A source with two files, in step; its id."""
    home.login(server)
    home.write("a.md", "a\n")
    home.write("sub/b.md", "b\n")
    return home.link()


def around(home: Home) -> Any:
    """Everything beside the synced folder and the agent's home."""
    top = home.folder.parent
    kept = {path: seen for path, seen in tree(top).items() if path.split("/")[0] not in ("home", "notes")}
    return kept, sorted(os.listdir(top)), sorted(os.listdir(top.parent))


def pushed(server: StrictServer, source: str, items: list[dict[str, Any]]) -> None:
    """Another client's items, a hundred at a time."""
    for start in range(0, len(items), 100):
        server.client.push(source, *items[start : start + 100])


def test_sc1_deltas_with_hostile_paths_touch_nothing_outside(home: Home, strict: StrictServer, outside: Path) -> None:
    """Neither an upsert nor a delete of such a path does anything but be named; the file behind it arrives."""
    source = linked(home, strict)
    before = around(home)
    for path in HOSTILE:
        pushed(strict, source, [upsert(path, f"evil at {path}\n", None)])
    strict.put(source, "good.md", "good\n")
    ran = home.run("sync", "--json")
    assert home.texts() == {"a.md": "a\n", "sub/b.md": "b\n", "good.md": "good\n"}
    named = {row["path"] for row in ran.document["sources"][0]["skipped"]}
    assert {"../escape.md", "/escape.md", "sub/../../escape.md"} <= named, ran
    for path in HOSTILE:
        pushed(strict, source, [delete(path, sha(f"evil at {path}\n"))])
    strict.put(source, "later.md", "later\n")
    home.sync()
    assert home.texts() == {"a.md": "a\n", "sub/b.md": "b\n", "good.md": "good\n", "later.md": "later\n"}
    assert around(home) == before
    assert outside.is_dir()


def test_sc2_deltas_through_a_link_neither_write_nor_delete(home: Home, strict: StrictServer, outside: Path) -> None:
    """A link at the path itself and a link above it: what it leads to stays, and so does the link."""
    source = linked(home, strict)
    for name in ("secret.md", "inner/secret.md"):
        strict.put(source, f"way/{name}", f"secret of {name}\n")
    strict.put(source, "link.md", "secret of secret.md\n")
    home.sync(code=0)
    before = around(home)
    for path in ("way/secret.md", "way/inner/secret.md", "link.md"):
        (home.folder / path).unlink()
    (home.folder / "way/inner").rmdir()
    (home.folder / "way").rmdir()
    (home.folder / "way").symlink_to(outside)
    (home.folder / "link.md").symlink_to(outside / "secret.md")
    head = "secret of secret.md\n"
    pushed(strict, source, [upsert("way/secret.md", "evil\n", sha(head)), upsert("way/new.md", "evil\n", None)])
    pushed(strict, source, [upsert("link.md", "evil\n", sha(head))])
    pushed(strict, source, [delete("way/inner/secret.md", sha("secret of inner/secret.md\n"))])
    strict.put(source, "later.md", "later\n")
    home.sync()
    home.sync()
    assert around(home) == before
    assert (home.folder / "way").readlink() == outside
    assert (home.folder / "link.md").readlink() == outside / "secret.md"
    assert home.texts()["later.md"] == "later\n"


@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.long)])
def test_sc2_a_link_swapped_in_during_deltas_stays_inside(
    home: Home, strict: StrictServer, outside: Path, count: int
) -> None:
    """A folder and a link to another change places all the while; that other folder keeps every byte and none of its
    texts is sent, and at rest the synced one equals the server.
    """
    source = linked(home, strict)
    (home.folder / "way").mkdir()
    link = home.folder.with_name("link")
    link.symlink_to(outside)
    before = tree(outside)
    items = [upsert(f"way/n{number}.md", f"text {number}\n", None) for number in range(count)]
    pushed(strict, source, items)
    with Swapper(home.folder / "way", link) as swapper:
        first = home.run("sync", "--json", seconds=600).document["sources"][0]
        gone = [delete(f"way/n{number}.md", sha(f"text {number}\n")) for number in range(0, count, 40)]
        pushed(strict, source, gone)
        home.run("sync", seconds=600)
    assert swapper.turns > 100
    assert first["pulled"] > 0
    assert tree(outside) == before
    at_rest(home, strict, source)
    assert tree(outside) == before
    assert "secret of" not in "".join(request_texts(strict))


def at_rest(home: Home, server: StrictServer, source: str) -> None:
    """Pass after pass until the folder equals the server; a person approves the deletes that are held."""
    for _ in range(8):
        report = home.sync()
        held = home.json("status", code=0)["sources"][0]["held_deletes"]
        if held:
            home.run("sync", "--undo-deletes")
        equal = {path: sha(text) for path, text in home.texts().items()} == server.hashes(source)
        if equal and not held and not report["errors"]:
            return
    raise AssertionError(report)


def test_sc4_links_and_loops_are_neither_followed_nor_sent(home: Home, strict: StrictServer, outside: Path) -> None:
    """Not when the folder is linked, and not when they appear under a running agent; each is named as skipped."""
    home.login(strict)
    home.write("a.md", "a\n")
    links = {
        "secret.md": outside / "secret.md",
        "passwd.md": Path("/etc/passwd"),
        "dangling.md": outside / "none.md",
        "up": home.folder.parent,
        "root": Path("/"),
        "loop": home.folder / "loop",
        "own": home.path,
        "here": Path(),
        "inside.md": home.folder / "a.md",
    }
    for name in list(links)[:4]:
        (home.folder / name).symlink_to(links[name])
    source = home.link(codes=(0, 1))
    with home.daemon() as daemon:
        for name in list(links)[4:]:
            (home.folder / name).symlink_to(links[name])
        os.link(home.write("b.md", "b\n"), home.folder / "hard.md")
        daemon.call("sync")
        daemon.call("sync")
        skipped = {row["path"] for row in daemon.call("sync")["sources"][0]["skipped"]}
    assert strict.hashes(source) == {"a.md": sha("a\n"), "b.md": sha("b\n"), "hard.md": sha("b\n")}
    assert "secret of" not in "".join(request_texts(strict))
    assert {"secret.md", "passwd.md", "inside.md"} <= skipped
    assert {name: (home.folder / name).readlink() for name in links} == links


def request_texts(server: StrictServer) -> list[str]:
    """Every text the server ever got."""
    return [event["payload"].get("content", "") for s in server.client.ok("sources/list") for event in
            server.client.events(s["id"])]  # fmt: skip


@pytest.fixture
def special(home: Home) -> Iterator[dict[str, Path]]:
    """What is no file: a pipe nobody writes to, a socket nobody answers, a device that never ends."""
    home.folder.mkdir(parents=True, exist_ok=True)
    made = {kind: home.folder / f"{kind}.md" for kind in ("pipe", "socket")}
    os.mkfifo(made["pipe"])
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(made["socket"]))
        with contextlib.suppress(PermissionError):
            # Only root makes devices, and not in every container.
            os.mknod(home.folder / "device.md", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            made["device"] = home.folder / "device.md"
        yield made


@pytest.mark.skipif(sys.platform != "linux", reason="openings are told by inotify")
def test_special_files_are_skipped_by_name_and_never_opened(
    home: Home, strict: StrictServer, special: dict[str, Path]
) -> None:
    """Not by the link, not by a pass, not by a daemon under which another appears, and not where the server holds a
    text of that name, which is not put in its place; other files arrive.
    """
    home.login(strict)
    home.write("a.md", "a\n")
    kinds = {path: stat.S_IFMT(path.lstat().st_mode) for path in special.values()}
    with Opened(*special.values()) as opened:
        source = home.link(codes=(0, 1))
        for path in special.values():
            strict.put(source, path.name, "evil\n")
        strict.put(source, "b.md", "b\n")
        with home.daemon() as daemon:
            late = home.folder / "late.md"
            os.mkfifo(late)
            daemon.call("sync")
            skipped = {row["path"] for row in daemon.call("sync")["sources"][0]["skipped"]}
            home.run("explain", special["pipe"])
    assert opened.times == 0
    assert {*(path.name for path in special.values()), "late.md"} <= skipped
    assert {path: stat.S_IFMT(path.lstat().st_mode) for path in kinds} == kinds
    assert strict.text(source, "a.md") == "a\n"
    assert (home.folder / "b.md").read_text() == "b\n"


def test_sc6_content_not_matching_its_hash_is_never_installed(home: Home, strict: StrictServer) -> None:
    """Neither over a file nor as a new one; the status is not up to date, the paths are named, other files arrive, and
    the true content arrives once it is sent.
    """
    source = linked(home, strict)
    strict.client.push(source, upsert("a.md", "evil\n", sha("a\n")) | {"contentHash": sha("innocent\n")})
    strict.client.push(source, upsert("new.md", "evil\n", None) | {"contentHash": sha("innocent\n")})
    strict.client.push(source, upsert("odd.md", "evil\n", None) | {"contentHash": "not a hash"})
    strict.client.push(source, upsert("upper.md", "evil\n", None) | {"contentHash": sha("evil\n").upper()})
    strict.put(source, "good.md", "good\n")
    for _ in range(2):
        ran = home.run("sync", "--json")
        assert ran.code == 1, ran
        assert home.texts() == {"a.md": "a\n", "sub/b.md": "b\n", "good.md": "good\n"}
        named = {row["path"] for kind in ("skipped", "errors") for row in ran.document["sources"][0][kind]}
        assert {"a.md", "new.md", "odd.md", "upper.md"} <= named, ran
    assert home.json("status")["sources"][0]["state"] != "up_to_date"
    strict.put(source, "a.md", "mended\n", sha("innocent\n"))
    home.sync()
    assert home.texts()["a.md"] == "mended\n"
