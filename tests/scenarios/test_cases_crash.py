"""Crash and durability (CR), and ending in the middle of something (OP6)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from strict_raven.faults import delay, drop_answer
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, StrictServer, sha
from support.wait_idle import assert_equal, settle


def _upserts(server: Server, source: str) -> list[str | None]:
    return [digest for kind, digest in server.events(source) if kind == "file.upsert"]


@pytest.mark.parametrize("answers_lost", [1, 2])
def test_cr4_an_answer_lost_after_the_commit_makes_no_duplicate(
    strict_home: Home, strict: StrictServer, answers_lost: int
) -> None:
    """The server has each file once, and there is no conflict with oneself; the pass itself finds that out."""
    strict_home.write("a.md", "one\n")
    source = strict_home.link()
    strict_home.write("a.md", "two\n")
    strict_home.write("b.md", "new\n")
    strict.faulty.inject(drop_answer(), requests=answers_lost, on="push-batch")
    strict_home.sync()
    strict_home.sync(code=0)
    assert len(strict.faulty.struck) >= 1
    assert len(_upserts(strict, source)) == len(set(_upserts(strict, source))) == 3
    assert strict.raven.conflicts_ever() == ()
    assert_equal(source, strict, [strict_home])


def test_cr4_killed_between_commit_and_answer_no_duplicate(strict_home: Home, strict: StrictServer) -> None:
    """The next start settles what was sent by looking for it, and sends nothing twice."""
    strict_home.write("a.md", "one\n")
    source = strict_home.link()
    strict.faulty.inject(delay(3.0), on="push-batch")
    strict_home.write("a.md", "two\n")
    with strict_home.daemon() as daemon:
        eventually(lambda: strict.text(source, "a.md") == "two\n", what="the push is committed")
        daemon.kill()
    strict_home.sync(code=0)
    assert len(_upserts(strict, source)) == 2
    assert strict.raven.conflicts_ever() == ()
    assert_equal(source, strict, [strict_home])


def test_cr9_a_second_agent_for_one_home_is_refused(home: Home) -> None:
    """Code 7 and the pid of the one that holds it; the first goes on."""
    home.link()
    with home.daemon() as daemon:
        second = home.run("run")
        assert second.code == 7
        assert str(daemon.process.pid) in second.err
        assert daemon.source()["state"] in ("up_to_date", "syncing")


def test_cr9_a_lock_left_by_a_killed_agent_locks_nobody_out(home: Home) -> None:
    """The file outlives its process; the next command and the next daemon start all the same."""
    home.link()
    with home.daemon() as daemon:
        daemon.kill()
    assert json.loads((home.path / "agent.lock").read_text())["pid"] == daemon.process.pid
    home.sync(code=0)
    with home.daemon() as daemon:
        assert daemon.call("status")["daemon"]["running"] is True


def test_op6_sigterm_during_a_download_ends_soon_and_cleanly(strict_home: Home, strict: StrictServer) -> None:
    """A page of the feed takes longer than that: exit within 10 s with 0; the next start installs what it told."""
    source = strict_home.link()
    strict.faulty.inject(delay(12.0), requests=3, on="deltas")
    strict.put(source, "theirs.md", "theirs\n")
    with strict_home.daemon() as daemon:
        eventually(lambda: strict.faulty.struck, what="the page is under way")
        assert daemon.stop(10) == 0
    strict.faulty.clear()
    strict_home.sync(code=0)
    assert strict_home.texts() == {"theirs.md": "theirs\n"}
    assert strict.raven.conflicts_ever() == ()


def test_op6_sigterm_during_a_transfer_ends_soon_and_cleanly(strict_home: Home, strict: StrictServer) -> None:
    """The answer of a push is kept back for longer than that: exit within 10 s with 0; nothing is sent twice."""
    source = strict_home.link()
    strict.faulty.inject(delay(12.0), on="push-batch")
    strict_home.write("a.md", "text\n")
    with strict_home.daemon() as daemon:
        eventually(lambda: strict.text(source, "a.md") == "text\n", what="the push is committed")
        assert daemon.stop(10) == 0
    strict_home.sync(code=0)
    assert len(_upserts(strict, source)) == 1
    assert strict.raven.conflicts_ever() == ()


def _garbage(index: Path) -> None:
    index.write_bytes(b"no database at all" * 1000)


def _damaged_inside(index: Path) -> None:
    """Pages in the middle overwritten, the header left as it is."""
    with contextlib.closing(sqlite3.connect(index)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = index.stat().st_size
    with index.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * (size - 8192))


def _cut(index: Path) -> None:
    """Only the first half is left."""
    with contextlib.closing(sqlite3.connect(index)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with index.open("r+b") as file:
        file.truncate(index.stat().st_size // 2)


DAMAGES = {"garbage": _garbage, "damaged-inside": _damaged_inside, "cut": _cut}


@pytest.mark.parametrize("damage", DAMAGES)
def test_cr8_a_damaged_index_is_set_aside_and_rebuilt_as_a_union(home: Home, server: Server, damage: str) -> None:
    """Equal is a no-op, different is parked, what one side lacks is copied, nothing is deleted in two passes; the
    damaged file is kept beside the new one.
    """
    paths = _fifteen(home)
    source = home.link()
    before = server.events(source)
    DAMAGES[damage](home.path / "index.sqlite")
    home.write("n00.md", "edited here\n")
    (home.folder / "n01.md").unlink()
    server.remove(source, "n02.md")
    report = home.sync(code=3)
    assert (report["deleted_local"], report["deleted_remote"]) == (0, 0)
    assert [(row["path"], row["kind"]) for row in home.json("conflicts")] == [("n00.md", "no_base")]
    assert list(home.path.glob("index.sqlite.damaged-*"))
    home.sync(code=3)
    assert set(home.files()) == set(server.hashes(source)) == paths
    assert (home.texts()["n00.md"], server.text(source, "n00.md")) == ("edited here\n", "0\n")
    new = [digest for kind, digest in server.events(source)[len(before) :] if kind == "file.upsert"]
    assert new == [sha("2\n")]


@pytest.mark.parametrize("left", [0.0, 0.5, 0.95])
def test_cr8_a_cut_wal_deletes_and_loses_nothing(home: Home, server: Server, left: float) -> None:
    """The daemon was killed and the end of its WAL is gone: what the index forgot is found again by looking, or a
    person is asked to look first; an edit, a file of the server's and fifteen others come through.
    """
    paths = _fifteen(home)
    source = home.link()
    with home.daemon() as daemon:
        settle([daemon])
        home.write("n00.md", "edited here\n")
        server.put(source, "theirs.md", "theirs\n")
        settle([daemon])
        daemon.kill()
    wal = home.path / "index.sqlite-wal"
    with wal.open("r+b") as file:
        file.truncate(int(wal.stat().st_size * left))
    (home.path / "index.sqlite-shm").unlink(missing_ok=True)
    home.write("n03.md", "edited since\n")
    if home.run("sync").code == 6:
        home.json("resume")
    home.run("sync")
    assert {row["path"] for row in home.json("conflicts")} <= {"n03.md"}
    home.run("resolve", "--all", "keep_local")
    home.sync(code=0)
    assert set(home.files()) == paths | {"theirs.md"}
    texts = home.texts()
    assert (texts["n00.md"], texts["n03.md"], texts["theirs.md"]) == ("edited here\n", "edited since\n", "theirs\n")
    assert_equal(source, server, [home])


def _fifteen(home: Home) -> set[str]:
    for number in range(15):
        home.write(f"n{number:02}.md", f"{number}\n")
    return set(home.files())
