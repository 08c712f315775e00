"""What a close reading of the engine turned up, one sentence a case."""

from __future__ import annotations

from msgspec import structs

from agent.core.conflict import ConflictOrigin, ConflictState
from agent.core.errors import Problem, ProblemKind
from agent.core.events import ConflictClosed, ConflictOpened, ControlEvent, ControlSignal, Upsert
from agent.core.model import (
    ApplyOutcome,
    ApplyResult,
    ConflictKind,
    Intent,
    Mode,
    Observation,
    Presence,
    Purpose,
    Reason,
    Resolution,
    Side,
    SourceState,
)
from agent.core.reconcile import Step
from agent.core.remote_records import Outcome, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import SOURCE, EngineHarness, conflict, delete, drain, head, seen, sha, started, upsert


def test_who_only_observes_changes_neither_side() -> None:
    """status and --dry-run without a daemon send, install and remove nothing."""
    harness = started()
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DRY_RUN)
    harness.restart()
    harness.begin({"new.md": "new"}, upsert("b.md", "theirs", 50))
    harness.saves("a.md", None)
    assert not harness.wants(e.Send) and not harness.wants(e.ApplyChanges)


def test_a_quietly_closed_conflict_leaves_the_newest_save_alone() -> None:
    """The server holds the text we pushed, the user has saved another since: that one is pushed on top."""
    harness = started()
    harness.saves("a.md", "first")
    send = harness.take(e.Send)
    harness.saves("a.md", "second")
    harness.effects.append(send)
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "first", "first"))
    harness.shows("a.md", head("a.md", "first", "one"), conflict("k", "a.md", "one", "first", "first"))
    harness.take(e.CloseConflict)
    harness.closes(harness.conflicts()[0].id)
    harness.shows("a.md", head("a.md", "first", "one"))
    assert not harness.wants(e.ApplyChanges) and not harness.conflicts()
    operation = harness.take(e.Send).parcels[0].operation
    assert (operation.hash, operation.base) == (sha("second"), sha("first"))


def test_a_foreign_version_told_behind_our_echo_is_parked() -> None:
    """It took its number first and became visible later; our write came over it unseen."""
    harness = started()
    harness.saves("a.md", "ours")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "ours", 22, ids[0]))
    drain(harness, upsert("a.md", "theirs", 21))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.LOST_UPDATE and parked.remote_hash == sha("theirs")
    assert harness.index.texts.get(sha("theirs")) == b"theirs"


def test_an_event_older_than_our_knowledge_is_no_lost_update() -> None:
    """An event before the newest one of the path lies below the base of our operation."""
    harness = started()
    drain(harness, upsert("b.md", "x", 30))
    harness.land("x")
    harness.saves("b.md", "ours")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("b.md", "ours", 40, ids[0]))
    drain(harness, upsert("b.md", "older", 20))
    assert not harness.conflicts()


def test_a_late_version_behind_other_events_is_kept() -> None:
    """FM, seed 30277: another path's event was read first; the late version was replaced unseen all the same."""
    harness = started()
    drain(harness, upsert("b.md", "x", 30))
    harness.land("x")
    harness.saves("a.md", "ours")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "ours", 40, ids[0]))
    drain(harness, upsert("a.md", "theirs", 20))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.LOST_UPDATE
    assert (parked.base_hash, parked.remote_hash) == (sha("one"), sha("theirs"))


