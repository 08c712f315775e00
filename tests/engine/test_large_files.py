"""FD8: large files are read beside everything else, and nothing waits for them but a pass."""

from __future__ import annotations

from agent.core.model import ABSENT
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, seen, started
from engine.test_racy import following


def begun(harness: EngineHarness, *paths: str) -> e.ReadLargeFiles:
    """A scan names these large files; the reading that is asked for."""
    harness.tell(m.ScanResults((), large=frozenset(paths)))
    return harness.take(e.ReadLargeFiles)


def test_fd8_a_small_file_is_pushed_while_a_large_one_is_read() -> None:
    """FD8: the large file follows once it was read."""
    harness = following()
    assert begun(harness, "large.md").paths == ("large.md",)
    harness.saves("small.md", "small")
    sent = harness.take(e.Send)
    assert [parcel.operation.path for parcel in sent.parcels] == ["small.md"]
    assert harness.row("large.md").local == ABSENT
    harness.tell(m.ScanResults((seen("large.md", "large"),)), m.LargeFilesRead(("large.md",)))
    assert harness.row("large.md").local.is_file


def test_fd8_a_large_file_is_read_once_at_a_time() -> None:
    """FD8: one that changed meanwhile is scanned again afterwards; another one is begun at once."""
    harness = following()
    begun(harness, "a.md")
    assert begun(harness, "a.md", "b.md").paths == ("b.md",)
    harness.tell(m.ScanResults((seen("a.md", "old"),)), m.LargeFilesRead(("a.md",)))
    harness.now += 60
    harness.tell(m.TimePassed())
    assert harness.take(e.ScanPaths).paths == ("a.md",)
    harness.tell(m.LargeFilesRead(("b.md",)))
    assert not harness.engine._ctx.in_flight.reading


def test_fd8_a_pass_waits_for_large_files() -> None:
    """FD8: a single pass does not end before they were read."""
    harness = started(hub=True)
    begun(harness, "a.md")
    assert not harness.engine._planner.at_rest()
    harness.tell(m.LargeFilesRead(("a.md",)))
    assert not harness.engine._ctx.in_flight.reading
