"""The sequences an agent must get right on a server that says little, one row of the table a test."""

from __future__ import annotations

import hashlib

from agent.core.conflict import ConflictOrigin
from agent.core.events import ControlEvent, ControlSignal, Unreadable
from agent.core.model import SENTINEL_BASE, ApplyOutcome, ApplyResult, ConflictKind, Mode, SourceState
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteFile, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.index.operations import OperationState
from engine.harness import EngineHarness, conflict, delete, drain, head, seen, sha, started, text_of, upsert


def test_an_operation_has_an_id_in_the_index_before_it_is_sent() -> None:
    """What is asked to be sent is stored first, and a create says that nothing may be there."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    operation = harness.take(e.Send).parcels[0].operation
    stored = harness.index.operations.by_ids(1, [operation.id])[operation.id]
    assert stored.operation == operation and operation.base is None and operation.hash == sha("one")


def test_nothing_is_sent_before_the_feed_was_read() -> None:
    """A delete or edit the server already knows of must be known here before anything is pushed over it."""
    harness = EngineHarness()
    harness.tell(m.ChangesApplied(()))
    harness.look({"a.md": "one"})
    assert harness.wants(e.Poll) and not harness.wants(e.Send)


def test_a_lost_answer_is_settled_by_the_feed() -> None:
    """answer lost → own id in the feed → applied, and nothing is sent again."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    ids = harness.answer(Result.UNCERTAIN)
    assert not harness.wants(e.Send)
    harness.feed(upsert("a.md", "one", 5, ids[0]))
    assert harness.trees("a.md") == (sha("one"),) * 3
    assert not harness.wants(e.Send) and not harness.conflicts()


def test_a_lost_answer_is_settled_by_a_conflict_with_our_text() -> None:
    """answer lost, a conflict with our (path, localHash) → parked, with the server's id."""
    harness = started()
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    harness.shows("a.md", head("a.md", "three", "one"), conflict("k1", "a.md", "one", "two", "three"))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.EDIT_EDIT and parked.server_ids == ("k1",)
    assert not harness.wants(e.Send) and not harness.wants(e.ApplyChanges)


def test_a_lost_answer_is_settled_by_the_head() -> None:
    """answer lost, no echo, head = our hash → applied."""
    harness = started()
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    harness.shows("a.md", head("a.md", "two", "one"))
    assert harness.trees("a.md") == (sha("two"),) * 3


def test_a_lost_answer_is_settled_by_the_history() -> None:
    """our hash among the versions after the base → superseded: the newer head is pulled over it."""
    harness = started()
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    harness.shows("a.md", head("a.md", "three", "two", "one"))
    assert harness.trees("a.md") == (sha("two"), sha("two"), sha("three"))
    harness.land("three")
    assert harness.trees("a.md") == (sha("three"),) * 3


def test_a_lost_answer_without_evidence_parks() -> None:
    """else: local against head is parked; nothing is assumed, nothing overwritten."""
    harness = started()
    harness.saves("a.md", "two")
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    harness.shows("a.md", head("a.md", "three"))
    (parked,) = harness.conflicts()
    assert (parked.local_hash, parked.remote_hash) == (sha("two"), sha("three"))


def test_an_unapplied_operation_with_lost_bytes_gets_a_new_id() -> None:
    """An id is only ever used for the same bytes."""
    harness = started()
    harness.saves("a.md", "two")
    first = harness.answer(Result.UNCERTAIN)
    harness.saves("a.md", "three")
    harness.feed()
    harness.shows("a.md", head("a.md", "one"))
    operation = harness.take(e.Send).parcels[0].operation
    assert operation.id != first[0] and operation.hash == sha("three") and operation.base == sha("one")


def test_the_hub_is_asked_by_sending_the_same_again() -> None:
    """Where the server answers the first outcome, the same id and bytes are sent again."""
    harness = started(hub=True)
    harness.saves("a.md", "two")
    first = harness.answer(Result.UNCERTAIN)
    harness.feed()
    again = harness.take(e.Send).parcels[0].operation
    assert again.id == first[0] and again.hash == sha("two")


def test_after_a_restart_nothing_is_simply_sent_again() -> None:
    """killed while a batch was out → settled, not repeated blindly."""
    harness = started()
    harness.saves("a.md", "two")
    operation = harness.take(e.Send).parcels[0].operation
    harness.restart()
    harness.begin({"a.md": "two"})
    assert not harness.wants(e.Send)
    harness.shows("a.md", head("a.md", "two", "one"))
    assert harness.trees("a.md") == (sha("two"),) * 3
    assert harness.index.operations.by_ids(1, [operation.id])[operation.id].state is OperationState.DONE


