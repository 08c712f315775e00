"""A cloned disk: the copy is a machine of its own, and neither acknowledges, sends or closes what is the other's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.copied_home import copy_home
from support.processes import Home
from support.servers import Server, StrictServer


@pytest.fixture(params=["hub", "strict"])
def server(request: pytest.FixtureRequest) -> Server:
    """Either server."""
    found: Server = request.getfixturevalue("shared_hub" if request.param == "hub" else "strict")
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The machine that is cloned."""
    made = Home(tmp_path, "one")
    made.extra["RAVEN_AGENT_MACHINE_ID"] = "the first machine"
    return made


def clone(home: Home, machine: str = "the second machine") -> Home:
    """The same disk in another machine."""
    copy = copy_home(home, home.path.parents[1], "two")
    copy.extra["RAVEN_AGENT_MACHINE_ID"] = machine
    return copy


def connector(home: Home) -> str:
    """This machine as the server knows it."""
    [row] = home.json("servers")
    return str(row["connector_id"])


def test_the_copy_gets_a_connector_of_its_own_and_both_go_on(home: Home, server: Server) -> None:
    """The edits of each reach the other; nothing is sent again."""
    home.login(server)
    home.write("a.md", "a\n")
    source = home.link()
    copy = clone(home)
    copy.sync(code=0)
    assert connector(copy) != connector(home)
    assert server.events(source) == server.events(source, "a.md") and len(server.events(source)) == 1
    copy.write("b.md", "from the copy\n")
    home.write("a.md", "from the first\n")
    for machine in (copy, home, copy):
        machine.sync(code=0)
    assert home.texts() == copy.texts() == {"a.md": "from the first\n", "b.md": "from the copy\n"}


def test_the_same_machine_keeps_its_connector(home: Home, server: Server) -> None:
    """A copy that is put back on the same machine is no clone."""
    home.login(server)
    home.link()
    before = connector(home)
    assert connector(clone(home, "the first machine")) == before


def test_work_under_way_while_a_disk_is_cloned_is_never_lost(home: Home, strict: StrictServer) -> None:
    """An edit queued before the clone reaches the server once; later edits of both to one file are parked, not lost."""
    home.login(strict)
    home.write("a.md", "base\n")
    home.write("b.md", "base\n")
    source = home.link()
    strict.down()
    home.write("a.md", "queued\n")
    home.sync(code=5)
    copy = clone(home)
    home.write("b.md", "first\n")
    copy.write("b.md", "second\n")
    strict.up()
    home.sync(code=0)
    copy.sync(code=3)
    assert strict.text(source, "a.md") == "queued\n"
    assert [row["path"] for row in copy.json("conflicts") if row["mine"]] == ["b.md"]
    assert (home.texts()["b.md"], copy.texts()["b.md"]) == ("first\n", "second\n")
    assert [text for _, text in strict.events(source, "a.md")].count(strict.events(source, "a.md")[-1][1]) == 1


def test_a_decision_closes_the_equal_conflict_too(home: Home, server: Server) -> None:
    """FC3: both park the same text on the same base. One decision closes both conflicts, the loser is in a trash."""
    home.login(server)
    home.write("a.md", "base\n")
    source = home.link()
    home.write("a.md", "mine\n")
    server.replace(source, "a.md", "theirs\n")
    home.sync(code=3)
    before = {row["id"] for row in server.conflicts(source)}
    copy = clone(home)
    copy.sync(code=3)
    mine = [row for row in copy.json("conflicts") if row["mine"]]
    assert [(row["path"], row["state"]) for row in mine] == [("a.md", "open")]
    copy.run("resolve", mine[0]["id"], "keep_raven")
    copy.sync()
    assert copy.texts()["a.md"] == "theirs\n"
    assert not before & {row["id"] for row in server.conflicts(source)}
    home.sync(code=0)
    assert [row for row in home.json("conflicts") if row["mine"]] == []
    assert home.texts()["a.md"] == server.text(source, "a.md") == "theirs\n"
    assert hashlib.sha256(b"mine\n").hexdigest() in {row["hash"] for row in home.json("trash")}


def test_a_queued_decision_is_sent_by_the_first_machine_alone(home: Home, strict: StrictServer) -> None:
    """The copy asks its own person."""
    home.login(strict)
    home.write("a.md", "base\n")
    source = home.link()
    home.write("a.md", "mine\n")
    strict.replace(source, "a.md", "theirs\n")
    home.sync(code=3)
    strict.down()
    [row] = home.json("conflicts")
    home.run("resolve", row["id"], "keep_local")
    copy = clone(home)
    strict.up()
    copy.sync(code=3)
    assert strict.text(source, "a.md") == "theirs\n"
    assert [row["state"] for row in copy.json("conflicts") if row["mine"]] == ["open"]
    home.sync()
    assert strict.text(source, "a.md") == "mine\n"
