"""What a close reading of the engine turned up, one sentence a case."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import (
    Choice,
    ConflictKind,
    Intent,
    Landed,
    Landing,
    Mode,
    Outcome,
    Presence,
    Purpose,
    Reason,
    Result,
    Seen,
    Side,
    SourceState,
    Verb,
)
from agent.core.reconcile import Step
from agent.core.stream import ConflictClosed, ConflictOpened, Control, Signal, Upsert
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.setup import Attendance
from agent.index.conflicts import Origin, State
from engine.pilot import SOURCE, Pilot, conflict, delete, drain, head, seen, sha, started, upsert


def test_who_only_observes_changes_neither_side() -> None:
    """status and --dry-run without a daemon send, install and remove nothing."""
    pilot = started()
    pilot.setup = structs.replace(pilot.setup, attendance=Attendance.OBSERVE)
    pilot.restart()
    pilot.begin({"new.md": "new"}, upsert("b.md", "theirs", 50))
    pilot.saves("a.md", None)
    assert not pilot.wants(e.Send) and not pilot.wants(e.Carry)


def test_a_quietly_closed_conflict_leaves_the_newest_save_alone() -> None:
    """The server holds the text we pushed, the user has saved another since: that one is pushed on top."""
    pilot = started()
    pilot.saves("a.md", "first")
    send = pilot.take(e.Send)
    pilot.saves("a.md", "second")
    pilot.effects.append(send)
    pilot.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "first", "first"))
    pilot.shows("a.md", head("a.md", "first", "one"), conflict("k", "a.md", "one", "first", "first"))
    pilot.take(e.CloseConflict)
    pilot.tell(m.CloseAnswered(pilot.conflicts()[0].id))
    pilot.shows("a.md", head("a.md", "first", "one"))
    assert not pilot.wants(e.Carry) and not pilot.conflicts()
    operation = pilot.take(e.Send).parcels[0].operation
    assert (operation.hash, operation.base) == (sha("second"), sha("first"))


def test_a_foreign_version_told_behind_our_echo_is_parked() -> None:
    """It took its number first and became visible later; our write came over it unseen."""
    pilot = started()
    pilot.saves("a.md", "ours")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "ours", 22, ids[0]))
    drain(pilot, upsert("a.md", "theirs", 21))
    (parked,) = pilot.conflicts()
    assert parked.origin is Origin.LOST_UPDATE and parked.remote_hash == sha("theirs")
    assert pilot.index.conflicts.text(sha("theirs")) == b"theirs"


def test_an_event_older_than_our_knowledge_is_no_lost_update() -> None:
    """What was told before our operation was even stored lies below its base."""
    pilot = started()
    drain(pilot, upsert("b.md", "x", 30))
    pilot.land("x")
    pilot.saves("a.md", "ours")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "ours", 40, ids[0]))
    drain(pilot, upsert("a.md", "older", 20))
    assert not pilot.conflicts()


def test_nothing_is_asked_before_the_journal_was_read() -> None:
    """A pause or new capabilities that arrive first do not make orphans of interrupted changes."""
    pilot = started()
    drain(pilot, upsert("a.md", "theirs", 20))
    intent = pilot.take(e.Carry).jobs[0][0]
    fresh = Pilot()
    fresh.index = pilot.index
    fresh.engine = type(pilot.engine)(pilot.index, pilot.setup, pilot.rng)
    fresh.effects = []
    fresh.tell(m.Pause(5.0))
    fresh.effects += fresh.engine.configure(fresh.now, structs.replace(pilot.setup, long_poll=True))
    assert fresh.effects == []
    fresh.tell(m.Started())
    assert fresh.take(e.Recover).intents == (intent,)


def test_a_decision_made_elsewhere_does_not_cover_a_text_nobody_saw() -> None:
    """Ours was refused, the user went on writing, somebody closes the conflict: the newer text stays parked."""
    pilot = started()
    pilot.saves("a.md", "mine")
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    pilot.saves("a.md", "mine, and more")
    drain(pilot, ConflictClosed("a.md", "k1", 30, sha("theirs")), upsert("a.md", "theirs", 31, "resolve-k1"))
    assert not pilot.wants(e.Carry)
    (parked,) = pilot.conflicts()
    assert parked.local_hash == sha("mine, and more")


def test_on_the_hub_a_push_without_an_event_of_its_own_blocks_nothing() -> None:
    """Two machines save the same; the event of whoever was first stands in for ours, and later ones count."""
    pilot = started(hub=True)
    pilot.saves("a.md", "same")
    pilot.answer(Result.APPLIED)
    drain(pilot, upsert("a.md", "same", 20, "theirs"), upsert("a.md", "next", 21))
    assert pilot.row("a.md").step is Step.PULL and pilot.wants(e.Carry)


def test_a_refused_delete_is_not_sent_again_at_once() -> None:
    """It is one problem, tried again in an hour or when a person asks."""
    pilot = started()
    pilot.saves("b.md", "b")
    pilot.answer(Result.APPLIED)
    pilot.saves("a.md", None)
    ids = pilot.answer(Result.REJECTED)
    assert ids and not pilot.wants(e.Send)
    pilot.tell(m.TimePassed())
    assert not pilot.wants(e.Send)
    pilot.tell(m.Retry(None))
    pilot.look({})
    assert pilot.wants(e.Send)


def test_a_clock_set_back_stops_nothing() -> None:
    """OP2: what waited for a moment that is a year away now is done at once."""
    pilot = started()
    poll = Problem(ProblemKind.SERVER_FAULT, "500")
    pilot.engine._desk.request_drain()
    pilot.tell(m.TimePassed())
    number = pilot.take(e.Poll).number
    pilot.tell(m.CallFailed(m.Call.POLL, poll, number))
    assert not pilot.wants(e.Poll)
    pilot.now -= 365 * 86400.0
    pilot.effects.clear()
    pilot.tell(m.TimePassed())
    assert pilot.wants(e.AskStanding) and pilot.wants(e.Look)


def test_a_first_link_installs_only_what_is_still_there_in_the_end() -> None:
    """A source with a past: what a later page deletes is never put into the folder."""
    pilot = Pilot()
    pilot.tell(m.ChangesLanded(()))
    pilot.look({})
    pilot._page(*[upsert(f"n{i}.md", str(i), i + 1) for i in range(20)])
    assert not pilot.wants(e.Carry)
    pilot._page(*[delete(f"n{i}.md", 100 + i) for i in range(15)])
    pilot.rest()
    assert sorted(intent.path for intent, _ in pilot.take(e.Carry).jobs) == [f"n{i}.md" for i in range(15, 20)]
    assert pilot.engine.held is None


def test_a_late_old_operation_of_ours_is_no_conflict_with_oneself() -> None:
    """L1 timed out and was given up, L2 was refused because L1 had arrived after all: L2 is kept without asking."""
    pilot = started()
    pilot.saves("a.md", "L1")
    first = pilot.answer(Result.UNCERTAIN)
    pilot.saves("a.md", "L2")
    pilot.rest()
    pilot.shows("a.md", head("a.md", "one"))
    pilot.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "L2", "L1"))
    drain(pilot, upsert("a.md", "L1", 30, first[0]))
    (quiet,) = pilot.conflicts()
    assert quiet.state is State.RESOLVING and quiet.choice is Choice.KEEP_LOCAL
    pilot.shows("a.md", head("a.md", "L1", "one"), conflict("k", "a.md", "one", "L2", "L1"))
    assert pilot.take(e.CloseConflict).choice is Choice.KEEP_LOCAL
    assert not pilot.wants(e.Carry)


def test_a_pause_holds_for_decisions_too() -> None:
    """Paused, a resolution is queued: neither side is changed until resumed."""
    pilot = started()
    pilot.saves("a.md", "mine")
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    pilot.tell(m.Pause(float("inf")))
    (parked,) = pilot.conflicts()
    pilot.tell(m.Resolve(parked.id, parked.generation, Choice.KEEP_RAVEN, None))
    assert not pilot.wants(e.AskDisputes) and not pilot.wants(e.CloseConflict) and not pilot.wants(e.Carry)
    pilot.tell(m.Resume())
    assert pilot.wants(e.AskDisputes)


def test_the_server_s_pause_is_lifted_by_the_server_only() -> None:
    """A verification does not let installs through a source that is held still; asked directly, it says."""
    pilot = started()
    drain(pilot, Control(Signal.PAUSED, 20), upsert("a.md", "theirs", 21))
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.rest()
    assert not pilot.wants(e.Carry)
    pilot.tell(m.StandingTold(behind=False, paused=False))
    assert pilot.wants(e.Carry)


def test_what_the_server_asked_to_wait_is_waited_whatever_else_works() -> None:
    """PR8: a poll that works does not excuse a push from Retry-After."""
    pilot = started()
    pilot.saves("a.md", "two")
    send = pilot.take(e.Send)
    pilot.engine._desk.request_drain()
    pilot.tell(m.TimePassed())
    asleep = pilot.take(e.Poll)
    busy = Problem(ProblemKind.BUSY, "429", retry_after=120.0)
    unsent = tuple(Outcome(parcel.operation.id, Result.NOT_SENT) for parcel in send.parcels)
    pilot.tell(m.BatchAnswered(send.number, unsent, busy))
    from agent.core.stream import Page

    pilot.tell(m.PageArrived(asleep.number, Page((), asleep.state or "0", False, "0")))
    pilot.now += 60
    pilot.tell(m.TimePassed())
    assert not pilot.wants(e.Send)
    pilot.now += 62
    pilot.tell(m.TimePassed())
    assert pilot.wants(e.Send)


def test_a_refused_push_beside_a_working_poll_is_not_repeated_at_once() -> None:
    """PR10: 401 to pushes alone: the poll that works does not excuse them, and the pass ends signed out."""
    pilot = started()
    pilot.saves("a.md", "two")
    send = pilot.take(e.Send)
    unsent = tuple(Outcome(parcel.operation.id, Result.NOT_SENT) for parcel in send.parcels)
    pilot.tell(m.BatchAnswered(send.number, unsent, Problem(ProblemKind.SIGNED_OUT, "401")))
    drain(pilot, upsert("b.md", "theirs", 30))
    assert not pilot.wants(e.Send)
    assert pilot.engine.view().state is SourceState.SIGNED_OUT


def test_a_head_that_cannot_be_had_holds_up_nothing_else() -> None:
    """Law 6: one file whose question always fails is one reported file; the source goes on."""
    pilot = started()
    drain(pilot, structs.replace(upsert("bad.md", "x", 20), content=None))
    pilot.take(e.AskHead)
    pilot.tell(m.CallFailed(m.Call.HEAD, Problem(ProblemKind.SERVER_FAULT, "500"), "bad.md"))
    pilot.saves("good.md", "good")
    assert pilot.wants(e.Send) and not pilot.wants(e.AskHead)
    assert pilot.engine.view().state is SourceState.ERROR


def test_a_server_edit_wiped_by_a_delete_does_not_park_for_ever() -> None:
    """Its conflict is missing from the list: it is over, and its text, where known, is in the trash."""
    pilot = started()
    drain(pilot, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    assert pilot.conflicts()
    pilot.listed = ()
    pilot.engine._desk.out.conflicts_wanted = True
    pilot.tell(m.TimePassed())
    pilot.rest()
    assert not pilot.conflicts()


def test_a_landed_decision_does_not_hide_what_came_after_it() -> None:
    """A newer version told while the decided text was being installed is pulled."""
    pilot = started()
    pilot.saves("a.md", "mine")
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    (parked,) = pilot.conflicts()
    pilot.tell(m.Resolve(parked.id, parked.generation, Choice.KEEP_RAVEN, None))
    pilot.shows("a.md", head("a.md", "theirs", "one"))
    drain(pilot, upsert("a.md", "newer", 40))
    pilot.land("theirs")
    assert pilot.row("a.md").remote.hash == sha("newer") and pilot.wants(e.Carry)


def test_an_emptied_folder_is_held_even_with_a_parked_file() -> None:
    """An emptied root always: also a small one, also where one file is parked."""
    pilot = Pilot()
    names = ["a.md", "b.md", "c.md"]
    pilot.begin({name: name for name in names})
    ids = pilot.answer(*[Result.APPLIED] * 3)
    drain(pilot, *[upsert(name, name, 10 + i, ids[i]) for i, name in enumerate(names)])
    pilot.saves("a.md", "mine")
    pilot.answer(Result.CONFLICT, found=conflict("k", "a.md", "a.md", "mine", "theirs"))
    pilot.tell(m.FilesSeen(tuple(seen(name, None) for name in names)))
    assert not pilot.wants(e.Send) and pilot.engine.held is not None


def test_a_folder_that_is_away_at_the_start_is_looked_for_again() -> None:
    """RT1: put back, it goes on without anybody asking."""
    pilot = Pilot()
    pilot.setup = structs.replace(pilot.setup, attendance=Attendance.FOLLOW)
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.take(e.Look)
    pilot.tell(m.LookEnded("gone"))
    pilot.now += 11
    pilot.effects.clear()
    pilot.tell(m.TimePassed())
    assert pilot.wants(e.Look)


def test_a_version_lost_under_a_parked_path_is_kept() -> None:
    """The path is parked already; the overwritten text goes to the trash."""
    pilot = started()
    pilot.saves("a.md", "two")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, ConflictOpened("a.md", "k3", 19, sha("one"), sha("refused"), by_server_edit=True))
    drain(pilot, upsert("a.md", "theirs", 20), upsert("a.md", "two", 21, ids[0]))
    assert [s.content for s in pilot.effects if isinstance(s, e.Stash)] == [b"theirs"]


def test_import_only_never_deletes_and_never_installs() -> None:
    """Edits go up; a local delete only detaches, whatever the server holds."""
    pilot = started(mode=Mode.IMPORT_ONLY)
    pilot.saves("b.md", "b")
    pilot.answer(Result.APPLIED)
    pilot.saves("a.md", None)
    drain(pilot, upsert("a.md", "theirs", 30))
    assert not pilot.wants(e.Send) and not pilot.wants(e.Carry) and not pilot.conflicts()
    assert pilot.row("a.md").base.hash is None


def test_a_restored_text_is_an_edit_like_any_other() -> None:
    """What a person brings back is installed expecting what stands there, and then pushed."""
    pilot = started()
    pilot.tell(m.Restore("a.md", b"older"))
    intent: Intent = pilot.take(e.Carry).jobs[0][0]
    assert intent.purpose is Purpose.RESTORE and intent.expected == sha("one")
    pilot.tell(m.ChangesLanded((Landed(intent.id, Landing.DONE, seen("a.md", "older")),)))
    assert pilot.take(e.Send).parcels[0].operation.base == sha("one")
    assert pilot.index.operations.intents(SOURCE) == []
    assert not [c for c in pilot.conflicts() if c.kind is ConflictKind.EDIT_EDIT]


def test_a_retry_of_everything_forgets_a_limit_that_refused_nothing_yet() -> None:
    """A gateway's one bad answer taught it; the next file would be set aside without ever having been sent."""
    pilot = started()
    pilot.index.notes.set_standing(SOURCE, structs.replace(pilot.index.notes.standing(SOURCE), max_bytes=3))
    pilot.restart()
    pilot.tell(m.Retry(None))
    assert pilot.engine.max_bytes is None