def test_an_echo_quicker_than_the_answer_counts() -> None:
    """The feed may tell before the answer comes; the late answer changes nothing."""
    harness = started()
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    drain(harness, upsert("a.md", "two", 20, send.parcels[0].operation.id), upsert("a.md", "three", 21))
    assert harness.trees("a.md") == (sha("two"), sha("two"), sha("three"))
    harness.tell(m.BatchAnswered(send.number, ()))
    assert harness.row("a.md").remote.hash == sha("three")


def test_a_doubled_event_is_a_no_op() -> None:
    """A page delivered twice, and an own event seen twice, change nothing."""
    harness = started()
    drain(harness, upsert("b.md", "new", 11))
    harness.land("new")
    before = harness.trees("b.md"), harness.trees("a.md")
    drain(harness, upsert("a.md", "one", 10), upsert("b.md", "new", 11))
    assert (harness.trees("b.md"), harness.trees("a.md")) == before
    assert not harness.wants(e.ApplyChanges) and not harness.wants(e.Send)


def test_a_version_overwritten_unseen_is_parked() -> None:
    """lost update: a foreign event before our own accepted one → that version is parked, its text at hand."""
    harness = started()
    harness.saves("a.md", "two")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "theirs", 20), upsert("a.md", "two", 21, ids[0]))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.LOST_UPDATE
    assert (parked.local_hash, parked.remote_hash, parked.head_hash) == (sha("two"), sha("theirs"), sha("two"))
    assert harness.index.texts.get(sha("theirs")) == b"theirs"
    assert not harness.wants(e.ApplyChanges)


def test_a_version_overwritten_while_ours_was_in_doubt_is_parked() -> None:
    """The answer is lost and the feed leaves our event out: the head is ours, over a version that nobody had seen."""
    harness = started()
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    harness.tell(m.BatchAnswered(send.number, ()))
    drain(harness, upsert("a.md", "theirs", 20))
    harness.shows("a.md", head("a.md", "two", "one"))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.LOST_UPDATE
    assert (parked.local_hash, parked.remote_hash, parked.head_hash) == (sha("two"), sha("theirs"), sha("two"))
    assert harness.index.texts.get(sha("theirs")) == b"theirs"


def test_the_base_s_own_event_is_no_lost_update() -> None:
    """A late event that only tells of the version our push stood on is not parked."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    harness.land("theirs")
    harness.saves("a.md", "two")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "theirs", 20), upsert("a.md", "two", 22, ids[0]))
    assert not harness.conflicts() and harness.trees("a.md") == (sha("two"),) * 3


def test_a_foreign_version_after_ours_is_pulled() -> None:
    """own event, then a foreign one → the foreign one is the head, and no conflict."""
    harness = started()
    harness.saves("a.md", "two")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "two", 21, ids[0]), upsert("a.md", "theirs", 22))
    assert not harness.conflicts()
    harness.land("theirs")
    assert harness.trees("a.md") == (sha("theirs"),) * 3


def test_an_edit_found_while_pulling_is_pushed_once_though_stale() -> None:
    """edit against edit: one stale push with a stored id, so that both texts stand on the server."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    install = harness.take(e.ApplyChanges).jobs[0][0]
    harness.tell(m.ChangesApplied((ApplyResult(install.id, ApplyOutcome.CHANGED, seen("a.md", "mine")),)))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.EDIT_EDIT
    operation = next(effect for effect in harness.effects if isinstance(effect, e.Send)).parcels[0].operation
    assert (operation.hash, operation.base) == (sha("mine"), sha("one"))
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    assert [c.server_ids for c in harness.conflicts()] == [("k1",)] and not harness.wants(e.Send)


def test_edit_against_delete_stays_here() -> None:
    """A delete known before the push is parked, and nothing is pushed that would bring the file back."""
    harness = started()
    drain(harness, delete("a.md", 20))
    removal = harness.take(e.ApplyChanges).jobs[0][0]
    assert removal.new is None and removal.expected == sha("one")
    harness.tell(m.ChangesApplied((ApplyResult(removal.id, ApplyOutcome.CHANGED, seen("a.md", "mine")),)))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.EDIT_DELETE and not harness.wants(e.Send)