def test_nothing_is_asked_before_the_journal_was_read() -> None:
    """A pause or new capabilities that arrive first do not make orphans of interrupted changes."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    intent = harness.take(e.ApplyChanges).jobs[0][0]
    fresh = EngineHarness()
    fresh.index = harness.index
    fresh.engine = type(harness.engine)(harness.index, harness.setup, harness.rng)
    fresh.effects = []
    fresh.tell(m.Pause(5.0))
    fresh.effects += fresh.engine.configure(fresh.now, structs.replace(harness.setup, long_poll=True))
    assert fresh.effects == []
    fresh.tell(m.Started())
    assert fresh.take(e.Recover).intents == (intent,)


def test_a_resolution_elsewhere_does_not_cover_an_unseen_text() -> None:
    """Ours was refused, the user went on writing, somebody closes the conflict: the newer text stays parked."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    harness.saves("a.md", "mine, and more")
    drain(harness, ConflictClosed("a.md", "k1", 30, sha("theirs")), upsert("a.md", "theirs", 31, "resolve-k1"))
    assert not harness.wants(e.ApplyChanges)
    (parked,) = harness.conflicts()
    assert parked.local_hash == sha("mine, and more")


def test_a_push_without_its_own_hub_event_blocks_nothing() -> None:
    """Two machines save the same; the event of whoever was first stands in for ours, and later ones count."""
    harness = started(hub=True)
    harness.saves("a.md", "same")
    harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "same", 20, "theirs"), upsert("a.md", "next", 21))
    assert harness.row("a.md").step is Step.PULL and harness.wants(e.ApplyChanges)


def test_a_refused_delete_is_not_sent_again_at_once() -> None:
    """It is one problem, tried again in an hour or when a person asks."""
    harness = started()
    harness.saves("b.md", "b")
    harness.answer(Result.APPLIED)
    harness.saves("a.md", None)
    ids = harness.answer(Result.REJECTED)
    assert ids and not harness.wants(e.Send)
    harness.tell(m.TimePassed())
    assert not harness.wants(e.Send)
    harness.tell(m.Retry(None))
    harness.look({})
    assert harness.wants(e.Send)


def test_a_clock_set_back_stops_nothing() -> None:
    """OP2: what waited for a moment that is a year away now is done at once."""
    harness = started()
    poll = Problem(ProblemKind.SERVER_FAULT, "500")
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    number = harness.take(e.Poll).number
    harness.tell(m.CallFailed(m.Call.POLL, poll, number))
    assert not harness.wants(e.Poll)
    harness.now -= 365 * 86400.0
    harness.effects.clear()
    harness.tell(m.TimePassed())
    assert harness.wants(e.CheckFeedContinuity) and harness.wants(e.ScanFolder)


def test_a_first_link_installs_only_the_final_files() -> None:
    """A source with a past: what a later page deletes is never put into the folder."""
    harness = EngineHarness()
    harness.tell(m.ChangesApplied(()))
    harness.look({})
    harness._page(*[upsert(f"n{i}.md", str(i), i + 1) for i in range(20)])
    assert not harness.wants(e.ApplyChanges)
    harness._page(*[delete(f"n{i}.md", 100 + i) for i in range(15)])
    harness.rest()
    assert sorted(intent.path for intent, _ in harness.take(e.ApplyChanges).jobs) == [f"n{i}.md" for i in range(15, 20)]
    assert harness.engine.held is None


def test_a_late_operation_of_ours_does_not_conflict_with_us() -> None:
    """L1 timed out and was given up, L2 was refused because L1 had arrived after all: L2 is kept without asking."""
    harness = started()
    harness.saves("a.md", "L1")
    first = harness.answer(Result.UNCERTAIN)
    harness.saves("a.md", "L2")
    harness.rest()
    harness.shows("a.md", head("a.md", "one"))
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "L2", "L1"))
    drain(harness, upsert("a.md", "L1", 30, first[0]))
    (quiet,) = harness.conflicts()
    assert quiet.state is ConflictState.RESOLVING and quiet.choice is Resolution.KEEP_LOCAL
    harness.shows("a.md", head("a.md", "L1", "one"), conflict("k", "a.md", "one", "L2", "L1"))
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_LOCAL
    assert not harness.wants(e.ApplyChanges)


