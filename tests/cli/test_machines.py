"""``status --machines``: who is behind, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from agent.api.methods.machines import ordered
from agent.cli import render
from agent.cli.commands.hub_data import _token_list
from agent.cli.output import Grid
from agent.cli.render import machine_views
from agent.cli.render.machine_views import words_of_one_behind
from agent.core.humanize import machine_names
from agent.core.states import SourceState
from agent.remotes.machine_list import RemoteMachine
from cli import documents
from cli.conftest import Ran
from cli.fake_agent import FakeAgent


def test_tokens_name_machines_as_the_status_does() -> None:
    """Machines of one name have the beginning of their id beside it, the one that hub revoke takes."""
    ids = ["aaaaaaaa-1", "bbbbbbbb-1", None, "cccccccc-1"]
    times = {"created_at": "2026-01-02T03:04:05Z", "expires_at": None, "revoked_at": None}
    rows = [
        {"id": str(n), "machine": "attic" if n == 3 else "debian", "machine_id": id_, "workspace": "w", "user": "u"}
        | times
        for n, id_ in enumerate(ids)
    ]
    (grid,) = [block for block in _token_list(rows) if isinstance(block, Grid)]
    assert [row[1] for row in grid.rows] == ["debian (aaaaaaaa)", "debian (bbbbbbbb)", "debian", "attic"]


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
    assert "desk                   all but 3 changes  1 s ago" in ran.out
    assert "/srv/notes: desk is behind; if it stays so, type there: raven-agent status" in ran.out


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


NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("state", "seconds", "words"),
    [
        (None, 60, "desk is behind; if it stays so, type there: raven-agent status"),
        (None, 3600, "desk is behind and silent: it is off, signed out, revoked or unlinked"),
        (None, 40 * 86400, "desk is behind and was not heard of for 40 days; if it no longer syncs this folder"),
        ("up_to_date", 0, "this machine is behind and catches up by itself"),
        ("syncing", 0, "this machine is behind and catches up by itself"),
        ("conflict", 0, "this machine is behind and catches up by itself"),
        ("offline", 0, "catches up when it reaches the server"),
        ("signed_out", 0, "because it is signed out; the line above says how to sign in"),
        ("halted", 0, "because it is stopped; the lines above say how to go on"),
        ("error", 0, "raven-agent retry"),
        ("paused", 0, "because it is paused; the line above says how to go on"),
    ],
)
def test_what_keeps_a_machine_behind_is_said(state: str | None, seconds: int, words: str) -> None:
    """A machine that a person has stopped, or whose token ended, does not catch up by itself."""
    seen_at = (NOW - dt.timedelta(seconds=seconds)).isoformat()
    said = words_of_one_behind("desk", state, seen_at, NOW)
    assert words in said
    assert ("by itself" in said) is (state in ("up_to_date", "syncing", "conflict"))


def test_every_state_of_a_source_has_its_words() -> None:
    """So that a new state is not passed over."""
    alone = {"up_to_date", "syncing", "conflict"}
    assert {state.value for state in SourceState} - alone <= set(machine_views._OWN)


def test_a_halted_machine_is_not_said_to_catch_up() -> None:
    """The state comes from the source of the same answer."""
    document = {
        **status(of_source(machine("laptop", "behind", behind=2, this_machine=True))),
        "sources": [documents.source(id="s", state="halted")],
    }
    words = [str(line) for line in render.status(document)]
    assert any("this machine is behind because it is stopped" in line for line in words)


def test_machines_of_one_name_have_their_ids_beside_it() -> None:
    """As long as tells them apart, and of no other machine."""
    ids = ["01a1fd56-f19c-1", "01a1fd56-f1a1-2", "77777777-0000-3"]
    assert machine_names(zip(ids, ["debian", "debian", "attic"], strict=True)) == [
        "debian (01a1fd56-f19)",
        "debian (01a1fd56-f1a)",
        "attic",
    ]
    assert machine_names([("abcdefghij", ""), ("12345678-9", "debian")]) == ["abcdefgh", "debian"]
    assert machine_names([("aa", "debian"), ("b", "debian")]) == ["debian (aa)", "debian (b)"]
