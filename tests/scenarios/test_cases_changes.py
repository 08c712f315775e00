"""Noticing changes (CD): what happens in a folder becomes what was meant by it, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scenarios.conftest import on_both
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, StrictServer, sha
from support.wait_idle import assert_equal, lost, settle

EMPTY_BATCH_BYTES = 200


def _in_place(file: Path, text: str) -> None:
    """VS Code, nano: truncate and write."""
    file.write_text(text)


def _vim(file: Path, text: str) -> None:
    """A probe file, the old one moved away, a new one under the name, the old one removed."""
    (file.parent / "4913").touch()
    (file.parent / "4913").unlink()
    file.rename(f"{file}~")
    file.write_text(text)
    Path(f"{file}~").unlink()


def _gedit(file: Path, text: str) -> None:
    """A hidden temporary file renamed over the old one."""
    temporary = file.parent / ".goutputstream-X1Y2Z3"
    temporary.write_text(text)
    temporary.replace(file)


def _emacs(file: Path, text: str) -> None:
    """A lock that is a dangling link, an auto-save file, and a backup by renaming that stays."""
    lock = file.parent / f".#{file.name}"
    lock.symlink_to("somebody@machine.4711")
    save = file.parent / f"#{file.name}#"
    save.write_text(text[: len(text) // 2])
    file.rename(f"{file}~")
    file.write_text(text)
    save.unlink()
    lock.unlink()


def _office(file: Path, text: str) -> None:
    """A lock file with its owner's name; a temporary file and two renames."""
    lock = file.parent / f"~${file.name}"
    lock.write_text("somebody")
    temporary, old = file.parent / "~WRD0001.tmp", file.parent / "~WRL0002.tmp"
    temporary.write_text(text)
    file.rename(old)
    temporary.rename(file)
    old.unlink()
    lock.unlink()


SAVES: dict[str, Callable[[Path, str], None]] = {
    "vscode": _in_place, "vim": _vim, "gedit": _gedit, "emacs": _emacs, "office": _office,
}  # fmt: skip


@on_both
def test_cd1_every_editors_save_is_one_upsert(home: Home, server: Server) -> None:
    """No delete, no temporary file, also where every text file is selected; the last text is on the server."""
    for editor in SAVES:
        home.write(f"{editor}.md", "first\n")
    source = home.link("--include", "**")
    with home.daemon() as daemon:
        daemon.call("sync")
        for editor, save in SAVES.items():
            text = f"{editor} saved this\n" * 100
            save(home.folder / f"{editor}.md", text)
            eventually(lambda e=editor, t=text: server.text(source, f"{e}.md") == t, what=editor)  # type: ignore[misc]
        settle([daemon])
    kinds = [(event["type"], event["relativePath"]) for event in server.client.events(source)]
    assert sorted(kinds) == sorted(("file.upsert", f"{editor}.md") for editor in SAVES for _ in range(2))


def test_cd3_a_file_in_folders_just_made_is_found(home: Home, server: Server) -> None:
    """200 times ``mkdir -p a/b/c`` and a write at once: the watcher finds all, without a full look at the folder."""
    source = home.link()
    with home.daemon() as daemon:
        eventually(lambda: daemon.source()["state"] == "up_to_date")
        for number in range(200):
            home.write(f"{number}/a/b/c.md", f"{number}\n")
        eventually(lambda: len(server.hashes(source)) == 200, 30, "all 200 arrive")
    assert_equal(source, server, [home])


@on_both
def test_cd8_files_folders_and_links_swapped_lose_nothing(home: Home, server: Server) -> None:
    """In both directions, with edits on both sides that the other does not know yet."""
    for path in ("file-to-folder.md", "file-to-link.md", "folder-to-file.md/child.md", "there-file.md"):
        home.write(path, f"base of {path}\n")
    home.write("there-folder.md/child.md", "base of child\n")
    for number in range(20):
        home.write(f"other-{number}.md", f"{number}\n")
    (home.folder / "link-to-file.md").symlink_to("other-1.md")
    source = home.link()
    (home.folder / "file-to-folder.md").unlink()
    home.write("file-to-folder.md/inside.md", "mine inside\n")
    (home.folder / "folder-to-file.md" / "child.md").unlink()
    (home.folder / "folder-to-file.md").rmdir()
    home.write("folder-to-file.md", "mine, a file now\n")
    (home.folder / "file-to-link.md").unlink()
    (home.folder / "file-to-link.md").symlink_to("other-2.md")
    (home.folder / "link-to-file.md").unlink()
    home.write("link-to-file.md", "mine, no link any more\n")
    home.write("there-file.md", "mine beside a folder\n")
    home.write("there-folder.md/child.md", "mine in the folder\n")
    server.replace(source, "file-to-folder.md", "theirs over the folder\n")
    server.replace(source, "file-to-link.md", "theirs over the link\n")
    server.remove(source, "there-folder.md/child.md")
    server.put(source, "there-folder.md", "theirs, a file now\n")
    server.remove(source, "there-file.md")
    server.put(source, "there-file.md/child.md", "theirs in a folder\n")
    with home.daemon() as daemon:
        settle([daemon])
        assert daemon.source()["error"] is None or daemon.source()["error"]["code"] != "internal"
    owed = {
        "mine inside\n", "mine, a file now\n", "mine, no link any more\n", "mine beside a folder\n",
        "mine in the folder\n", "theirs over the folder\n", "theirs over the link\n", "theirs, a file now\n",
        "theirs in a folder\n",
    }  # fmt: skip
    assert lost(owed, source, server, [home]) == set()
    assert (home.folder / "file-to-link.md").is_symlink()
    assert home.texts()["other-2.md"] == "2\n"
    # Where nobody disagreed, both sides have it.
    there = server.hashes(source)
    assert there["file-to-folder.md/inside.md"] == sha("mine inside\n")
    assert there["link-to-file.md"] == sha("mine, no link any more\n")


