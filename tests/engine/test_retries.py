"""Retries: none is made in a loop, and a problem ends with the success that follows it."""

from __future__ import annotations

from agent.core.errors import Problem, ProblemKind
from agent.core.remote_records import RemoteFile, Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import seen, sha, started


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
