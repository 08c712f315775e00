"""The sequences an agent must get right on a server that says little, one row of the table a test."""

from __future__ import annotations

import hashlib

from agent.core.model import SENTINEL_BASE, ConflictKind, Landed, Landing, Mode, RemoteFile, Result, SourceState, Verb
from agent.core.reconcile import Step
from agent.core.stream import Control, Signal, Unreadable
from agent.engine import effects as e
from agent.engine import messages as m
from agent.index.conflicts import Origin
from agent.index.operations import Stage
from engine.pilot import Pilot, conflict, delete, drain, head, seen, sha, started, upsert


def test_an_operation_has_an_id_in_the_index_before_it_is_sent() -> None:
    """What is asked to be sent is stored first, and a create says that nothing may be there."""
    pilot = Pilot()
    pilot.begin({"a.md": "one"})
    operation = pilot.take(e.Send).parcels[0].operation
    stored = pilot.index.operations.by_ids(1, [operation.id])[operation.id]
    assert stored.operation == operation and operation.base is None and operation.hash == sha("one")


def test_nothing_is_sent_before_the_feed_was_read() -> None:
    """A delete or edit the server already knows of must be known here before anything is pushed over it."""
    pilot = Pilot()
    pilot.tell(m.ChangesLanded(()))
    pilot.look({"a.md": "one"})
    assert pilot.wants(e.Poll) and not pilot.wants(e.Send)


def test_a_lost_answer_is_settled_by_the_feed() -> None:
    """answer lost → own id in the feed → applied, and nothing is sent again."""
    pilot = Pilot()
    pilot.begin({"a.md": "one"})
    ids = pilot.answer(Result.UNCERTAIN)
    assert not pilot.wants(e.Send)
    pilot.feed(upsert("a.md", "one", 5, ids[0]))
    assert pilot.trees("a.md") == (sha("one"),) * 3
    assert not pilot.wants(e.Send) and not pilot.conflicts()


def test_a_lost_answer_is_settled_by_a_conflict_with_our_text() -> None:
    """answer lost, a conflict with our (path, localHash) → parked, with the server's id."""
    pilot = started()
    pilot.saves("a.md", "two")
    pilot.answer(Result.UNCERTAIN)
    pilot.feed()
    pilot.shows("a.md", head("a.md", "three", "one"), conflict("k1", "a.md", "one", "two", "three"))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.EDIT_EDIT and parked.server_ids == ("k1",)
    assert not pilot.wants(e.Send) and not pilot.wants(e.Carry)


def test_a_lost_answer_is_settled_by_the_head() -> None:
    """answer lost, no echo, head = our hash → applied."""
    pilot = started()
    pilot.saves("a.md", "two")
    pilot.answer(Result.UNCERTAIN)
    pilot.feed()
    pilot.shows("a.md", head("a.md", "two", "one"))
    assert pilot.trees("a.md") == (sha("two"),) * 3


def test_a_lost_answer_is_settled_by_the_history() -> None:
    """our hash among the versions after the base → superseded: the newer head is pulled over it."""
    pilot = started()
    pilot.saves("a.md", "two")
    pilot.answer(Result.UNCERTAIN)
    pilot.feed()
    pilot.shows("a.md", head("a.md", "three", "two", "one"))
    assert pilot.trees("a.md") == (sha("two"), sha("two"), sha("three"))
    pilot.land("three")
    assert pilot.trees("a.md") == (sha("three"),) * 3


def test_a_lost_answer_without_evidence_parks() -> None:
    """else: local against head is parked; nothing is assumed, nothing overwritten."""
    pilot = started()
    pilot.saves("a.md", "two")
    pilot.answer(Result.UNCERTAIN)
    pilot.feed()
    pilot.shows("a.md", head("a.md", "three"))
    (parked,) = pilot.conflicts()
    assert (parked.local_hash, parked.remote_hash) == (sha("two"), sha("three"))


def test_what_was_never_applied_is_sent_again_under_a_new_id_once_its_bytes_are_gone() -> None:
    """An id is only ever used for the same bytes."""
    pilot = started()
    pilot.saves("a.md", "two")
    first = pilot.answer(Result.UNCERTAIN)
    pilot.saves("a.md", "three")
    pilot.feed()
    pilot.shows("a.md", head("a.md", "one"))
    operation = pilot.take(e.Send).parcels[0].operation
    assert operation.id != first[0] and operation.hash == sha("three") and operation.base == sha("one")


def test_the_hub_is_asked_by_sending_the_same_again() -> None:
    """Where the server answers the first outcome, the same id and bytes are sent again."""
    pilot = started(hub=True)
    pilot.saves("a.md", "two")
    first = pilot.answer(Result.UNCERTAIN)
    pilot.feed()
    again = pilot.take(e.Send).parcels[0].operation
    assert again.id == first[0] and again.hash == sha("two")


