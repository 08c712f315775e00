"""Single files that cannot be synced now: counted once, tried again, and restored by a person."""

from __future__ import annotations

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Observation, Outcome, Presence, Purpose, Reason, Result, Side, SourceState
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import SOURCE, EngineHarness, seen, sha, started

OFFLINE = Problem(ProblemKind.OFFLINE, "the server cannot be reached")
FAULT = Problem(ProblemKind.SERVER_FAULT, "the server failed")


def shrunk(harness: EngineHarness, path: str) -> None:
    """A scan finds that the file is shorter than before at the same modification time."""
    side = Side(Presence.UNKNOWN, None, 3, Reason.SHRUNK)
    harness.tell(m.ScanResults((Observation(path, side, harness.row(path).fingerprint),)))


def test_fd1_a_version_is_restored_over_a_shrunk_file() -> None:
    """FD1: the cut file is read first, goes to the trash with the install, and is never sent."""
    harness = started()
    shrunk(harness, "a.md")
    harness.tell(m.Restore("a.md", b"one"))
    scan = harness.take(e.ScanPaths)
    assert scan.paths == ("a.md",) and scan.anew == {"a.md"}
    assert not harness.wants(e.ApplyChanges)
    harness.tell(m.ScanResults((seen("a.md", ""),)))
    ((intent, content),) = harness.take(e.ApplyChanges).jobs
    assert (intent.expected, intent.new, intent.purpose) == (sha(""), sha("one"), Purpose.RESTORE)
    assert content == b"one" and not harness.wants(e.Send)
    assert [stored.id for stored in harness.index.journal.all(SOURCE)] == [intent.id]
    harness.effects.append(e.ApplyChanges(((intent, content),)))
    harness.tell(m.PathScanFinished(("a.md",)))
    harness.land("one")
    assert harness.trees("a.md") == (sha("one"),) * 3 and not harness.wants(e.Send)


def test_fd1_a_file_that_stays_unreadable_is_not_replaced() -> None:
    """FD1: what cannot be read is not overwritten; the restore ends with a reason and holds nothing up."""
    harness = started()
    shrunk(harness, "a.md")
    harness.tell(m.Restore("a.md", b"one"))
    unreadable = Observation("a.md", Side(Presence.UNKNOWN, None, None, Reason.UNREADABLE))
    harness.tell(m.ScanResults((unreadable,)), m.PathScanFinished(("a.md",)))
    assert not harness.wants(e.ApplyChanges) and not harness.engine._ctx.in_flight.restoring
    assert [problem.path for problem in harness.index.problems.all(SOURCE)] == ["a.md"]


def test_fs2_the_newest_cause_of_a_failing_server_is_shown() -> None:
    """FS2: the server was away and is back with another fault; nobody is told that it cannot be reached."""
    harness = started()
    harness.tell(m.RescanRequested())
    harness.tell(m.CallFailed(m.Call.LISTING, OFFLINE))
    assert harness.engine.trouble == OFFLINE
    harness.tell(m.CallFailed(m.Call.CONFLICTS, FAULT))
    assert harness.engine.trouble == FAULT
    busy = Problem(ProblemKind.BUSY, "the server is busy")
    harness.tell(m.CallFailed(m.Call.CLOSE, busy, 1))
    assert harness.engine.trouble == busy
    refused = Problem(ProblemKind.SIGNED_OUT, "the token was refused")
    harness.tell(m.CallFailed(m.Call.LISTING, refused))
    harness.tell(m.CallFailed(m.Call.CLOSE, busy, 1))
    assert harness.engine.trouble == refused


def test_fs7_a_file_over_the_limit_is_counted_once() -> None:
    """FS7: the row and the server's refusal are one skipped file, and everything else is in sync."""
    harness = started()
    harness.saves("big.md", "large")
    send = harness.take(e.Send)
    identifier = send.parcels[0].operation.id
    refusal = Outcome(identifier, Result.TOO_LARGE, detail="larger than the 3 bytes this server takes", limit=3)
    harness.tell(m.BatchAnswered(send.number, (refusal,)))
    harness.rest()
    view = harness.engine.view()
    assert (view.skipped, view.pending_push, view.state) == (1, 0, SourceState.UP_TO_DATE)
    assert [problem.path for problem in harness.index.problems.all(SOURCE)] == ["big.md"]