def test_cd9_changes_made_while_stopped_are_found_at_the_start(home: Home, server: Server) -> None:
    """Created, edited, deleted and renamed: the daemon's first look reconciles them, the rename without losing it."""
    for name in ("edited", "deleted", "renamed", "kept"):
        home.write(f"{name}.md", f"base of {name}\n")
    source = home.link()
    with home.daemon() as daemon:
        daemon.call("sync")
    home.write("created.md", "created\n")
    home.write("edited.md", "edited\n")
    (home.folder / "deleted.md").unlink()
    (home.folder / "renamed.md").rename(home.folder / "new-name.md")
    with home.daemon() as daemon:
        eventually(lambda: daemon.source()["state"] == "up_to_date" and len(server.hashes(source)) == 4)
        assert daemon.call("conflicts") == []
    assert_equal(source, server, [home])
    assert set(server.hashes(source)) == {"created.md", "edited.md", "new-name.md", "kept.md"}


def _pushes(strict: StrictServer) -> int:
    """How many batches were sent; a short one carries nothing and only asks how far the feed has come."""
    return sum(r.path.endswith("push-batch") and r.request_size > EMPTY_BATCH_BYTES for r in strict.raven.log)


def test_cd10_a_touch_a_chmod_and_an_identical_save_push_nothing(strict_home: Home, strict: StrictServer) -> None:
    """No batch is sent at all, and the feed is as long as before; the mode stays as it was set."""
    home = strict_home
    for name in ("touched", "chmodded", "saved", "saved-in-place"):
        home.write(f"{name}.md", f"{name}\n")
    source = home.link()
    before, pushes = len(strict.events(source)), _pushes(strict)
    with home.daemon() as daemon:
        daemon.call("sync")
        os.utime(home.folder / "touched.md", (1_000_000_000, 1_000_000_000))
        (home.folder / "chmodded.md").chmod(0o640)
        fresh = home.folder / "saved.md.new"
        fresh.write_text("saved\n")
        fresh.replace(home.folder / "saved.md")
        home.write("saved-in-place.md", "saved-in-place\n")
        settle([daemon])
        assert [row["state"] for row in daemon.call("files")] == ["ok"] * 4
    assert len(strict.events(source)) == before
    assert _pushes(strict) == pushes
    assert (home.folder / "chmodded.md").stat().st_mode & 0o777 == 0o640


def test_cd11_a_thousand_deltas_are_applied_without_an_echo(strict_home: Home, strict: StrictServer) -> None:
    """The daemon's own installs, seen by its own watcher, are no edits."""
    source = strict_home.link()
    for start in range(0, 1000, 100):
        items = [
            {"operationId": f"bulk-{n}", "relativePath": f"d{n % 10}/f{n}.md", "content": f"{n}\n",
             "contentHash": sha(f"{n}\n"), "baseHash": None}
            for n in range(start, start + 100)
        ]  # fmt: skip
        strict.client.push(source, *items)
    pushes = _pushes(strict)
    with strict_home.daemon() as daemon:
        settle([daemon])
        assert daemon.source()["state"] == "up_to_date"
    assert _pushes(strict) == pushes
    assert [kind for kind, _ in strict.events(source)] == ["file.upsert"] * 1000
    assert_equal(source, strict, [strict_home])
    assert len(strict_home.files()) == 1000


@pytest.mark.parametrize("name", ["caf\u00e9.md", "nai\u0308f.md", "a b & c.md", "emoji \U0001f600.md"])
def test_cd10_names_outside_ascii_are_not_pushed_twice(strict_home: Home, strict: StrictServer, name: str) -> None:
    """A second pass over a name in any normal form sends nothing."""
    strict_home.write(name, "text\n")
    source = strict_home.link()
    assert strict_home.sync(code=0)["pushed"] == 0
    assert list(strict.hashes(source)) == [name]