def test_after_a_restart_nothing_is_simply_sent_again() -> None:
    """killed while a batch was out → settled, not repeated blindly."""
    pilot = started()
    pilot.saves("a.md", "two")
    operation = pilot.take(e.Send).parcels[0].operation
    pilot.restart()
    pilot.begin({"a.md": "two"})
    assert not pilot.wants(e.Send)
    pilot.shows("a.md", head("a.md", "two", "one"))
    assert pilot.trees("a.md") == (sha("two"),) * 3
    assert pilot.index.operations.by_ids(1, [operation.id])[operation.id].stage is Stage.DONE


def test_an_echo_quicker_than_the_answer_counts() -> None:
    """The feed may tell before the answer comes; the late answer changes nothing."""
    pilot = started()
    pilot.saves("a.md", "two")
    send = pilot.take(e.Send)
    drain(pilot, upsert("a.md", "two", 20, send.parcels[0].operation.id), upsert("a.md", "three", 21))
    assert pilot.trees("a.md") == (sha("two"), sha("two"), sha("three"))
    pilot.tell(m.BatchAnswered(send.number, ()))
    assert pilot.row("a.md").remote.hash == sha("three")


def test_a_doubled_event_is_a_no_op() -> None:
    """A page delivered twice, and an own event seen twice, change nothing."""
    pilot = started()
    drain(pilot, upsert("b.md", "new", 11))
    pilot.land("new")
    before = pilot.trees("b.md"), pilot.trees("a.md")
    drain(pilot, upsert("a.md", "one", 10), upsert("b.md", "new", 11))
    assert (pilot.trees("b.md"), pilot.trees("a.md")) == before
    assert not pilot.wants(e.Carry) and not pilot.wants(e.Send)


def test_a_version_overwritten_unseen_is_parked() -> None:
    """lost update: a foreign event before our own accepted one → that version is parked, its text at hand."""
    pilot = started()
    pilot.saves("a.md", "two")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "theirs", 20), upsert("a.md", "two", 21, ids[0]))
    (parked,) = pilot.conflicts()
    assert parked.origin is Origin.LOST_UPDATE
    assert (parked.local_hash, parked.remote_hash, parked.head_hash) == (sha("two"), sha("theirs"), sha("two"))
    assert pilot.index.conflicts.text(sha("theirs")) == b"theirs"
    assert not pilot.wants(e.Carry)


def test_the_base_s_own_event_is_no_lost_update() -> None:
    """A late event that only tells of the version our push stood on is not parked."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    pilot.land("theirs")
    pilot.saves("a.md", "two")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "theirs", 20), upsert("a.md", "two", 22, ids[0]))
    assert not pilot.conflicts() and pilot.trees("a.md") == (sha("two"),) * 3


def test_a_foreign_version_after_ours_is_pulled() -> None:
    """own event, then a foreign one → the foreign one is the head, and no conflict."""
    pilot = started()
    pilot.saves("a.md", "two")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "two", 21, ids[0]), upsert("a.md", "theirs", 22))
    assert not pilot.conflicts()
    pilot.land("theirs")
    assert pilot.trees("a.md") == (sha("theirs"),) * 3


def test_an_edit_found_while_pulling_is_pushed_once_though_stale() -> None:
    """edit against edit: one stale push with a stored id, so that both texts stand on the server."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    install = pilot.take(e.Carry).jobs[0][0]
    pilot.tell(m.ChangesLanded((Landed(install.id, Landing.CHANGED, seen("a.md", "mine")),)))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.EDIT_EDIT
    operation = next(effect for effect in pilot.effects if isinstance(effect, e.Send)).parcels[0].operation
    assert (operation.hash, operation.base) == (sha("mine"), sha("one"))
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    assert [c.server_ids for c in pilot.conflicts()] == [("k1",)] and not pilot.wants(e.Send)


def test_edit_against_delete_stays_here() -> None:
    """A delete known before the push is parked, and nothing is pushed that would bring the file back."""
    pilot = started()
    drain(pilot, delete("a.md", 20))
    removal = pilot.take(e.Carry).jobs[0][0]
    assert removal.new is None and removal.expected == sha("one")
    pilot.tell(m.ChangesLanded((Landed(removal.id, Landing.CHANGED, seen("a.md", "mine")),)))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.EDIT_DELETE and not pilot.wants(e.Send)