def test_a_pause_holds_for_decisions_too() -> None:
    """Paused, a resolution is queued: neither side is changed until resumed."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    harness.tell(m.Pause(float("inf")))
    (parked,) = harness.conflicts()
    harness.tell(m.Resolve(parked.id, parked.generation, Resolution.KEEP_RAVEN, None))
    assert (
        not harness.wants(e.FetchHeadsAndConflicts)
        and not harness.wants(e.CloseConflict)
        and not harness.wants(e.ApplyChanges)
    )
    harness.tell(m.Resume())
    assert harness.wants(e.FetchHeadsAndConflicts)


def test_the_server_s_pause_is_lifted_by_the_server_only() -> None:
    """A verification does not let installs through a source that is held still; asked directly, it says."""
    harness = started()
    drain(harness, ControlEvent(ControlSignal.PAUSED, 20), upsert("a.md", "theirs", 21))
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.rest()
    assert not harness.wants(e.ApplyChanges)
    harness.tell(m.FeedContinuityChecked(behind=False, paused=False))
    assert harness.wants(e.ApplyChanges)


def test_a_requested_wait_is_kept_whatever_else_succeeds() -> None:
    """PR8: a poll that works does not excuse a push from Retry-After."""
    harness = started()
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    asleep = harness.take(e.Poll)
    busy = Problem(ProblemKind.BUSY, "429", retry_after=120.0)
    unsent = tuple(Outcome(parcel.operation.id, Result.NOT_SENT) for parcel in send.parcels)
    harness.tell(m.BatchAnswered(send.number, unsent, busy))
    from agent.core.events import Page

    harness.tell(m.PageArrived(asleep.number, Page((), asleep.state or "0", False, "0")))
    harness.now += 60
    harness.tell(m.TimePassed())
    assert not harness.wants(e.Send)
    harness.now += 62
    harness.tell(m.TimePassed())
    assert harness.wants(e.Send)


def test_a_refused_push_is_not_repeated_because_polls_work() -> None:
    """PR10: 401 to pushes alone: the poll that works does not excuse them, and the pass ends signed out."""
    harness = started()
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    unsent = tuple(Outcome(parcel.operation.id, Result.NOT_SENT) for parcel in send.parcels)
    harness.tell(m.BatchAnswered(send.number, unsent, Problem(ProblemKind.SIGNED_OUT, "401")))
    drain(harness, upsert("b.md", "theirs", 30))
    assert not harness.wants(e.Send)
    assert harness.engine.view().state is SourceState.SIGNED_OUT


def test_a_head_that_cannot_be_had_holds_up_nothing_else() -> None:
    """Law 6: one file whose question always fails is one reported file; the source goes on."""
    harness = started()
    drain(harness, structs.replace(upsert("bad.md", "x", 20), content=None))
    harness.take(e.FetchHead)
    harness.tell(m.CallFailed(m.Call.HEAD, Problem(ProblemKind.SERVER_FAULT, "500"), "bad.md"))
    harness.saves("good.md", "good")
    assert harness.wants(e.Send) and not harness.wants(e.FetchHead)
    assert harness.engine.view().state is SourceState.ERROR


def test_a_server_edit_wiped_by_a_delete_does_not_park_for_ever() -> None:
    """Its conflict is missing from the list: it is over, and its text, where known, is in the trash."""
    harness = started()
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    assert harness.conflicts()
    harness.listed = ()
    harness.engine._ctx.in_flight.conflicts_wanted = True
    harness.tell(m.TimePassed())
    harness.rest()
    assert not harness.conflicts()


def test_a_landed_decision_does_not_hide_what_came_after_it() -> None:
    """A newer version told while the decided text was being installed is pulled."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    (parked,) = harness.conflicts()
    harness.tell(m.Resolve(parked.id, parked.generation, Resolution.KEEP_RAVEN, None))
    harness.shows("a.md", head("a.md", "theirs", "one"))
    drain(harness, upsert("a.md", "newer", 40))
    harness.land("theirs")
    assert harness.row("a.md").remote.hash == sha("newer") and harness.wants(e.ApplyChanges)


