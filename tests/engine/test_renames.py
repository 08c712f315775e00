"""A rename is an upload, acknowledged, and then a delete, in whichever order the two names are noticed."""

from __future__ import annotations

import pytest

from agent.core.model import Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from engine.pilot import Pilot, seen, started, upsert


def _sent(pilot: Pilot) -> list[tuple[str, Verb]]:
    """Path and verb of the batch that is asked for."""
    [send] = [effect for effect in pilot.effects if isinstance(effect, e.Send)]
    return [(parcel.operation.path, parcel.operation.verb) for parcel in send.parcels]


@pytest.fixture
def pilot() -> Pilot:
    """Three files in step; then somebody stirs at a name that is not known, and ``a.md`` is seen to be gone."""
    pilot = started()
    for name in ("b.md", "c.md"):
        pilot.saves(name, name)
        pilot.agreed(name, name)
    pilot.tell(m.Noticed(frozenset(["new.md"])))
    pilot.saves("a.md", None)
    return pilot


def test_a_delete_waits_while_a_new_name_is_still_to_be_looked_at(pilot: Pilot) -> None:
    """Also once another look has found the file there, as long as it may not be sent; and until it is acknowledged."""
    assert not pilot.wants(e.Send)
    pilot.saves("new.md", "one")
    assert not pilot.wants(e.Send)
    pilot.now += 1
    pilot.tell(m.TimePassed())
    assert pilot.take(e.LookAt).paths == ("new.md",)
    pilot.tell(m.FilesSeen((seen("new.md", "one"),)), m.PathsLooked(("new.md",)))
    assert _sent(pilot) == [("new.md", Verb.UPSERT)]
    ids = pilot.answer(Result.APPLIED)
    pilot.feed(upsert("new.md", "one", 20, ids[0]))
    assert _sent(pilot) == [("a.md", Verb.DELETE)]


def test_a_delete_waits_no_longer_than_until_the_new_name_turns_out_to_be_nothing(pilot: Pilot) -> None:
    """A temporary file, gone again by the time it is looked at."""
    pilot.now += 1
    pilot.tell(m.TimePassed())
    pilot.take(e.LookAt)
    pilot.tell(m.FilesSeen((seen("new.md", None),)), m.PathsLooked(("new.md",)))
    assert _sent(pilot) == [("a.md", Verb.DELETE)]


def test_a_delete_does_not_wait_for_a_file_that_is_known_and_keeps_changing() -> None:
    """What both sides agreed on is no new name of anything."""
    pilot = started()
    for name in ("b.md", "c.md"):
        pilot.saves(name, name)
        pilot.agreed(name, name)
    pilot.tell(m.Noticed(frozenset(["b.md"])))
    pilot.saves("a.md", None)
    assert _sent(pilot) == [("a.md", Verb.DELETE)]
