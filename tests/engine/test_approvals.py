"""Approvals of deletes: each covers one delete, and is checked once more after a restart."""

from __future__ import annotations

from agent.core.remote_records import RemoteFile
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import SOURCE, EngineHarness, sha
from engine.test_deletes import NAMES, held_paths, listing_of, scanned, sent_deletes, synced, verified

FEW = NAMES[:20]
TEXTS = {name: name for name in FEW}


def approved(harness: EngineHarness) -> None:
    """A person approves the plan that is held."""
    held = harness.engine.held
    assert held is not None
    harness.tell(m.ApproveDeletes(held.plan))


def refused_listing() -> EngineHarness:
    """The server listed nothing once; a person approved the deletes, and they wait for the second check."""
    harness = synced(TEXTS)
    harness.listing = ()
    verified(harness)
    approved(harness)
    assert not harness.wants(e.ApplyChanges)
    return harness


def test_an_approval_ends_when_the_files_are_listed_again() -> None:
    """The check after the approval finds the files; when they vanish later, the person is asked again."""
    harness = refused_listing()
    harness.listing = listing_of(TEXTS)
    harness.rest()
    verified(harness)
    assert harness.engine.held is None and not harness.index.approvals.all(SOURCE)
    harness.listing = ()
    verified(harness)
    assert held_paths(harness) == set(FEW) and not harness.wants(e.ApplyChanges)


def test_an_approval_ends_when_the_file_is_put_back() -> None:
    """Deletes are approved during a pause and the files are put back: the next mass delete is held again."""
    harness = synced(TEXTS)
    scanned(harness, dict.fromkeys(FEW[:15]))
    assert held_paths(harness) == set(FEW[:15])
    harness.tell(m.Pause(harness.now + 3600))
    approved(harness)
    scanned(harness, {name: name for name in FEW[:15]})
    assert not harness.index.approvals.all(SOURCE)
    harness.tell(m.Resume())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    scanned(harness, dict.fromkeys(FEW[:15]))
    assert held_paths(harness) == set(FEW[:15]) and sent_deletes(harness) == []


def test_an_approval_without_a_due_delete_ends_at_the_start() -> None:
    """An approval that an earlier release left in the index covers no later delete."""
    harness = synced(TEXTS)
    harness.index.approvals.add(SOURCE, [(name, sha(name)) for name in FEW[:15]])
    harness.restart()
    assert not harness.index.approvals.all(SOURCE)


def test_a_restart_does_not_skip_the_check_of_approved_deletes() -> None:
    """The agent stops between the approval and its check: the server is asked once more before any delete."""
    harness = refused_listing()
    harness.restart()
    harness.listing = tuple(RemoteFile(name, sha(name)) for name in FEW)
    harness.tell(m.ChangesApplied(()))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    while harness.wants(e.Poll) or harness.wants(e.CheckFeedContinuity) or harness.wants(e.FetchListing):
        assert not harness.wants(e.ApplyChanges)
        harness.rest()
    assert not harness.wants(e.ApplyChanges)
    assert all(harness.trees(name) == (sha(name),) * 3 for name in FEW)


def test_approved_deletes_still_due_after_a_restart_are_made() -> None:
    """The server lists nothing after the restart either: the approved deletes are carried out."""
    harness = refused_listing()
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    verified(harness)
    assert {intent.path for intent, _ in harness.take(e.ApplyChanges).jobs} == set(FEW)