def test_an_emptied_folder_is_held_even_with_a_parked_file() -> None:
    """An emptied root always: also a small one, also where one file is parked."""
    harness = EngineHarness()
    names = ["a.md", "b.md", "c.md"]
    harness.begin({name: name for name in names})
    ids = harness.answer(*[Result.APPLIED] * 3)
    drain(harness, *[upsert(name, name, 10 + i, ids[i]) for i, name in enumerate(names)])
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "a.md", "mine", "theirs"))
    harness.tell(m.ScanResults(tuple(seen(name, None) for name in names)))
    assert not harness.wants(e.Send) and harness.engine.held is not None


def test_a_folder_that_is_away_at_the_start_is_looked_for_again() -> None:
    """RT1: put back, it goes on without anybody asking."""
    harness = EngineHarness()
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DAEMON)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished("gone"))
    harness.now += 11
    harness.effects.clear()
    harness.tell(m.TimePassed())
    assert harness.wants(e.ScanFolder)


def test_a_version_lost_under_a_parked_path_is_kept() -> None:
    """The path is parked already; the overwritten text goes to the trash."""
    harness = started()
    harness.saves("a.md", "two")
    ids = harness.answer(Result.APPLIED)
    drain(harness, ConflictOpened("a.md", "k3", 19, sha("one"), sha("refused"), by_server_edit=True))
    drain(harness, upsert("a.md", "theirs", 20), upsert("a.md", "two", 21, ids[0]))
    assert [s.content for s in harness.effects if isinstance(s, e.TextForTrash)] == [b"theirs"]


def test_import_only_never_deletes_and_never_installs() -> None:
    """Edits go up; a local delete only detaches, whatever the server holds."""
    harness = started(mode=Mode.IMPORT_ONLY)
    harness.saves("b.md", "b")
    harness.answer(Result.APPLIED)
    harness.saves("a.md", None)
    drain(harness, upsert("a.md", "theirs", 30))
    assert not harness.wants(e.Send) and not harness.wants(e.ApplyChanges) and not harness.conflicts()
    assert harness.row("a.md").base.hash is None


def test_a_restored_text_is_an_edit_like_any_other() -> None:
    """What a person brings back is installed expecting what stands there, and then pushed."""
    harness = started()
    harness.tell(m.Restore("a.md", b"older"))
    intent: Intent = harness.take(e.ApplyChanges).jobs[0][0]
    assert intent.purpose is Purpose.RESTORE and intent.expected == sha("one")
    harness.tell(m.ChangesApplied((ApplyResult(intent.id, ApplyOutcome.DONE, seen("a.md", "older")),)))
    assert harness.take(e.Send).parcels[0].operation.base == sha("one")
    assert harness.index.journal.all(SOURCE) == []
    assert not [c for c in harness.conflicts() if c.kind is ConflictKind.EDIT_EDIT]


def test_a_restore_to_no_file_removes_it_and_owes_the_delete() -> None:
    """The removal expects the file that is there, and its delete carries the base like any other."""
    harness = started()
    harness.tell(m.Restore("a.md", None))
    intent: Intent = harness.take(e.ApplyChanges).jobs[0][0]
    assert (intent.purpose, intent.new, intent.expected) == (Purpose.RESTORE, None, sha("one"))
    harness.tell(m.ChangesApplied((ApplyResult(intent.id, ApplyOutcome.DONE, seen("a.md", None)),)))
    assert harness.row("a.md").step is Step.PUSH_DELETE
    assert harness.trees("a.md") == (sha("one"), None, sha("one"))
    harness.tell(m.Restore("other.md", None))
    assert not harness.wants(e.ApplyChanges)


def test_a_retry_of_all_forgets_a_limit_that_refused_nothing() -> None:
    """A gateway's one bad answer taught it; the next file would be set aside without ever having been sent."""
    harness = started()
    harness.index.sources.put(SOURCE, structs.replace(harness.index.sources.get(SOURCE), max_bytes=3))
    harness.restart()
    harness.tell(m.Retry(None))
    assert harness.engine.accepts.max_bytes is None