def test_delete_against_edit_tells_the_server() -> None:
    """delete against edit: a stale delete opens the conflict on the server too."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    install = harness.take(e.ApplyChanges).jobs[0][0]
    harness.tell(m.ChangesApplied((ApplyResult(install.id, ApplyOutcome.CHANGED, seen("a.md", None)),)))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.DELETE_EDIT
    operation = harness.take(e.Send).parcels[0].operation
    assert operation.verb is Verb.DELETE and operation.base == sha("one")


def test_two_new_files_park_without_a_base() -> None:
    """sentinel create, file there, other text → no_base, parked; the union deletes nothing."""
    harness = EngineHarness()
    harness.begin({"a.md": "mine"}, upsert("a.md", "theirs", 3))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.NO_BASE
    assert harness.take(e.Send).parcels[0].operation.base is None
    assert SENTINEL_BASE == "0" * 64


def test_two_operations_on_one_path_wait_for_each_other() -> None:
    """One in flight, the next waits for its outcome and stands on it."""
    harness = started()
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    harness.saves("a.md", "three")
    assert not harness.wants(e.Send)
    harness.effects.append(send)
    harness.answer(Result.APPLIED)
    assert harness.take(e.Send).parcels[0].operation.base == sha("two")


def test_an_install_unknown_to_the_index_is_not_an_edit() -> None:
    """installed, cursor not saved, the user edits, restart → the journalled intent tells the install from the edit."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    intent = harness.take(e.ApplyChanges).jobs[0][0]
    harness.restart()
    harness.tell(m.ChangesApplied((ApplyResult(intent.id, ApplyOutcome.DONE, seen("a.md", "edited")),)))
    harness.look({"a.md": "edited"})
    harness.feed()
    assert harness.row("a.md").base.hash == sha("theirs") and harness.row("a.md").step is Step.PUSH
    assert harness.take(e.Send).parcels[0].operation.base == sha("theirs")


def test_paused_on_the_server_the_feed_is_still_read() -> None:
    """Nothing is sent or installed while the source is paused, and "resumed" is heard."""
    harness = started()
    drain(harness, ControlEvent(ControlSignal.PAUSED, 20), upsert("a.md", "theirs", 21))
    harness.saves("b.md", "new")
    assert not harness.wants(e.Send) and not harness.wants(e.ApplyChanges)
    drain(harness, ControlEvent(ControlSignal.RESUMED, 22))
    assert harness.wants(e.Send) and harness.wants(e.ApplyChanges)


def test_a_late_event_behind_a_path_s_newest_changes_nothing() -> None:
    """overlap: events behind a path's newest position feed only the lost-update check."""
    harness = started()
    drain(harness, upsert("a.md", "new", 30))
    harness.land("new")
    drain(harness, upsert("a.md", "old", 25))
    assert harness.trees("a.md") == (sha("new"),) * 3


def test_a_skipped_event_is_found_by_the_verification() -> None:
    """A foreign upsert the feed skipped is found in the listing; a missing file counts after a second listing only."""
    harness = started()
    harness.listing = (RemoteFile("a.md", sha("one")), RemoteFile("skipped.md", sha("text")))
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.rest()
    harness.shows("skipped.md", head("skipped.md", "text"))
    harness.land("text")
    assert harness.trees("skipped.md") == (sha("text"),) * 3
    harness.listing = (RemoteFile("skipped.md", sha("text")),)
    harness.tell(m.SyncNow(2))
    harness.look({})
    harness.rest()
    assert harness.trees("a.md") == (sha("one"),) * 3
    harness.now += 2.0
    harness.tell(m.TimePassed())
    harness.rest()
    assert harness.row("a.md").remote.hash is None and harness.row("a.md").step is Step.PULL_DELETE


def test_a_restored_server_stops_all_until_a_person_decides() -> None:
    """Restored from an older copy: nothing is reverted or deleted; resumed, the two sides are a union."""
    harness = started()
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.take(e.CheckFeedContinuity)
    harness.tell(m.FeedContinuityChecked(behind=True))
    assert harness.engine.view().state is SourceState.HALTED
    harness.saves("b.md", "new")
    assert not harness.wants(e.Send)
    harness.tell(m.Resume())
    harness.cursor = 0
    harness.look({})
    harness.listing = (RemoteFile("a.md", sha("zero")),)
    harness.feed(upsert("a.md", "zero", 2))
    (parked,) = harness.conflicts()
    assert parked.kind is ConflictKind.NO_BASE and parked.local_hash == sha("one")
    assert not harness.wants(e.ApplyChanges)


def test_a_pause_the_restored_server_has_forgotten_is_over() -> None:
    """The feed is read from its beginning, which is where a pause would stand."""
    harness = started()
    drain(harness, ControlEvent(ControlSignal.PAUSED, 20))
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.take(e.CheckFeedContinuity)
    harness.tell(m.FeedContinuityChecked(behind=True), m.Resume())
    harness.cursor = 0
    harness.look({"b.md": "new"})
    harness.listing = ()
    harness.feed()
    assert {parcel.operation.path for parcel in harness.take(e.Send).parcels} == {"a.md", "b.md"}


