"""Retries: none is made in a loop, and a problem ends with the success that follows it."""

from __future__ import annotations

import itertools

from agent.core.backoff import resend_delay
from agent.core.errors import Problem, ProblemKind
from agent.core.remote_records import RemoteFile, Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, seen, sha, started


def test_a_refused_delete_that_passes_later_is_no_problem() -> None:
    """The server refuses a delete once and takes it later: the file does not count as skipped any more."""
    harness = started()
    harness.saves("b.md", "b")
    harness.answer(Result.APPLIED)
    harness.saves("a.md", None)
    harness.answer(Result.REJECTED)
    assert [problem.path for problem in harness.index.problems.all(1)] == ["a.md"]
    harness.now += 61
    harness.tell(m.TimePassed())
    harness.answer(Result.APPLIED)
    assert not harness.index.problems.all(1)


def test_an_operation_in_doubt_waits_for_its_file() -> None:
    """The file is written while its operation is in doubt: it is sent again once the file was read, not before."""
    harness = started(hub=True)
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.rest()
    harness.answer(Result.CHANGED)
    assert not harness.wants(e.Send)
    harness.now += 1
    harness.tell(m.TimePassed())
    paths = harness.take(e.ScanPaths).paths
    assert not harness.wants(e.Send)
    harness.tell(m.ScanResults((seen("a.md", "two"),)), m.PathScanFinished(paths))
    assert harness.take(e.Send).parcels[0].operation.hash == sha("two")


def test_a_verification_waits_while_heads_fail() -> None:
    """Six paths differ and the connection fails: the other heads wait, and no listing is read at once."""
    harness = started()
    names = [f"{i}.md" for i in range(6)]
    harness.listing = (RemoteFile("a.md", sha("one")), *[RemoteFile(name, sha(name)) for name in names])
    harness.tell(m.SyncNow(1))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    asked = [effect.path for effect in harness.effects if isinstance(effect, e.FetchHead)]
    assert len(asked) == 4
    harness.effects.clear()
    harness.tell(*[m.CallFailed(m.Call.HEAD, Problem(ProblemKind.OFFLINE, "reset"), path) for path in asked])
    assert not harness.wants(e.FetchHead)
    listings = harness.listings
    harness.rest()
    assert harness.listings == listings


def _sends_within(harness: EngineHarness, seconds: float, moved: str | None = None) -> list[float]:
    """Times at which a.md is sent while every send finds other bytes, and every scan finds ``moved`` or no change."""
    sent: list[float] = []
    began = harness.now
    text = "two"
    while harness.now < began + seconds:
        if harness.wants(e.ScanPaths):
            paths = harness.take(e.ScanPaths).paths
            text = text if moved is None else f"{moved}{len(sent)}"
            harness.tell(m.ScanResults((seen("a.md", text),)), m.PathScanFinished(paths))
        elif harness.wants(e.Send):
            sent.append(harness.now - began)
            harness.answer(Result.CHANGED)
        else:
            harness.effects = [effect for effect in harness.effects if isinstance(effect, e.ScanPaths | e.Send)]
            due = harness.engine._ctx.in_flight.wake_at
            assert due is not None, "nothing wakes the engine, so the file is never sent"
            harness.now = max(due, harness.now + 0.001)
            harness.tell(m.TimePassed())
    return sent


def test_a_file_always_read_otherwise_is_sent_rarely() -> None:
    """Every send finds other bytes than the scan, which finds no change: an hour costs 25 sends, at growing times."""
    harness = started()
    harness.saves("a.md", "two")
    sent = _sends_within(harness, 3600.0)
    assert 5 <= len(sent) <= 25, sent
    delays = [after - before for before, after in itertools.pairwise(sent)]
    assert delays[0] < 0.2 and delays[1] >= 1.0
    assert all(later >= min(earlier * 1.5, 300.0) for earlier, later in itertools.pairwise(delays[1:])), delays


def test_an_operation_in_doubt_is_not_sent_in_a_loop() -> None:
    """The same for an operation whose first answer was lost."""
    harness = started(hub=True)
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.rest()
    sent = _sends_within(harness, 3600.0)
    assert 5 <= len(sent) <= 25, sent


def test_a_real_change_ends_the_delay_of_a_send() -> None:
    """A file that differs at each scan is being written: it waits for its quiet period only."""
    harness = started()
    harness.saves("a.md", "two")
    _sends_within(harness, 250.0)
    harness.answer(Result.CHANGED)
    harness.now += 0.2
    harness.tell(m.TimePassed())
    paths = harness.take(e.ScanPaths).paths
    assert not harness.wants(e.Send)
    harness.tell(m.ScanResults((seen("a.md", "three"),)), m.PathScanFinished(paths))
    assert harness.take(e.Send).parcels[0].operation.hash == sha("three")
    other = started()
    other.saves("a.md", "two")
    sent = _sends_within(other, 60.0, moved="other")
    assert all(after - before < 1.0 for before, after in itertools.pairwise(sent)), sent


def test_the_delay_of_a_missed_send_grows_to_a_bound() -> None:
    """The first miss costs nothing; then the delay never falls, and is at most five minutes."""
    delays = [resend_delay(misses) for misses in range(1, 2000)]
    assert delays[:4] == [0.0, 1.0, 2.0, 4.0] and delays[-1] == 300.0
    assert delays == sorted(delays)
