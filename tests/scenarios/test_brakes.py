"""Brakes beyond the cases: an index or a disk that is not the one it was, and a folder that was copied."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from strict_raven.faults import empty_listing, internal_error
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, StrictServer, sha
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


NOTES = {f"note{number:02}.md": f"note {number}\n" for number in range(40)}


def many(home: Home) -> str:
    """A source of forty files, in step; its id."""
    for path, text in NOTES.items():
        home.write(path, text)
    return home.link()


def test_fb1_a_held_plan_that_shrinks_stays_held(home: Home, server: Server) -> None:
    """FB1: of 12 deleted files 6 are put back by hand; the other 6 stay on the server until a person decides."""
    source = many(home)
    gone = list(NOTES)[:12]
    for path in gone:
        (home.folder / path).unlink()
    assert home.sync(code=6)["held_deletes"]["count"] == 12
    for path in gone[:6]:
        home.write(path, NOTES[path])
    held = home.sync(code=6)["held_deletes"]
    assert held["count"] == 6 and server.hashes(source) == hashes(NOTES)
    assert home.run("sync", "--approve-deletes", held["plan"]).code == 0
    assert server.hashes(source) == hashes({path: text for path, text in NOTES.items() if path not in gone[6:]})


def test_fb2_an_empty_listing_that_comes_back_deletes_nothing(strict_home: Home, strict: StrictServer) -> None:
    """FB2: two empty listings hold every file; the next, whole one drops every delete, without a person."""
    source = many(strict_home)
    strict.faulty.inject(empty_listing(), requests=2, on="sources/files")
    assert strict_home.sync(code=6)["held_deletes"]["count"] == len(NOTES)
    assert strict_home.texts() == NOTES
    report = strict_home.sync(code=0)
    assert report["deleted_local"] == 0 and report["held_deletes"] is None
    assert strict_home.texts() == NOTES and strict.hashes(source) == hashes(NOTES)


def test_fs1_a_server_that_fails_on_writes_keeps_the_queue(strict_home: Home, strict: StrictServer) -> None:
    """FS1: four edits while every push is answered 500; nothing is set aside, and the next pass sends them."""
    source = linked(strict_home)
    edited = {path: f"edited {path}\n" for path in list(TEXTS)[:4]}
    for path, text in edited.items():
        strict_home.write(path, text)
    strict.faulty.inject(internal_error(), requests=10_000, on="push-batch")
    report = strict_home.sync()
    assert report["skipped"] == [] and report["pushed"] == 0 and report["errors"]
    strict.faulty.clear()
    assert strict_home.sync(code=0)["skipped"] == []
    assert strict.hashes(source) == hashes({**TEXTS, **edited})


def test_fb3_one_copy_excuses_one_delete(home: Home, server: Server) -> None:
    """FB3: 30 files of one text, 29 deleted and one copied. The copy excuses one at most, by its text or its inode."""
    same = {f"same{number:02}.md": "template\n" for number in range(30)}
    for path, text in same.items():
        home.write(path, text)
    source = home.link()
    for path in list(same)[1:]:
        (home.folder / path).unlink()
    home.write("copy.md", "template\n")
    # The disk may give the copy the inode of a deleted file. Without birth times it then counts as renamed.
    assert home.sync(code=6)["held_deletes"]["count"] >= 28
    assert len(server.hashes(source).keys() & same.keys()) >= 29


def test_fb4_a_daemon_holds_a_delete_of_many_as_a_whole(home: Home, server: Server) -> None:
    """FB4: `rm` of 14 files while the daemon runs: none is sent, and undo brings all of them back."""
    source = many(home)
    gone = list(NOTES)[:14]
    with home.daemon() as daemon:
        daemon.call("sync")
        for path in gone:
            (home.folder / path).unlink()
            time.sleep(0.05)
        eventually(lambda: daemon.source()["state"] == "halted", what="the deletes are held")
        assert daemon.source()["held_deletes"]["count"] == 14
        assert server.hashes(source) == hashes(NOTES)
    assert home.run("sync", "--undo-deletes").code == 0
    assert home.texts() == NOTES


def test_fb4_undo_brings_back_what_was_sent_before(home: Home, server: Server) -> None:
    """FB4: nine deletes went one by one; the tenth is held, and undo restores all ten from the server's history."""
    many(home)
    gone = list(NOTES)[:10]
    for path in gone[:9]:
        (home.folder / path).unlink()
        home.sync(code=0)
    (home.folder / gone[9]).unlink()
    assert home.sync(code=6)["held_deletes"]["count"] == 1
    done = home.json("sync", "--undo-deletes")
    assert (done["undone"], done["undone_before"]) == (1, 9)
    assert {row["path"]: row["before"] for row in done["undone_files"]} == {path: path != gone[9] for path in gone}
    assert home.texts() == NOTES


def test_fb4_an_undo_goes_on_after_failures_and_a_kill(home: Home, strict: StrictServer) -> None:
    """FB4: the server fails on the history while deletes are undone; the next passes and a daemon finish the work."""
    source = many(home)
    gone = list(NOTES)[:10]
    for path in gone[:9]:
        (home.folder / path).unlink()
    # The old name of a renamed file is not made again.
    (home.folder / gone[9]).rename(home.folder / "renamed.md")
    home.sync(code=0)
    (home.folder / list(NOTES)[10]).unlink()
    assert home.sync(code=6)["held_deletes"]["count"] == 1
    strict.faulty.inject(internal_error(), requests=10_000, on="sources/history")
    assert home.run("sync", "--undo-deletes").code == 1
    assert home.json("status", "--check", code=1)["sources"][0]["pending_pull"] == 9
    strict.faulty.clear()
    with home.daemon() as daemon:
        eventually(lambda: len(home.files()) == len(NOTES), what="the files are back")
        daemon.kill()
    home.sync(code=0)
    expected = {path: text for path, text in NOTES.items() if path != gone[9]} | {"renamed.md": NOTES[gone[9]]}
    assert home.texts() == expected and strict.hashes(source) == hashes(expected)


def test_fb5_renamed_and_filled_notes_are_no_deletes(home: Home, server: Server) -> None:
    """FB5: ten empty notes of twenty are renamed and filled at once: nothing is held."""
    empty = {f"Untitled {number}.md": "" for number in range(10)}
    for path, text in {**empty, **dict(list(NOTES.items())[:10])}.items():
        home.write(path, text)
    source = home.link()
    for number, path in enumerate(empty):
        (home.folder / path).rename(home.folder / f"Note {number}.md")
        (home.folder / f"Note {number}.md").write_text(f"filled {number}\n")
    assert home.sync(code=0)["held_deletes"] is None
    assert server.hashes(source) == hashes(home.texts())


def test_fb5_files_with_reused_inodes_are_no_renames(home: Home, server: Server) -> None:
    """FB5: `rm` of 14 files, and 14 other files that get their inodes: the deletes are held all the same."""
    source = many(home)
    gone = list(NOTES)[:14]
    inodes = {(home.folder / path).stat().st_ino for path in gone}
    for path in gone:
        (home.folder / path).unlink()
    for number in range(14):
        home.write(f"other{number}.md", f"other {number}\n")
    if not inodes & {(home.folder / f"other{number}.md").stat().st_ino for number in range(14)}:
        pytest.skip("this file system does not reuse inodes at once")
    assert home.sync(code=6)["held_deletes"]["count"] == 14
    assert server.hashes(source).keys() >= NOTES.keys()
