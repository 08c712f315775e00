"""Single files that cannot be synced now: counted once, tried again, and restored by a person."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Observation, Presence, Purpose, Reason, Side, SourceState
from agent.core.remote_records import Outcome, Result
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.engine.status import SourceView
from engine.harness import SOURCE, EngineHarness, delete, seen, sha, started, text_of, upsert

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
    ((intent, supply),) = harness.take(e.ApplyChanges).jobs
    assert (intent.expected, intent.new, intent.purpose) == (sha(""), sha("one"), Purpose.RESTORE)
    assert text_of(supply) == b"one" and not harness.wants(e.Send)
    assert [stored.id for stored in harness.index.journal.all(SOURCE)] == [intent.id]
    harness.effects.append(e.ApplyChanges(((intent, supply),)))
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


def failing(harness: EngineHarness, *passing: str) -> list[str]:
    """Answer a batch: the server fails on every operation but those on ``passing``; the paths it failed on."""
    send = harness.take(e.Send)
    outcomes = [
        Outcome(op.id, Result.APPLIED)
        if op.path in passing
        else Outcome(op.id, Result.REJECTED, detail="Internal server error", server_fault=True)
        for op in (parcel.operation for parcel in send.parcels)
    ]
    harness.tell(m.BatchAnswered(send.number, tuple(outcomes)))
    harness.rest()
    return [parcel.operation.path for parcel in send.parcels if parcel.operation.path not in passing]


def skipped(harness: EngineHarness) -> list[str]:
    """Paths that are set aside."""
    return [row.path for row in harness.index.trees.unsendable(SOURCE)]


def test_fs1_a_server_that_fails_on_everything_keeps_the_queue() -> None:
    """FS1: four files, 500 for each of them; nothing is set aside, and all go by themselves when the server is well."""
    harness = EngineHarness(hub=True)
    names = [f"n{i}.md" for i in range(4)]
    harness.begin({name: name for name in names})
    for _ in range(3):
        assert sorted(failing(harness)) == names
        assert skipped(harness) == [] and not harness.index.problems.all(SOURCE)
        assert harness.engine.trouble is not None and harness.engine.trouble.kind is ProblemKind.SERVER_FAULT
        assert not harness.wants(e.Send)
        harness.now += 61
        harness.tell(m.TimePassed())
        harness.rest()
    send = harness.take(e.Send)
    harness.answers(send, *[Result.APPLIED] * 4)
    assert harness.engine.trouble is None
    assert all(harness.row(name).base.hash == sha(name) for name in names)


def test_fs1_a_file_is_set_aside_only_beside_others_that_pass() -> None:
    """FS1: the same failure, but another file passes in the same batch."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad", "good.md": "good"})
    failing(harness, "good.md")
    assert skipped(harness) == ["bad.md"]
    assert harness.engine.trouble is None and harness.row("good.md").base.is_file


def test_fs1_a_file_that_fails_again_is_set_aside() -> None:
    """FS1: alone in its batch it proves nothing; a batch of others in between does."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad"})
    failing(harness)
    assert skipped(harness) == []
    harness.saves("good.md", "good")
    harness.now += 61
    harness.tell(m.TimePassed())
    harness.rest()
    failing(harness, "good.md")
    assert skipped(harness) == ["bad.md"]


def test_fs1_a_set_aside_file_is_tried_at_growing_intervals() -> None:
    """FS1: after one minute, then four; not before."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad", "good.md": "good"})
    failing(harness, "good.md")
    for number, delay in enumerate((60.0, 240.0)):
        harness.now += delay - 1
        harness.tell(m.TimePassed())
        assert not harness.wants(e.Send)
        harness.now += 1
        harness.saves(f"other{number}.md", f"other {number}")
        harness.rest()
        assert failing(harness, f"other{number}.md") == ["bad.md"]
        assert skipped(harness) == ["bad.md"]


def test_fs1_a_set_aside_file_is_tried_at_each_start() -> None:
    """FS1: a restart may follow an update of the server."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad", "good.md": "good"})
    failing(harness, "good.md")
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    assert [parcel.operation.path for parcel in harness.take(e.Send).parcels] == ["bad.md"]
    assert not harness.index.problems.all(SOURCE)


def test_fs1_a_set_aside_file_is_tried_when_it_changes() -> None:
    """FS1: another text is another chance."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad", "good.md": "good"})
    failing(harness, "good.md")
    harness.saves("bad.md", "mended")
    harness.answer(Result.APPLIED)
    assert harness.row("bad.md").base.hash == sha("mended") and not harness.index.problems.all(SOURCE)


