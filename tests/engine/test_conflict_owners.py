"""Whose conflict the server shows: ours, another machine's equal, an excluded file's, one that a delete has ended."""

from __future__ import annotations

from agent.core.conflict import ConflictOrigin, ConflictState
from agent.core.conflict_verdict import EXCLUDED
from agent.core.events import ConflictClosed, ConflictOpened
from agent.core.model import OUT_OF_SCOPE, Observation, Resolution
from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, conflict, delete, drain, head, sha, started, upsert

OURS = conflict("k1", "a.md", "one", "mine", "theirs")
EQUAL = conflict("k9", "a.md", "one", "mine", "theirs")
OTHER_BASE = conflict("k9", "a.md", "zero", "mine", "theirs")


def parked() -> EngineHarness:
    """a.md is parked: base one, here mine, there theirs; the server knows it as k1."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=OURS)
    harness.effects.clear()
    return harness


def decide(harness: EngineHarness, choice: Resolution, text: str | None = None) -> None:
    """A person decides the one conflict that parks."""
    (found,) = (c for c in harness.conflicts() if c.parks)
    harness.tell(m.Resolve(found.id, found.generation, choice, None if text is None else text.encode()))


def close(harness: EngineHarness) -> str:
    """The server closes the conflict the engine asks for; its id."""
    effect = harness.take(e.CloseConflict)
    harness.closes(effect.conflict)
    return effect.server_id


def opened(harness: EngineHarness, *listed: object) -> None:
    """The feed shows k9; the list shows these conflicts."""
    harness.listed = listed  # type: ignore[assignment]
    drain(harness, ConflictOpened("a.md", "k9", 20, sha("mine"), sha("theirs")))


def test_the_one_who_resolves_closes_the_equal_too() -> None:
    """FC3: two machines park the same text on the same base; one resolution closes both conflicts."""
    harness = parked()
    opened(harness, OURS, EQUAL)
    (found,) = harness.conflicts()
    assert found.server_ids == ("k1", "k9")
    decide(harness, Resolution.KEEP_RAVEN)
    harness.shows("a.md", head("a.md", "theirs", "one"), OURS, EQUAL)
    assert close(harness) == "k1"
    harness.shows("a.md", head("a.md", "theirs", "one"), EQUAL)
    assert close(harness) == "k9"
    harness.shows("a.md", head("a.md", "theirs", "one"))
    harness.land("theirs")
    assert harness.conflicts() == []


def test_an_equal_first_seen_in_the_list_is_closed_as_well() -> None:
    """FC3: the feed shows that our conflict is closed before the next list; the decision is not over by that."""
    harness = parked()
    decide(harness, Resolution.KEEP_RAVEN)
    harness.shows("a.md", head("a.md", "theirs", "one"), OURS, EQUAL)
    effect = harness.take(e.CloseConflict)
    assert effect.server_id == "k1"
    harness.tell(m.ConflictCloseAnswered(effect.conflict))
    drain(harness, ConflictClosed("a.md", "k1", 30, sha("theirs")), upsert("a.md", "theirs", 31, "resolve-k1"))
    assert not harness.wants(e.ApplyChanges)
    harness.shows("a.md", head("a.md", "theirs", "one"), EQUAL)
    assert close(harness) == "k9"
    harness.shows("a.md", head("a.md", "theirs", "one"))
    harness.land("theirs")
    assert harness.conflicts() == []


def test_an_equal_that_comes_late_is_closed_quietly() -> None:
    """FC3: the other machine's equal conflict opens after ours was resolved; what was decided stays the head."""
    harness = parked()
    decide(harness, Resolution.KEEP_RAVEN)
    harness.shows("a.md", head("a.md", "theirs", "one"), OURS)
    close(harness)
    harness.shows("a.md", head("a.md", "theirs", "one"))
    harness.land("theirs")
    drain(harness, upsert("a.md", "theirs", 15, "resolve-k1"))
    opened(harness, EQUAL)
    (quiet,) = harness.conflicts()
    assert quiet.origin is ConflictOrigin.STALE_OWN
    harness.shows("a.md", head("a.md", "theirs", "one"), EQUAL)
    assert close(harness) == "k9"
    harness.shows("a.md", head("a.md", "theirs", "one"))
    assert harness.conflicts() == [] and harness.trees("a.md") == (sha("theirs"),) * 3


def test_the_same_text_on_another_base_is_not_ours() -> None:
    """FC3: another machine's conflict with our text on its own base is listed, and our resolution leaves it open."""
    harness = parked()
    opened(harness, OURS, OTHER_BASE)
    found, listed = harness.conflicts()
    assert found.server_ids == ("k1",) and not listed.mine and listed.server_ids == ("k9",)
    decide(harness, Resolution.KEEP_RAVEN)
    harness.shows("a.md", head("a.md", "theirs", "one"), OURS, OTHER_BASE)
    assert close(harness) == "k1"
    harness.shows("a.md", head("a.md", "theirs", "one"), OTHER_BASE)
    assert not harness.wants(e.CloseConflict)
    harness.land("theirs")
    assert [c.server_ids for c in harness.conflicts()] == [("k9",)]


