"""What a refused push says of the server's head."""

from __future__ import annotations

from agent.core.remote_records import Result
from engine.harness import conflict, sha, started, upsert


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
