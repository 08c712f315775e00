"""``drafts`` and ``events``: kept merges and the stream of changes, over a running agent and without one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from agent.cli.client import daemon_of
from agent.settings.home import Home as AgentHome
from support.processes import Home
from support.servers import StrictServer

BASE, MINE, THEIRS = "one\nbase\ntwo\nthree\n", "one\nmine\ntwo\nthree\n", "one\ntheirs\ntwo\nthree\n"


@pytest.fixture
def parked(strict_home: Home, strict: StrictServer) -> str:
    """A conflict about a.md; the source's id."""
    strict_home.write("a.md", BASE)
    source = strict_home.link()
    strict.replace(source, "a.md", THEIRS)
    strict_home.write("a.md", MINE)
    strict_home.sync(code=3)
    return source


def test_a_draft_outlives_a_moved_side_and_a_kill(
    strict_home: Home, strict: StrictServer, parked: str, tmp_path: Path
) -> None:
    """A draft is kept by a killed agent, carried over to a moved side, and deleted by the resolution it becomes."""
    (tmp_path / "merged").write_text("one\nboth\ntwo\nthree\n")
    with strict_home.daemon() as daemon:
        (shown,) = strict_home.json("conflicts")
        saved = strict_home.json("drafts", shown["id"], "--file", tmp_path / "merged")
        assert saved["conflict"] == saved["id"] == shown["id"]
        daemon.kill()
    strict.replace(parked, "a.md", THEIRS + "four\n")
    strict_home.sync(code=3)
    (row,) = strict_home.json("drafts")
    assert (row["id"], row["path"]) == (shown["id"], "a.md")
    assert row["conflict"] != row["id"]
    draft = strict_home.json("drafts", "a.md")
    assert (draft["text"], draft["moved"]) == ("one\nboth\ntwo\nthree\n", True)
    assert draft["rebased"] == "one\nboth\ntwo\nthree\nfour\n"
    (tmp_path / "merged").write_text(draft["rebased"])
    strict_home.run("drafts", row["conflict"], "--file", tmp_path / "merged")
    resolved = strict_home.json("resolve", row["conflict"], "manual_merge", "--file", tmp_path / "merged")
    assert [one["state"] for one in resolved["resolved"]] == ["resolved"]
    assert strict.text(parked, "a.md") == draft["rebased"]
    assert strict_home.json("drafts") == []


def test_an_event_id_continues_the_stream(strict_home: Home, strict: StrictServer, parked: str) -> None:
    """The stream begins with the present state; an id continues it, also after a restart."""
    with strict_home.daemon() as daemon:
        begin = daemon.call("events")
        assert [event["kind"] for event in begin] == ["conflicts", "status"]
        assert begin[0]["conflicts"] == [row["id"] for row in strict_home.json("conflicts")]
        daemon.kill()
    strict_home.write("b.md", "new\n")
    strict_home.sync(code=3)
    with strict_home.daemon():
        client = daemon_of(AgentHome.from_environment(strict_home.env))
        assert client is not None
        stream = client.follow("events_follow", {"after": begin[-1]["id"]})
        read = list(itertools.takewhile(lambda event: event["kind"] != "status", stream))
    assert ("pushed", "b.md") in [(e["activity"]["what"], e["activity"]["path"]) for e in read if e["activity"]]
    assert all(event["conflicts"] is None for event in read)
    assert strict_home.run("events", "--after", "nonsense").code == 2