def test_the_other_machine_follows_the_one_who_resolved() -> None:
    """FC3: both of its conflicts are resolved elsewhere with the text it still holds: it installs the result."""
    harness = parked()
    opened(harness, OURS, EQUAL)
    drain(
        harness,
        ConflictClosed("a.md", "k1", 30, sha("merged")),
        upsert("a.md", "merged", 31, "resolve-k1"),
        ConflictClosed("a.md", "k9", 32, sha("merged")),
    )
    assert harness.conflicts() == []
    harness.land("merged")
    assert harness.trees("a.md") == (sha("merged"),) * 3


def test_an_excluded_file_keeps_its_conflict() -> None:
    """FC4: the rules exclude a parked file; the conflict stays ours, says so, and can be resolved."""
    harness = parked()
    harness.tell(m.ScanResults((Observation("a.md", OUT_OF_SCOPE),)))
    harness.listed = (OURS,)
    drain(harness)
    (found,) = harness.conflicts()
    assert found.mine and found.note == EXCLUDED and found.state is ConflictState.OPEN
    assert (found.local_hash, found.remote_hash) == (sha("mine"), sha("theirs"))
    decide(harness, Resolution.KEEP_LOCAL, "mine")
    harness.shows("a.md", head("a.md", "theirs", "one"), OURS)
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_LOCAL
    harness.closes(found.id)
    harness.shows("a.md", head("a.md", "mine", "theirs"))
    assert harness.conflicts() == [] and not harness.wants(e.ApplyChanges)


def test_a_file_selected_again_shows_its_conflict_again() -> None:
    """FC4: the exclusion is taken back; the conflict shows the file as it is now."""
    harness = parked()
    harness.tell(m.ScanResults((Observation("a.md", OUT_OF_SCOPE),)))
    harness.saves("a.md", "mine, edited")
    (found,) = harness.conflicts()
    assert found.mine and found.note is None and found.base_hash == sha("one")
    assert (found.local_hash, found.remote_hash) == (sha("mine, edited"), sha("theirs"))


def test_a_delete_takes_a_conflict_off_the_list() -> None:
    """FC5: another machine's delete ends a conflict without an event; the next look at the feed removes it."""
    harness = started()
    harness.listed = (conflict("k9", "a.md", "zero", "other", "one"),)
    drain(harness, ConflictOpened("a.md", "k9", 20, sha("other"), sha("one")))
    assert [c.server_ids for c in harness.conflicts()] == [("k9",)]
    harness.listed = ()
    drain(harness, delete("a.md", 30))
    assert harness.conflicts() == []


def test_a_delete_keeps_the_text_of_a_page_edit() -> None:
    """FC5: a delete ends the conflict that held a refused page edit; its text goes to the trash."""
    harness = started()
    harness.listed = (conflict("k3", "a.md", "zero", "one", "page"),)
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("page"), by_server_edit=True))
    harness.listed = ()
    drain(harness, delete("a.md", 30))
    assert harness.conflicts() == []
    assert harness.take(e.TextForTrash).content == b"page"
    harness.land(None)


def test_a_list_in_parts_keeps_the_texts_of_ours_only() -> None:
    """FC7: a long list comes in parts; nothing is taken for gone before its end, and foreign texts are not kept."""
    harness = parked()
    harness.engine._ctx.in_flight.request_conflicts()
    harness.tell(m.TimePassed())
    harness.take(e.FetchConflicts)
    harness.tell(m.ConflictsArrived((conflict("k9", "b.md", "zero", "b1", "b2"),), last=False))
    assert [c.server_ids for c in harness.conflicts()] == [("k1",)]
    harness.tell(m.ConflictsArrived((OURS,)))
    harness.rest()
    assert [c.server_ids for c in harness.conflicts()] == [("k1",), ("k9",)]
    assert harness.index.texts.get(sha("mine")) == b"mine" and harness.index.texts.get(sha("b1")) is None


def test_the_feed_says_what_is_no_server_edit() -> None:
    """A stranger's refused push whose text became the head later is still the stranger's when the list shows it."""
    harness = started()
    listed = conflict("k9", "a.md", "zero", "one", "older")
    harness.listed = (listed,)
    drain(harness, ConflictOpened("a.md", "k9", 9, sha("one"), sha("older")))
    harness.engine._ctx.in_flight.request_conflicts()
    harness.tell(m.TimePassed())
    harness.rest()
    (found,) = harness.conflicts()
    assert found.origin is ConflictOrigin.FOREIGN and not found.mine
