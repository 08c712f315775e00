"""A rename is an upload, acknowledged, and then a delete, in whichever order the two names are noticed."""

from __future__ import annotations

import pytest

from agent.core.remote_records import Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, seen, started, upsert


def _sent(harness: EngineHarness) -> list[tuple[str, Verb]]:
    """Path and verb of the batch that is asked for."""
    [send] = [effect for effect in harness.effects if isinstance(effect, e.Send)]
    return [(parcel.operation.path, parcel.operation.verb) for parcel in send.parcels]


@pytest.fixture
def harness() -> EngineHarness:
    """Three files in step; then somebody stirs at a name that is not known, and ``a.md`` is seen to be gone."""
    harness = started()
    for name in ("b.md", "c.md"):
        harness.saves(name, name)
        harness.agreed(name, name)
    harness.tell(m.PathsChanged(frozenset(["new.md"])))
    harness.saves("a.md", None)
    return harness


def test_a_delete_waits_for_a_new_name_not_yet_scanned(harness: EngineHarness) -> None:
    """Also once another look has found the file there, as long as it may not be sent; and until it is acknowledged."""
    assert not harness.wants(e.Send)
    harness.saves("new.md", "one")
    assert not harness.wants(e.Send)
    harness.now += 1
    harness.tell(m.TimePassed())
    assert harness.take(e.ScanPaths).paths == ("new.md",)
    harness.tell(m.ScanResults((seen("new.md", "one"),)), m.PathScanFinished(("new.md",)))
    assert _sent(harness) == [("new.md", Verb.UPSERT)]
    ids = harness.answer(Result.APPLIED)
    harness.feed(upsert("new.md", "one", 20, ids[0]))
    assert _sent(harness) == [("a.md", Verb.DELETE)]


def test_a_delete_waits_only_until_the_new_name_is_gone(harness: EngineHarness) -> None:
    """A temporary file, gone again by the time it is looked at."""
    harness.now += 1
    harness.tell(m.TimePassed())
    harness.take(e.ScanPaths)
    harness.tell(m.ScanResults((seen("new.md", None),)), m.PathScanFinished(("new.md",)))
    assert _sent(harness) == [("a.md", Verb.DELETE)]


def test_a_delete_does_not_wait_for_a_known_changing_file() -> None:
    """What both sides agreed on is no new name of anything."""
    harness = started()
    for name in ("b.md", "c.md"):
        harness.saves(name, name)
        harness.agreed(name, name)
    harness.tell(m.PathsChanged(frozenset(["b.md"])))
    harness.saves("a.md", None)
    assert _sent(harness) == [("a.md", Verb.DELETE)]