def test_a_conflict_text_lost_by_the_server_goes_to_the_trash() -> None:
    """The disagreement is gone with it, and the text stood nowhere but in the index."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.UNCERTAIN)
    drain(harness, upsert("a.md", "theirs", 20))
    harness.shows("a.md", head("a.md", "theirs"))
    assert [conflict.remote_hash for conflict in harness.conflicts()] == [sha("theirs")]
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.take(e.CheckFeedContinuity)
    harness.tell(m.FeedContinuityChecked(behind=True), m.Resume())
    assert harness.take(e.TextForTrash).content == b"theirs"


def test_unsafe_paths_of_the_server_touch_nothing() -> None:
    """SC1: each is one reported path; the events behind it apply."""
    harness = started()
    bad = ["../x.md", "/x.md", "a/../../x.md", "C:\\x.md", "n\0.md", "", "dir/", "."]
    drain(harness, *[upsert(path, "evil", 20 + i) for i, path in enumerate(bad)], upsert("good.md", "good", 40))
    jobs = harness.take(e.ApplyChanges).jobs
    assert [intent.path for intent, _ in jobs] == ["good.md"]
    assert len(harness.index.problems.all(1)) == len(bad)


def test_an_unknown_event_is_named_until_the_listing_decides() -> None:
    """The events behind it apply at once; a verification is made for its sake, and the problem lasts until then."""
    harness = started()
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    harness.stands()
    bad = [Unreadable("b.md", 20, "it lacks a hash"), Unreadable(None, 21, "no path"), Unreadable("n\0.md", 22, "odd")]
    harness._page(*bad, upsert("good.md", "good", 40))
    harness.land("good")
    assert harness.trees("good.md") == (sha("good"),) * 3
    named = {problem.path: problem for problem in harness.index.problems.all(1)}
    assert set(named) == {"b.md", "event 21", "n\ufffd.md"}
    assert "it lacks a hash" in named["b.md"].text and not named["b.md"].reason.is_policy
    told = {(h.path, h.what, h.detail) for h in harness.index.activity.entries((1,), 0, 100)}
    assert ("b.md", "event_refused", "it lacks a hash") in told
    there = {"a.md": "one", "b.md": "theirs", "good.md": "good"}
    harness.listing = tuple(RemoteFile(path, sha(text)) for path, text in there.items())
    harness.rest()
    harness.shows("b.md", head("b.md", "theirs"))
    harness.land("theirs")
    harness.rest()
    assert harness.trees("b.md") == (sha("theirs"),) * 3
    assert harness.index.problems.all(1) == []


def test_modes_that_only_send_install_nothing() -> None:
    """local_to_cloud: a remote edit is not installed, and a later local edit parks instead of overwriting it."""
    harness = started(mode=Mode.LOCAL_TO_CLOUD)
    drain(harness, upsert("a.md", "theirs", 20))
    assert not harness.wants(e.ApplyChanges)
    harness.saves("a.md", "mine")
    assert harness.conflicts()[0].kind is ConflictKind.EDIT_EDIT


def test_many_deletes_wait_for_a_person() -> None:
    """RT5: 60 % of the files deleted → held under a plan; other changes flow; approved, exactly these go."""
    harness = EngineHarness()
    names = [f"n{i:02}.md" for i in range(20)]
    harness.begin({name: name for name in names})
    ids = harness.answer(*[Result.APPLIED] * 20)
    drain(harness, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    harness.effects.clear()
    harness.tell(m.ScanResults(tuple(seen(name, None) for name in names[:12])))
    assert not harness.wants(e.Send) and harness.engine.held is not None
    harness.saves("new.md", "new")
    harness.answer(Result.APPLIED)
    assert not harness.wants(e.Send)
    harness.tell(m.ApproveDeletes("another plan"))
    assert not harness.wants(e.Send)
    harness.tell(m.ApproveDeletes(harness.engine.held.plan))
    assert {p.operation.path for p in harness.take(e.Send).parcels} == set(names[:12])


def test_the_intent_carries_what_is_expected_and_what_shall_be() -> None:
    """No install without the hash that must stand there, and content that is the hash's."""
    harness = started()
    drain(harness, upsert("a.md", "theirs", 20))
    intent, supply = harness.take(e.ApplyChanges).jobs[0]
    assert intent.expected == sha("one") and intent.new == hashlib.sha256(text_of(supply)).hexdigest()
