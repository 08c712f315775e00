"""The contents that a server takes, as it states and as its refusals show."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.accepts import Accepts
from agent.engine import effects as e
from engine.harness import SOURCE, started


def test_a_server_that_takes_other_contents_causes_a_scan() -> None:
    """Files that were skipped may be taken now; without news nothing is scanned."""
    harness = started()
    assert harness.engine.accepts == Accepts(text_only=True)
    assert not harness.engine.configure(harness.now, harness.setup)
    effects = harness.engine.configure(harness.now, replace(harness.setup, accepts=Accepts(text_only=False)))
    assert any(isinstance(effect, e.ScanFolder) for effect in effects)
    assert harness.engine.accepts == Accepts(text_only=False)


def test_the_smaller_of_two_limits_counts() -> None:
    """One is stated by the server, one was learned from a refusal."""
    harness = started()
    harness.engine.configure(harness.now, replace(harness.setup, accepts=Accepts(max_bytes=100)))
    for learned, most in ((None, 100), (500, 100), (50, 50)):
        harness.engine._ctx.update_source_row(max_bytes=learned)
        assert harness.engine.accepts.max_bytes == most
    assert harness.index.sources.get(SOURCE).max_bytes == 50
