"""What a refused push says of the server's head."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.conflict import ConflictState
from agent.core.events import Upsert
from agent.core.model import Resolution
from agent.core.remote_records import RemoteConflict, Result
from engine.harness import EngineHarness, conflict, sha, started, upsert


def test_a_refusal_tells_a_head_that_was_not_known() -> None:
    """The feed has not shown the newer head; the conflict's snapshot is the best knowledge of it."""
    harness = started()
    harness.saves("a.md", "ours")
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "ours", "theirs"))
    assert harness.trees("a.md") == (sha("one"), sha("ours"), sha("theirs"))
    (parked,) = harness.conflicts()
    assert (parked.local_hash, parked.remote_hash, parked.mine) == (sha("ours"), sha("theirs"), True)


def test_a_refusal_does_not_set_a_newer_head_back() -> None:
    """The feed has shown a version after the one of the conflict's snapshot: that one is shown to the person."""
    harness = started()
    harness.saves("a.md", "ours")
    harness.feed(upsert("a.md", "newest", 30))
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "ours", "theirs"))
    assert harness.trees("a.md") == (sha("one"), sha("ours"), sha("newest"))
    (parked,) = harness.conflicts()
    assert (parked.local_hash, parked.remote_hash) == (sha("ours"), sha("newest"))


def _told(text: str, position: int, rev: str) -> Upsert:
    return Upsert("a.md", sha(text), position, text.encode(), None, rev, "f1")


def _edited_on_the_first_visit() -> EngineHarness:
    """a.md was edited here on v1 of "one"; its push is on its way."""
    harness = EngineHarness()
    harness.begin({}, _told("one", 1, "v1"))
    harness.land("one")
    harness.rest()
    harness.saves("a.md", "ours")
    return harness


def _refusal(base: str, base_rev: str, remote: str, remote_rev: str) -> RemoteConflict:
    found = conflict("k", "a.md", base, "ours", remote)
    return replace(found, base_rev=base_rev, local_rev="v9", remote_rev=remote_rev, remote_id="f1")


def test_a_refusal_tells_a_newer_visit_of_the_base() -> None:
    """The server left the base's text and came back: nothing differs, and the edit is put on the newest visit."""
    harness = _edited_on_the_first_visit()
    harness.answer(Result.CONFLICT, found=_refusal("one", "v1", "one", "v3"))
    row = harness.row("a.md")
    assert (row.base.rev, row.remote.rev, row.remote.remote_id) == ("v3", "v3", "f1")
    (parked,) = harness.conflicts()
    assert (parked.state, parked.choice, parked.wanted_hash) == (
        ConflictState.RESOLVING, Resolution.KEEP_LOCAL, sha("ours")
    )  # fmt: skip


def test_a_refusal_does_not_set_a_newer_visit_back() -> None:
    """The feed has shown the return to the base's text; the snapshot is of the version between."""
    harness = _edited_on_the_first_visit()
    harness.feed(_told("two", 2, "v2"), _told("one", 3, "v3"))
    harness.answer(Result.CONFLICT, found=_refusal("one", "v1", "two", "v2"))
    row = harness.row("a.md")
    assert (row.remote.hash, row.remote.rev, row.base.rev) == (sha("one"), "v3", "v3")
