"""A file written right before it was looked at is looked at again, once."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import Fingerprint, Observation, file_side
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import EngineHarness, sha, started

LATER = 2.2
FUTURE = 4_000_000_000 * 10**9


def following() -> EngineHarness:
    """An engine at rest that stays; it looks at everything only when it is told to."""
    harness = started(hub=True)
    harness.setup = replace(harness.setup, run_mode=RunMode.DAEMON, long_poll=True, look_every=1e9, verify_every=1e9)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    return harness


def racy(text: str) -> Observation:
    """A file whose time of change lies in the future, as a clock that was set leaves it."""
    mark = Fingerprint(len(text), FUTURE, FUTURE, 1, sha(text)[:32], racy=True)
    return Observation("a.md", file_side(sha(text), len(text)), mark)


def after(harness: EngineHarness, seconds: float) -> list[e.ScanPaths]:
    """The single looks that are asked for once so much time has passed; they count as taken."""
    harness.now += seconds
    harness.tell(m.TimePassed())
    found = [effect for effect in harness.effects if isinstance(effect, e.ScanPaths)]
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.ScanPaths)]
    return found


def look(harness: EngineHarness, seen: Observation) -> None:
    """The single look that was asked for finds this."""
    harness.tell(m.ScanResults((seen,)), m.PathScanFinished(("a.md",)))


def is_racy(harness: EngineHarness) -> bool:
    """Whether an equal stat of the file would prove nothing."""
    mark = harness.engine._path_store.row("a.md").fingerprint
    return mark is not None and mark.racy


def test_a_file_dated_in_the_future_is_read_again_only_once() -> None:
    """A file dated in the future is read again once and then left alone."""
    harness = following()
    harness.tell(m.ScanResults((racy("text"),)))
    (again,) = after(harness, LATER)
    assert not again.again
    look(harness, racy("text"))
    assert not is_racy(harness)
    assert [after(harness, LATER) for _ in range(3)] == [[], [], []]


def test_one_that_was_written_meanwhile_is_read_once_more() -> None:
    harness = following()
    harness.tell(m.ScanResults((racy("text"),)))
    after(harness, LATER)
    look(harness, racy("other"))
    assert is_racy(harness)
    assert len(after(harness, LATER)) == 1
    look(harness, racy("other"))
    assert not is_racy(harness)


def test_a_look_before_that_proves_nothing() -> None:
    """A notice has it looked at at once, and its stat taken for proof until it can be one."""
    harness = following()
    harness.tell(m.ScanResults((racy("text"),)))
    harness.tell(m.PathsChanged(frozenset({"a.md"})))
    (soon,) = after(harness, 0.5)
    assert soon.again == {"a.md"}
    look(harness, racy("text"))
    assert is_racy(harness)
    assert len(after(harness, LATER)) == 1


def test_what_a_whole_look_under_way_tells_proves_nothing() -> None:
    """It may have read the file before it had settled."""
    harness = following()
    harness.tell(m.ScanResults((racy("text"),)))
    harness.tell(m.RescanRequested())
    after(harness, LATER)
    look(harness, racy("text"))
    assert is_racy(harness)