def test_delete_against_edit_tells_the_server() -> None:
    """delete against edit: a stale delete opens the conflict on the server too."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    install = pilot.take(e.Carry).jobs[0][0]
    pilot.tell(m.ChangesLanded((Landed(install.id, Landing.CHANGED, seen("a.md", None)),)))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.DELETE_EDIT
    operation = pilot.take(e.Send).parcels[0].operation
    assert operation.verb is Verb.DELETE and operation.base == sha("one")


def test_two_new_files_park_without_a_base() -> None:
    """sentinel create, file there, other text → no_base, parked; the union deletes nothing."""
    pilot = Pilot()
    pilot.begin({"a.md": "mine"}, upsert("a.md", "theirs", 3))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.NO_BASE
    assert pilot.take(e.Send).parcels[0].operation.base is None
    assert SENTINEL_BASE == "0" * 64


def test_two_operations_on_one_path_wait_for_each_other() -> None:
    """One in flight, the next waits for its outcome and stands on it."""
    pilot = started()
    pilot.saves("a.md", "two")
    send = pilot.take(e.Send)
    pilot.saves("a.md", "three")
    assert not pilot.wants(e.Send)
    pilot.effects.append(send)
    pilot.answer(Result.APPLIED)
    assert pilot.take(e.Send).parcels[0].operation.base == sha("two")


def test_an_install_the_index_never_heard_of_is_told_from_an_edit() -> None:
    """installed, cursor not saved, the user edits, restart → the journalled intent tells the install from the edit."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    intent = pilot.take(e.Carry).jobs[0][0]
    pilot.restart()
    pilot.tell(m.ChangesLanded((Landed(intent.id, Landing.DONE, seen("a.md", "edited")),)))
    pilot.look({"a.md": "edited"})
    pilot.feed()
    assert pilot.row("a.md").base.hash == sha("theirs") and pilot.row("a.md").step is Step.PUSH
    assert pilot.take(e.Send).parcels[0].operation.base == sha("theirs")


def test_paused_on_the_server_the_feed_is_still_read() -> None:
    """Nothing is sent or installed while the source is paused, and "resumed" is heard."""
    pilot = started()
    drain(pilot, Control(Signal.PAUSED, 20), upsert("a.md", "theirs", 21))
    pilot.saves("b.md", "new")
    assert not pilot.wants(e.Send) and not pilot.wants(e.Carry)
    drain(pilot, Control(Signal.RESUMED, 22))
    assert pilot.wants(e.Send) and pilot.wants(e.Carry)


def test_a_late_event_behind_a_path_s_newest_changes_nothing() -> None:
    """overlap: events behind a path's newest position feed only the lost-update check."""
    pilot = started()
    drain(pilot, upsert("a.md", "new", 30))
    pilot.land("new")
    drain(pilot, upsert("a.md", "old", 25))
    assert pilot.trees("a.md") == (sha("new"),) * 3


def test_a_skipped_event_is_found_by_the_verification() -> None:
    """A foreign upsert the feed skipped is found in the listing; a missing file counts after a second listing only."""
    pilot = started()
    pilot.listing = (RemoteFile("a.md", sha("one")), RemoteFile("skipped.md", sha("text")))
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.rest()
    pilot.shows("skipped.md", head("skipped.md", "text"))
    pilot.land("text")
    assert pilot.trees("skipped.md") == (sha("text"),) * 3
    pilot.listing = (RemoteFile("skipped.md", sha("text")),)
    pilot.tell(m.SyncNow(2))
    pilot.look({})
    pilot.rest()
    assert pilot.trees("a.md") == (sha("one"),) * 3
    pilot.now += 2.0
    pilot.tell(m.TimePassed())
    pilot.rest()
    assert pilot.row("a.md").remote.hash is None and pilot.row("a.md").step is Step.PULL_DELETE


def test_a_server_that_went_back_in_time_stops_everything_until_a_person_has_looked() -> None:
    """Restored from an older copy: nothing is reverted or deleted; resumed, the two sides are a union."""
    pilot = started()
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.take(e.AskStanding)
    pilot.tell(m.StandingTold(behind=True))
    assert pilot.engine.view().state is SourceState.HALTED
    pilot.saves("b.md", "new")
    assert not pilot.wants(e.Send)
    pilot.tell(m.Resume())
    pilot.cursor = 0
    pilot.look({})
    pilot.listing = (RemoteFile("a.md", sha("zero")),)
    pilot.feed(upsert("a.md", "zero", 2))
    (parked,) = pilot.conflicts()
    assert parked.kind is ConflictKind.NO_BASE and parked.local_hash == sha("one")
    assert not pilot.wants(e.Carry)


def test_a_pause_the_restored_server_has_forgotten_is_over() -> None:
    """The feed is read from its beginning, which is where a pause would stand."""
    pilot = started()
    drain(pilot, Control(Signal.PAUSED, 20))
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.take(e.AskStanding)
    pilot.tell(m.StandingTold(behind=True), m.Resume())
    pilot.cursor = 0
    pilot.look({"b.md": "new"})
    pilot.listing = ()
    pilot.feed()
    assert {parcel.operation.path for parcel in pilot.take(e.Send).parcels} == {"a.md", "b.md"}


