"""Crash and durability (CR), and ending in the middle of something (OP6)."""

from __future__ import annotations

import json
import shutil

import pytest

from strict_raven.faults import delay, drop_answer
from support.eventually import eventually
from support.processes import Home
from support.resting import assert_equal, lost
from support.servers import Server, StrictServer


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


def test_cr4_killed_between_the_commit_and_the_answer_makes_no_duplicate(
    strict_home: Home, strict: StrictServer
) -> None:
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


@pytest.mark.parametrize("edits", [True, False], ids=["edited-since", "untouched"])
def test_cr5_an_index_older_than_the_installed_file_loses_no_edit(home: Home, server: Server, edits: bool) -> None:
    """The file was installed, the index's commit was lost, perhaps the user edited since: the edit survives, and an
    untouched file is no conflict.
    """
    home.write("a.md", "base\n")
    source = home.link()
    kept = home.path.with_name("kept")
    kept.mkdir()
    for file in home.path.glob("index.sqlite*"):
        shutil.copy2(file, kept)
    server.replace(source, "a.md", "theirs\n")
    home.sync(code=0)
    assert home.texts() == {"a.md": "theirs\n"}
    for file in home.path.glob("index.sqlite*"):
        file.unlink()
    for file in kept.iterdir():
        shutil.copy2(file, home.path)
    if edits:
        home.write("a.md", "edited since\n")
    ran = home.run("sync", "--json")
    assert ran.code in ((0, 3) if edits else (0,)), ran
    assert home.texts() == {"a.md": "edited since\n" if edits else "theirs\n"}
    owed = {"base\n", "theirs\n"} | ({"edited since\n"} if edits else set())
    assert lost(owed, source, server, [home]) == set()


def test_cr9_a_second_agent_for_one_home_is_refused_and_told_which(home: Home) -> None:
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


def test_op6_sigterm_in_mid_transfer_ends_soon_and_goes_on_cleanly(strict_home: Home, strict: StrictServer) -> None:
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


def test_cr8_a_damaged_index_is_set_aside_and_rebuilt_as_a_union(home: Home, server: Server) -> None:
    """No delete, no conflict where both sides are equal; the damaged file is kept beside it."""
    for number in range(15):
        home.write(f"n{number}.md", f"{number}\n")
    source = home.link()
    before = server.events(source)
    index = home.path / "index.sqlite"
    index.write_bytes(b"no database at all" * 1000)
    report = home.sync(code=0)
    assert (report["pushed"], report["pulled"], report["conflicts"]) == (0, 0, 0)
    assert server.events(source) == before
    assert len(list(home.path.glob("index.sqlite*"))) > 1