def test_heads_that_cannot_be_had_hold_up_no_others() -> None:
    """What is put off takes no turn: of six operations in doubt, four bad ones leave two that are asked about."""
    pilot = Pilot()
    pilot.begin({f"{i}.md": str(i) for i in range(6)})
    pilot.answer(*[Result.UNCERTAIN] * 6)
    pilot.feed()
    asked = pilot.take(e.AskDisputes).paths
    garbled = Problem(ProblemKind.GARBLED, "the text is not what its hash says")
    pilot.tell(*[m.CallFailed(m.Call.HEAD, garbled, path) for path in asked])
    assert set(pilot.take(e.AskDisputes).paths) == {f"{i}.md" for i in range(6)} - set(asked)


def test_a_text_that_was_not_at_hand_when_decided_against_is_put_by_before_it_goes() -> None:
    """Its conflict was never shared with the server, where a delete leaves no history: the trash holds it."""
    pilot = started()
    pilot.tell(m.Pause(float("inf")))
    pilot.saves("a.md", None)
    pilot.feed(Upsert("a.md", sha("theirs"), 30))
    (parked,) = pilot.conflicts()
    pilot.tell(m.Resolve(parked.id, parked.generation, Choice.KEEP_LOCAL, None))
    pilot.tell(m.Resume())
    assert not pilot.wants(e.Send) and not pilot.wants(e.Stash)
    pilot.shows("a.md", head("a.md", "theirs", "one"))
    assert [parcel.operation.verb for parcel in pilot.take(e.Send).parcels] == [Verb.DELETE]
    assert pilot.take(e.Stash).content == b"theirs"


