"""Brakes beyond the cases: an index or a disk that is not the one it was, and a folder that was copied."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.processes import Home
from support.servers import Server, sha
from support.wait_idle import assert_equal

SHARED_MEMORY = Path("/dev/shm")
TEXTS = {f"n{number}.md": f"text {number}\n" for number in range(5)}


def linked(home: Home) -> str:
    """A source of five files, in step; its id."""
    for path, text in TEXTS.items():
        home.write(path, text)
    return home.link()


def hashes(texts: dict[str, str]) -> dict[str, str]:
    """What a server that holds these texts lists."""
    return {path: sha(text) for path, text in texts.items()}


def backup(home: Home) -> Path:
    """A copy of the index as it stands."""
    copy = home.path / "index.backup"
    with closing(sqlite3.connect(home.path / "index.sqlite")) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)
    return copy


def put_back(home: Home, copy: Path) -> None:
    """The index becomes what it was when it was copied."""
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        (home.path / name).unlink(missing_ok=True)
    copy.replace(home.path / "index.sqlite")


def test_an_index_put_back_from_an_older_copy_halts_its_sources(home: Home, server: Server) -> None:
    """Files were deleted, made again and edited since: nothing of it is undone, and resumed both sides are a union."""
    source = linked(home)
    copy = backup(home)
    (home.folder / "n0.md").unlink()
    home.write("n1.md", "edited\n")
    home.write("new.md", "new\n")
    home.sync(code=0)
    before = home.texts()
    put_back(home, copy)
    report = home.sync(code=6)
    assert report["state"] == "halted" and "resume" in report["errors"][0]["message"]
    assert (home.texts(), server.hashes(source)) == (before, hashes(before))
    assert home.run("resume", home.folder).code == 0
    report = home.sync(code=0)
    assert (report["deleted_remote"], report["deleted_local"], report["conflicts"]) == (0, 0, 0)
    assert home.texts() == before
    assert_equal(source, server, [home])


@pytest.fixture
def apart(home: Home) -> Iterator[Home]:
    """A machine whose folder lies on another disk than its home."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == home.folder.stat().st_dev:
        pytest.skip("no second file system at hand")
    home.folder.rmdir()
    home.folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY)) / "notes"
    home.folder.mkdir()
    yield home
    shutil.rmtree(home.folder.parent)


def test_another_disk_in_the_place_of_the_linked_one_halts(apart: Home, server: Server) -> None:
    """It is known by the mark it lacks, though its folder has the same numbers; told that it is right, nothing of what
    it lacks is deleted.
    """
    source = linked(apart)
    assert [file.name for file in apart.folder.glob(".raven-agent/linked-*")], "the folder carries a mark"
    shutil.rmtree(apart.folder / ".raven-agent")
    for path in TEXTS:
        (apart.folder / path).unlink()
    assert apart.sync(code=6)["state"] == "halted"
    assert server.hashes(source) == hashes(TEXTS)
    assert apart.run("move", apart.folder, apart.folder).code == 0
    apart.write("n0.md", "edited here\n")
    report = apart.sync(code=3)
    assert (report["pulled"], report["pushed"], report["deleted_remote"]) == (4, 0, 0)
    notes = {path: text for path, text in apart.texts().items() if not path.startswith(".raven-agent/")}
    assert notes == {**TEXTS, "n0.md": "edited here\n"}


def test_a_copy_of_the_folder_takes_its_place_without_a_delete(home: Home, server: Server) -> None:
    """Restored from a backup that lacks two files and holds another text in one, older or newer: what it lacks comes
    from the server, and a person decides about the other.
    """
    source = linked(home)
    copy = home.folder.with_name("restored")
    shutil.copytree(home.folder, copy)
    for name in ("n0.md", "n1.md"):
        (copy / name).unlink()
    (copy / "n2.md").write_text("another text\n")
    shutil.rmtree(home.folder)
    old, home.folder = home.folder, copy
    assert home.run("move", old, copy).code == 0
    report = home.sync(code=3)
    assert (report["pulled"], report["pushed"], report["deleted_remote"]) == (2, 0, 0)
    assert server.hashes(source) == hashes(TEXTS)
    assert home.run("resolve", home.folder / "n2.md", "keep_local").code == 0
    home.sync(code=0)
    assert home.texts() == {**TEXTS, "n2.md": "another text\n"}
    assert_equal(source, server, [home])


def test_files_on_a_lost_disk_return_from_the_server_on_resume(home: Home, server: Server) -> None:
    """Without a daemon too: ``resume`` looks which disk it is that is gone."""
    disk = home.folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        home.write("disk/a.md", "on the disk\n")
        source = linked(home)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert home.sync(code=6)["deleted_remote"] == 0
    assert home.run("resume", home.folder).code == 0
    assert home.sync(code=0)["deleted_remote"] == 0
    assert home.texts() == {**TEXTS, "disk/a.md": "on the disk\n"}
    assert_equal(source, server, [home])