def test_a_conflict_text_the_restored_server_has_forgotten_goes_to_the_trash() -> None:
    """The disagreement is gone with it, and the text stood nowhere but in the index."""
    pilot = started()
    pilot.saves("a.md", "mine")
    pilot.answer(Result.UNCERTAIN)
    drain(pilot, upsert("a.md", "theirs", 20))
    pilot.shows("a.md", head("a.md", "theirs"))
    assert [conflict.remote_hash for conflict in pilot.conflicts()] == [sha("theirs")]
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.take(e.AskStanding)
    pilot.tell(m.StandingTold(behind=True), m.Resume())
    assert pilot.take(e.Stash).content == b"theirs"


def test_unsafe_paths_of_the_server_touch_nothing() -> None:
    """SC1: each is one reported path; the events behind it apply."""
    pilot = started()
    bad = ["../x.md", "/x.md", "a/../../x.md", "C:\\x.md", "n\0.md", "", "dir/", "."]
    drain(pilot, *[upsert(path, "evil", 20 + i) for i, path in enumerate(bad)], upsert("good.md", "good", 40))
    jobs = pilot.take(e.Carry).jobs
    assert [intent.path for intent, _ in jobs] == ["good.md"]
    assert len(pilot.index.notes.problems(1)) == len(bad)


def test_an_event_nobody_understands_is_named_until_the_listing_tells_more() -> None:
    """The events behind it apply at once; a verification is made for its sake, and the problem lasts until then."""
    pilot = started()
    pilot.engine._desk.request_drain()
    pilot.tell(m.TimePassed())
    pilot.stands()
    bad = [Unreadable("b.md", 20, "it lacks a hash"), Unreadable(None, 21, "no path"), Unreadable("n\0.md", 22, "odd")]
    pilot._page(*bad, upsert("good.md", "good", 40))
    pilot.land("good")
    assert pilot.trees("good.md") == (sha("good"),) * 3
    named = {problem.path: problem for problem in pilot.index.notes.problems(1)}
    assert set(named) == {"b.md", "event 21", "n\ufffd.md"}
    assert "it lacks a hash" in named["b.md"].text and not named["b.md"].reason.is_policy
    told = {(h.path, h.what, h.detail) for h in pilot.index.notes.activity(1, 0, 100)}
    assert ("b.md", "event_refused", "it lacks a hash") in told
    there = {"a.md": "one", "b.md": "theirs", "good.md": "good"}
    pilot.listing = tuple(RemoteFile(path, sha(text)) for path, text in there.items())
    pilot.rest()
    pilot.shows("b.md", head("b.md", "theirs"))
    pilot.land("theirs")
    pilot.rest()
    assert pilot.trees("b.md") == (sha("theirs"),) * 3
    assert pilot.index.notes.problems(1) == []


def test_modes_that_only_send_install_nothing() -> None:
    """local_to_cloud: a remote edit is not installed, and a later local edit parks instead of overwriting it."""
    pilot = started(mode=Mode.LOCAL_TO_CLOUD)
    drain(pilot, upsert("a.md", "theirs", 20))
    assert not pilot.wants(e.Carry)
    pilot.saves("a.md", "mine")
    assert pilot.conflicts()[0].kind is ConflictKind.EDIT_EDIT


def test_many_deletes_wait_for_a_person() -> None:
    """RT5: 60 % of the files deleted → held under a plan; other changes flow; approved, exactly these go."""
    pilot = Pilot()
    names = [f"n{i:02}.md" for i in range(20)]
    pilot.begin({name: name for name in names})
    ids = pilot.answer(*[Result.APPLIED] * 20)
    drain(pilot, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    pilot.effects.clear()
    pilot.tell(m.FilesSeen(tuple(seen(name, None) for name in names[:12])))
    assert not pilot.wants(e.Send) and pilot.engine.held is not None
    pilot.saves("new.md", "new")
    pilot.answer(Result.APPLIED)
    assert not pilot.wants(e.Send)
    pilot.tell(m.ApproveDeletes("another plan"))
    assert not pilot.wants(e.Send)
    pilot.tell(m.ApproveDeletes(pilot.engine.held.plan))
    assert {p.operation.path for p in pilot.take(e.Send).parcels} == set(names[:12])


def test_the_intent_carries_what_is_expected_and_what_shall_be() -> None:
    """No install without the hash that must stand there, and content that is the hash's."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    intent, content = pilot.take(e.Carry).jobs[0]
    assert intent.expected == sha("one") and intent.new == hashlib.sha256(content).hexdigest()