def test_a_change_that_lands_after_both_sides_parted_agrees_on_nothing() -> None:
    """What the restored server lacks is not deleted here for having been installed a moment too late."""
    pilot = started()
    pilot.feed(upsert("b.md", "B", 40))
    ((intent, _),) = pilot.take(e.Carry).jobs
    pilot.engine._desk.out.standing_known = False
    pilot.engine._desk.request_drain()
    pilot.tell(m.TimePassed())
    pilot.take(e.AskStanding)
    pilot.tell(m.StandingTold(behind=True))
    pilot.tell(m.Resume())
    pilot.tell(m.ChangesLanded((Landed(intent.id, Landing.DONE, seen("b.md", "B")),)))
    pilot.look({"a.md": "one"})
    pilot.feed(upsert("a.md", "one", 10))
    assert not pilot.wants(e.Carry)
    assert [parcel.operation.path for parcel in pilot.take(e.Send).parcels] == ["b.md"]


def never_at_rest(path: str) -> Seen:
    """A file that changed again while it was read."""
    return Seen(path, Side(Presence.UNKNOWN, reason=Reason.CHANGING))


def test_a_new_file_that_never_comes_to_rest_holds_up_no_deletes() -> None:
    """It may be anything but the file that was renamed: that one is whole."""
    pilot = started()
    pilot.tell(m.Noticed(frozenset({"log.md"})))
    pilot.tell(m.FilesSeen((seen("a.md", None), never_at_rest("log.md"))))
    pilot.saves("b.md", "b")
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("b.md", "b", 20, ids[0]))
    assert "log.md" in pilot.engine._desk.out.noticed
    assert [parcel.operation.verb for parcel in pilot.take(e.Send).parcels] == [Verb.DELETE]


def test_a_pass_does_not_wait_for_a_file_that_never_comes_to_rest() -> None:
    """It waits half a minute; then what is left is for the time after it."""
    pilot = started()
    pilot.tell(m.SyncNow(1))
    pilot.take(e.Look)
    pilot.tell(m.FilesSeen((never_at_rest("log.md"),)), m.LookEnded())
    pilot.rest()
    began = pilot.now
    while not pilot.wants(e.Rested):
        pilot.now += 0.2
        assert pilot.now < began + 31
        pilot.tell(m.TimePassed())
        if pilot.wants(e.LookAt):
            pilot.take(e.LookAt)
            pilot.tell(m.FilesSeen((never_at_rest("log.md"),)), m.PathsLooked(("log.md",)))
    assert pilot.now >= began + 30
