"""``status --machines``: who is behind, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.api.methods.machines import ordered
from agent.cli import render
from agent.cli.output import Grid
from agent.remotes.machine_list import RemoteMachine
from cli.conftest import Ran
from cli.fake_agent import FakeAgent


def machine(name: str, state: str = "up_to_date", **more: Any) -> dict[str, Any]:
    """One machine of an answer."""
    given = {"id": f"id-of-{name}", "name": name, "platform": "linux", "version": "1", "this_machine": False}
    return {**given, "state": state, "behind": 0, "seen_at": "2026-01-02T03:04:05Z", "reached_at": None, **more}


def of_source(*machines: dict[str, Any], message: str | None = None) -> dict[str, Any]:
    """The machines of one source."""
    known = {"source_id": "s", "name": "notes", "root": "/srv/notes", "server": "home", "known": message is None}
    return {**known, "message": message, "machines": list(machines)}


def status(*sources: dict[str, Any]) -> dict[str, Any]:
    """A status with the machines of these sources."""
    daemon = {"running": True, "pid": 1, "since": "2026-01-02T03:04:05Z"}
    return {
        "checked_at": "2026-01-02T03:04:06Z",
        "daemon": daemon,
        "servers": [],
        "sources": [],
        "machines": [*sources],
    }


def test_the_machine_that_is_behind_is_named(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    """With what it lacks, since when it was not seen, and what brings it forward."""
    desk = machine("desk", "behind", behind=3)
    fake.answers["status"] = status(of_source(machine("laptop", this_machine=True), desk))
    ran = raven("status", "--machines")
    assert fake.params("status") == {"machines": True}
    assert "laptop (this machine)  every change       now" in ran.out
    assert "desk                   all but 3 changes  2026-01-02" in ran.out
    assert "/srv/notes: desk is behind; it catches up as soon as raven-agent runs there" in ran.out


def test_what_a_server_does_not_tell_is_said() -> None:
    """Never that all is well: an unknown position, a server without the call, a machine that nobody reported."""
    unknown = machine("phone", "unknown", behind=None)
    view = render.status(status(of_source(machine("laptop", this_machine=True), unknown)))
    grid = next(block for block in view if isinstance(block, Grid))
    assert [row[1] for row in grid.rows] == ["every change", "not known"]
    words = [str(line) for line in render.status(status(of_source(message="this server does not tell"), of_source()))]
    assert any("/srv/notes: this server does not tell" in line for line in words)
    assert any("no machine has reported its position to the server yet" in line for line in words)
    assert not any("every machine" in line for line in words)


def test_machines_are_asked_once_not_watched(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    """They are no part of the stream."""
    ran = raven("status", "--machines", "--watch")
    assert (ran.code, fake.calls) == (2, [])
    assert "exclude each other" in ran.err


def test_this_machine_comes_first_and_knows_itself() -> None:
    """A server learns of our position up to a minute later; of the others its word counts."""
    found = [
        RemoteMachine("a", "old", seen_at="2026-01-01T00:00:00Z", is_current=False, behind=4),
        RemoteMachine("b", "new", seen_at="2026-01-03T00:00:00Z"),
        RemoteMachine("c", "own", seen_at="2026-01-02T00:00:00Z", is_current=False, behind=1, is_this=True),
    ]
    listed = ordered(found, this_is_current=True)
    assert [(each.name, each.state, each.behind) for each in listed] == [
        ("own", "up_to_date", 0),
        ("new", "unknown", None),
        ("old", "behind", 4),
    ]
    assert [each.state for each in ordered(found, this_is_current=False)] == ["behind", "unknown", "behind"]