def looked_at(harness: EngineHarness, here: dict[str, str]) -> SourceView:
    """The status that a command without a daemon sees: a new process that scans and reads, and changes nothing."""
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DRY_RUN)
    harness.restart()
    harness.begin(here)
    harness.rest()
    return harness.engine.view()


def test_fs1_a_later_process_shows_the_failed_try() -> None:
    """FS1, OP1: the queue is kept, and a process that sends nothing still says that the last try failed."""
    harness = EngineHarness(hub=True)
    harness.begin({"bad.md": "bad"})
    assert failing(harness) == ["bad.md"]
    view = looked_at(harness, {"bad.md": "bad"})
    assert (view.state, view.failed_tries, view.pending_push) == (SourceState.ERROR, ("bad.md",), 1)


def test_op1_work_that_was_never_tried_is_no_failure() -> None:
    """OP1: nothing failed yet, so the state is that of work to do."""
    harness = EngineHarness(hub=True)
    view = looked_at(harness, {"new.md": "new"})
    assert (view.state, view.failed_tries, view.pending_push) == (SourceState.SYNCING, (), 1)


def test_op1_a_failed_try_is_over_once_a_later_one_passed() -> None:
    """OP1: the file was sent since; an edit after that is untried work."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one"})
    failing(harness)
    harness.now += 61
    harness.tell(m.TimePassed())
    harness.rest()
    harness.answer(Result.APPLIED)
    view = looked_at(harness, {"a.md": "two"})
    assert (view.state, view.failed_tries, view.pending_push) == (SourceState.SYNCING, (), 1)


@pytest.mark.parametrize("restarts", [False, True])
def test_fs7_a_parked_file_is_tried_again_as_well(restarts: bool) -> None:
    """FS7: it was refused while it was parked. Once the server's file is gone, nothing else would send it again."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "mine"}, upsert("a.md", "theirs", 1))
    send = harness.take(e.Send)
    result = Result.REJECTED if restarts else Result.TOO_LARGE
    refusal = Outcome(send.parcels[0].operation.id, result, detail="refused", limit=None if restarts else 3)
    harness.tell(m.BatchAnswered(send.number, (refusal,)))
    harness.rest()
    assert harness.row("a.md").local.reason is not None and harness.conflicts()
    if restarts:
        harness.restart()
        harness.tell(m.ChangesApplied(()))
    else:
        harness.tell(m.Retry(("a.md",)))
    harness.look({})
    harness.feed(delete("a.md", 2))
    assert [parcel.operation.path for parcel in harness.take(e.Send).parcels] == ["a.md"]
    assert not harness.index.problems.all(SOURCE) and harness.engine.accepts.max_bytes is None


def test_fs7_a_file_that_only_a_scan_set_aside_is_sent_again() -> None:
    """FS7: one file is tried again, and the limit learned from it ends for all."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "first"})
    send = harness.take(e.Send)
    refusal = Outcome(send.parcels[0].operation.id, Result.TOO_LARGE, detail="refused", limit=1)
    harness.tell(m.BatchAnswered(send.number, (refusal,)))
    harness.rest()
    other = seen("b.md", "second")
    harness.tell(m.ScanResults((structs.replace(other, side=structs.replace(other.side, reason=Reason.TOO_LARGE)),)))
    assert skipped(harness) == ["a.md", "b.md"] and not harness.wants(e.Send)
    harness.tell(m.Retry(("a.md",)))
    harness.saves("b.md", "second")
    assert skipped(harness) == []
    sent = [parcel.operation.path for send in harness.effects if isinstance(send, e.Send) for parcel in send.parcels]
    assert sent == ["a.md", "b.md"]


def test_fs7_refused_bytes_are_not_sent_again_when_saved_anew() -> None:
    """FS7: the refusal is about the bytes, and a scan that knows no limit does not end it."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "first"})
    send = harness.take(e.Send)
    refusal = Outcome(send.parcels[0].operation.id, Result.TOO_LARGE, detail="refused")
    harness.tell(m.BatchAnswered(send.number, (refusal,)))
    harness.rest()
    harness.saves("a.md", "first")
    assert skipped(harness) == ["a.md"] and not harness.wants(e.Send)