def test_heads_that_cannot_be_had_hold_up_no_others() -> None:
    """What is put off takes no turn: of six operations in doubt, four bad ones leave two that are asked about."""
    harness = EngineHarness()
    harness.begin({f"{i}.md": str(i) for i in range(6)})
    harness.answer(*[Result.UNCERTAIN] * 6)
    harness.feed()
    asked = harness.take(e.FetchHeadsAndConflicts).paths
    garbled = Problem(ProblemKind.GARBLED, "the text is not what its hash says")
    harness.tell(*[m.CallFailed(m.Call.HEAD, garbled, path) for path in asked])
    assert set(harness.take(e.FetchHeadsAndConflicts).paths) == {f"{i}.md" for i in range(6)} - set(asked)


def test_a_rejected_text_is_fetched_and_saved_before_it_goes() -> None:
    """Its conflict was never shared with the server, where a delete leaves no history: the trash holds it."""
    harness = started()
    harness.tell(m.Pause(float("inf")))
    harness.saves("a.md", None)
    harness.feed(Upsert("a.md", sha("theirs"), 30))
    (parked,) = harness.conflicts()
    harness.tell(m.Resolve(parked.id, parked.generation, Resolution.KEEP_LOCAL, None))
    harness.tell(m.Resume())
    assert not harness.wants(e.Send) and not harness.wants(e.TextForTrash)
    harness.shows("a.md", head("a.md", "theirs", "one"))
    assert [parcel.operation.verb for parcel in harness.take(e.Send).parcels] == [Verb.DELETE]
    assert harness.take(e.TextForTrash).content == b"theirs"


def test_a_change_landing_after_both_diverged_agrees_on_nothing() -> None:
    """What the restored server lacks is not deleted here for having been installed a moment too late."""
    harness = started()
    harness.feed(upsert("b.md", "B", 40))
    ((intent, _),) = harness.take(e.ApplyChanges).jobs
    harness.engine._ctx.in_flight.continuity_known = False
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    harness.take(e.CheckFeedContinuity)
    harness.tell(m.FeedContinuityChecked(behind=True))
    harness.tell(m.Resume())
    harness.tell(m.ChangesApplied((ApplyResult(intent.id, ApplyOutcome.DONE, seen("b.md", "B")),)))
    harness.look({"a.md": "one"})
    harness.feed(upsert("a.md", "one", 10))
    assert not harness.wants(e.ApplyChanges)
    assert [parcel.operation.path for parcel in harness.take(e.Send).parcels] == ["b.md"]


def never_at_rest(path: str) -> Observation:
    """A file that changed again while it was read."""
    return Observation(path, Side(Presence.UNKNOWN, reason=Reason.CHANGING))


def test_a_new_file_that_never_comes_to_rest_holds_up_no_deletes() -> None:
    """It may be anything but the file that was renamed: that one is whole."""
    harness = started()
    harness.saves("b.md", "b")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("b.md", "b", 20, ids[0]))
    harness.tell(m.PathsChanged(frozenset({"log.md"})))
    harness.tell(m.ScanResults((seen("a.md", None), never_at_rest("log.md"))))
    assert "log.md" in harness.engine._ctx.in_flight.changed_paths
    assert [parcel.operation.verb for parcel in harness.take(e.Send).parcels] == [Verb.DELETE]


def test_a_pass_does_not_wait_for_a_constantly_changing_file() -> None:
    """It waits half a minute; then what is left is for the time after it."""
    harness = started()
    harness.tell(m.SyncNow(1))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanResults((never_at_rest("log.md"),)), m.ScanFinished())
    harness.rest()
    began = harness.now
    while not harness.wants(e.PassFinished):
        harness.now += 0.2
        assert harness.now < began + 31
        harness.tell(m.TimePassed())
        if harness.wants(e.ScanPaths):
            harness.take(e.ScanPaths)
            harness.tell(m.ScanResults((never_at_rest("log.md"),)), m.PathScanFinished(("log.md",)))
    assert harness.now >= began + 30
