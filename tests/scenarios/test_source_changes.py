"""sources rename, archive and delete: on the server for all machines, and no file on any disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios.conftest import Machines
from support.servers import HubServer, StrictServer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub without sources."""
    with HubServer.serving(tmp_path / "hub") as server:
        yield server


def test_archived_and_deleted_sources_leave_every_disk_alone(machine: Machines, hub: HubServer) -> None:
    """A linked machine keeps its files through a rename, an archive, its end and a delete, and says what happened."""
    one, two = machine("one"), machine("two")
    for home in (one, two):
        home.login(hub)
    one.write("a.md", "one\n")
    source = one.link("--name", "team")
    two.link("--source", "team")
    renamed = one.json("sources", "rename", "team", "field notes")
    assert (renamed["name"], renamed["id"], renamed["root"]) == ("field notes", source, str(one.folder))
    assert [row["name"] for row in two.json("sources")] == ["field notes"]

    assert one.json("sources", "archive", "field notes")["action"] == "archive"
    two.write("b.md", "unsent\n")
    two.sync()
    assert "b.md" not in hub.hashes(source) and two.json("sources")[0]["status"] == "archived"
    refused = machine("three")
    refused.login(hub)
    ran = refused.run("link", refused.folder, "--source", "field notes", "--yes")
    assert ran.code == 2 and "is archived" in ran.err
    one.json("sources", "archive", source, "--undo")
    two.sync(code=0)
    assert "b.md" in hub.hashes(source)

    assert one.run("sources", "delete", source).code == 2, "without a terminal the flag is needed"
    deleted = one.run("sources", "delete", source, "--yes")
    assert deleted.code == 0 and "no file on any disk is deleted" in deleted.out
    assert one.json("sources") == []
    before = two.files()
    ran = two.run("sync")
    assert ran.code == 1 and "was deleted on" in ran.out + ran.err, ran
    assert two.files() == before and sorted(before) == ["a.md", "b.md"]
    assert two.run("unlink", two.folder, "--yes").code == 0
    assert two.files() == before


def test_a_server_without_these_calls_says_so(machine: Machines, strict: StrictServer) -> None:
    """The released Raven server has none of them."""
    one = machine("one")
    one.login(strict)
    one.write("a.md", "one\n")
    one.link("--name", "team")
    ran = one.run("sources", "rename", "team", "other")
    assert ran.code == 1 and "does not let a client change its sources" in ran.err, ran
