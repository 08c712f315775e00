"""An undo of deletes: what was carried out comes back too, whatever ends the process or fails on the way."""

from __future__ import annotations

from agent.core.errors import Problem, ProblemKind
from agent.core.model import ApplyOutcome, ApplyResult, Mode
from agent.core.reconcile import Step
from agent.core.remote_records import Outcome, Result
from agent.engine import effects as e
from agent.engine import messages as m
from agent.index.problems import ProblemOrigin
from engine.harness import SOURCE, EngineHarness, drain, sha, upsert
from engine.test_deletes import NAMES, held_paths, next_batch, renamed_one_by_one, scanned, sent_deletes, synced

OFFLINE = Problem(ProblemKind.OFFLINE, "the server cannot be reached")
FAULT = Problem(ProblemKind.SERVER_FAULT, "the server fails on this file")
GONE = NAMES[:9]


def nine_gone_and_one_held(mode: Mode = Mode.BIDIRECTIONAL) -> EngineHarness:
    """Of twenty files nine were deleted one after the other, and the delete of the tenth is held."""
    harness = synced({name: name for name in NAMES[:20]}, mode=mode)
    for name in GONE:
        scanned(harness, {name: None})
        assert sent_deletes(harness) == [name]
    scanned(harness, {NAMES[9]: None})
    assert held_paths(harness) == {NAMES[9]}
    return harness


def restarted(harness: EngineHarness, *landed: m.Message) -> None:
    """The process is killed, and a new one starts over the same index."""
    harness.restart()
    harness.tell(*landed, *([] if landed else [m.ChangesApplied(())]))
    harness.tell(m.ScanFinished())
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.ScanFolder)]
    harness.rest()


def brought_back(harness: EngineHarness, fetched: e.FetchDeletedTexts) -> None:
    """Every text is found and installed, and sent to the server again."""
    for path, _ in fetched.files:
        harness.tell(m.DeletedTextFound(path, path.encode()))
        harness.land(path)
    while harness.wants(e.Send):
        send = next_batch(harness)
        assert all(parcel.operation.base is None for parcel in send.parcels)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    assert all(harness.row(path).base.hash == sha(path) for path, _ in fetched.files)


def problems(harness: EngineHarness) -> dict[str, str]:
    """What a person is told about files that are to come back."""
    return {p.path: p.text for p in harness.index.problems.all(SOURCE) if p.origin is ProblemOrigin.UNDO}


def test_fb4_undo_restores_everything_deleted_within_the_window() -> None:
    """FB4: nine deletes were carried out, the tenth is held; undo brings back all ten."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    fetched = harness.take(e.FetchDeletedTexts)
    assert dict(fetched.files) == {name: sha(name) for name in GONE}
    brought_back(harness, fetched)
    assert harness.row(NAMES[9]).base.hash is None and harness.row(NAMES[9]).remote.is_file
    assert harness.engine.held is None and set(harness.index.undone_deletes.all(SOURCE)) == {NAMES[9]}
    harness.saves(NAMES[9], NAMES[9])
    assert not harness.index.undone_deletes.all(SOURCE)


def test_fb4_a_kill_loses_no_part_of_an_undo() -> None:
    """FB4: the process ends before, between and after the texts; what is not back is fetched by the next one."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    restarted(harness)
    fetched = harness.take(e.FetchDeletedTexts)
    assert dict(fetched.files) == {name: sha(name) for name in GONE}
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    harness.land(GONE[0])
    harness.tell(m.DeletedTextFound(GONE[1], GONE[1].encode()))
    restarted(harness, m.ChangesApplied(tuple(
        ApplyResult(intent.id, ApplyOutcome.CHANGED) for intent in harness.index.journal.all(SOURCE)
    )))  # fmt: skip
    harness.take(e.FetchDeletedTexts)
    restarted(harness)
    fetched = harness.take(e.FetchDeletedTexts)
    assert dict(fetched.files) == {name: sha(name) for name in GONE[1:]}


def test_fb4_a_failed_request_is_repeated_after_a_delay() -> None:
    """FB4: the server is away; nothing is asked before the delay has passed, then the rest is fetched."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    fetched = harness.take(e.FetchDeletedTexts)
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    harness.land(GONE[0])
    harness.tell(m.CallFailed(m.Call.HISTORY, OFFLINE, GONE[1]))
    assert not harness.wants(e.FetchDeletedTexts) and harness.engine.trouble == OFFLINE
    harness.now += 5
    harness.tell(m.TimePassed())
    again = harness.take(e.FetchDeletedTexts)
    assert dict(again.files) == dict(fetched.files[1:])
    brought_back(harness, again)
    assert harness.engine.trouble is None and not problems(harness)


def test_fb4_one_failing_file_does_not_hold_up_the_others() -> None:
    """FB4: the server fails on one file; the others come back first, and that one is tried again after a minute."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(m.CallFailed(m.Call.HISTORY, FAULT, GONE[0]))
    assert problems(harness).keys() == {GONE[0]}
    harness.now += 5
    harness.tell(m.TimePassed())
    fetched = harness.take(e.FetchDeletedTexts)
    assert set(dict(fetched.files)) == set(GONE[1:])
    brought_back(harness, fetched)
    harness.now += 60
    harness.tell(m.TimePassed())
    assert dict(harness.take(e.FetchDeletedTexts).files) == {GONE[0]: sha(GONE[0])}
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    harness.land(GONE[0])
    assert not problems(harness)


def test_fb4_an_unreadable_trash_is_no_loss() -> None:
    """FB4: a text that is not in the history is looked for again while the trash cannot be read."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(*[m.DeletedTextFound(name, None, "the trash cannot be read") for name in GONE])
    assert problems(harness) == dict.fromkeys(GONE, "not brought back yet: the trash cannot be read")
    assert not harness.wants(e.FetchDeletedTexts)
    harness.tell(m.Retry())
    assert set(dict(harness.take(e.FetchDeletedTexts).files)) == set(GONE)


def test_fb4_a_text_found_nowhere_is_named() -> None:
    """FB4: it stands in the activity and among the problems, until a file is there again or the person says retry."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(*[m.DeletedTextFound(name, None) for name in GONE])
    lines = harness.index.activity.entries((SOURCE,), 0, 100)
    told = [line for line in lines if "not brought back" in (line.detail or "")]
    assert {entry.path for entry in told} == problems(harness).keys() == set(GONE)
    assert not harness.engine._ctx.in_flight.restoring and not harness.wants(e.FetchDeletedTexts)
    assert harness.engine.view().state.value == "error"
    restarted(harness)
    assert not harness.wants(e.FetchDeletedTexts)
    harness.saves(GONE[0], "written again")
    assert problems(harness).keys() == set(GONE[1:])
    harness.tell(m.Retry())
    assert not problems(harness)


def test_fb4_a_wrong_text_is_not_installed() -> None:
    """FB4: bytes of another hash than the deleted text's do not come into the folder."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(m.DeletedTextFound(GONE[0], b"something else"))
    assert not harness.wants(e.ApplyChanges) and problems(harness).keys() == {GONE[0]}


def test_fb4_a_path_that_was_filled_meanwhile_is_left_alone() -> None:
    """FB4: the person writes a new file before the old text arrives; the new one stays, and is sent."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.saves(GONE[0], "new")
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    assert not harness.wants(e.ApplyChanges)
    assert [parcel.operation.path for parcel in next_batch(harness).parcels] == [GONE[0]]
    assert GONE[0] not in harness.index.undone_deletes.all(SOURCE)


def test_fb4_a_path_filled_on_both_sides_meanwhile_is_parked() -> None:
    """FB4: while its old text is fetched, the server gets a file there and the person writes another one."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.saves(GONE[0], "mine")
    harness.feed(upsert(GONE[0], "theirs", 900))
    assert harness.row(GONE[0]).step is Step.PARK and not harness.conflicts()
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    (parked,) = harness.conflicts()
    assert (parked.path, parked.local_hash, parked.remote_hash) == (GONE[0], sha("mine"), sha("theirs"))


def test_fb4_a_path_that_left_the_selection_is_given_up() -> None:
    """FB4: the rules exclude it by now; it is not tried without end."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    harness.land(None, landing=ApplyOutcome.OUT_OF_SCOPE)
    assert GONE[0] not in harness.index.undone_deletes.all(SOURCE)


def test_fb4_a_refused_install_is_tried_again() -> None:
    """FB4: the disk is full when the text arrives; the undo goes on when there is room."""
    harness = nine_gone_and_one_held()
    harness.tell(m.UndoDeletes())
    harness.take(e.FetchDeletedTexts)
    harness.tell(m.DeletedTextFound(GONE[0], GONE[0].encode()))
    harness.land(None, landing=ApplyOutcome.FAILED)
    harness.tell(*[m.DeletedTextFound(name, None) for name in GONE[1:]])
    assert not harness.wants(e.FetchDeletedTexts)
    harness.now += 31
    harness.tell(m.TimePassed())
    assert dict(harness.take(e.FetchDeletedTexts).files) == {GONE[0]: sha(GONE[0])}


def test_fb4_undo_takes_back_a_delete_that_is_on_its_way() -> None:
    """FB4: nine deletes were sent and not answered when the tenth is undone; all ten come back."""
    harness = synced({name: name for name in NAMES[:20]})
    scanned(harness, dict.fromkeys(GONE))
    sent = next_batch(harness)
    scanned(harness, {NAMES[9]: None})
    assert {NAMES[9]} <= held_paths(harness)
    harness.tell(m.UndoDeletes())
    assert not harness.wants(e.FetchDeletedTexts)
    harness.answers(sent, *[Result.APPLIED] * 7, Result.CHANGED, Result.UNCERTAIN)
    # The delete that was not sent is dropped; the server still holds the file.
    assert harness.trees(GONE[7]) == (None, None, sha(GONE[7]))
    harness.rest()
    fetched = harness.take(e.FetchDeletedTexts)
    assert set(dict(fetched.files)) == set(GONE[:7])
    # The outcome of the last one is in doubt. It is not sent again: the server is asked for the head, and has none.
    assert not harness.wants(e.Send)
    harness.shows(GONE[8], None)
    brought_back(harness, fetched)
    assert dict(harness.take(e.FetchDeletedTexts).files) == {GONE[8]: sha(GONE[8])}


def test_fb4_an_undone_delete_that_was_not_sent_is_given_up() -> None:
    """FB4: the server was busy when it was tried. Sent again, it would take the text from the one place that has it."""
    harness, waiting = busy_and_held()
    harness.tell(m.UndoDeletes())
    harness.now += 600
    harness.tell(m.TimePassed())
    harness.rest()
    assert not harness.wants(e.Send) and not harness.wants(e.FetchDeletedTexts)
    assert {harness.trees(name) for name in waiting} == {(None, None, sha(name)) for name in waiting}


def test_fb1_a_delete_that_was_not_sent_is_held_with_the_others() -> None:
    """FB1: it waits for the person although it was tried before, and goes once it is approved."""
    harness, waiting = busy_and_held()
    harness.now += 600
    harness.tell(m.TimePassed())
    harness.rest()
    assert not harness.wants(e.Send)
    assert harness.engine.held is not None
    harness.tell(m.ApproveDeletes(harness.engine.held.plan))
    assert set(sent_deletes(harness)) == {*waiting, NAMES[9]}


def busy_and_held() -> tuple[EngineHarness, set[str]]:
    """The server was too busy for nine deletes, and the tenth file is deleted meanwhile; the paths of the nine."""
    harness = synced({name: name for name in NAMES[:20]})
    scanned(harness, dict.fromkeys(GONE))
    sent = next_batch(harness)
    unsent = tuple(Outcome(parcel.operation.id, Result.NOT_SENT) for parcel in sent.parcels)
    harness.tell(m.BatchAnswered(sent.number, unsent, Problem(ProblemKind.BUSY, "too many calls", 10.0)))
    scanned(harness, {NAMES[9]: None})
    assert held_paths(harness) == {*GONE, NAMES[9]}
    return harness, set(GONE)


def test_fb4_a_folder_that_only_sends_gets_its_files_back() -> None:
    """FB4: in this mode nothing comes down but what a person asks for; an undo is such a wish."""
    harness = nine_gone_and_one_held(Mode.LOCAL_TO_CLOUD)
    harness.tell(m.UndoDeletes())
    fetched = harness.take(e.FetchDeletedTexts)
    assert dict(fetched.files) == {name: sha(name) for name in NAMES[:10]}
    brought_back(harness, fetched)
    assert harness.trees(NAMES[9]) == (sha(NAMES[9]),) * 3


def test_fb4_undo_does_not_make_old_names_of_renamed_files() -> None:
    """FB4: five files were renamed within the hour, one of them by a copy, and others deleted: only those come back."""
    texts = {name: name for name in NAMES[:20]}
    harness = synced(texts)
    renamed_one_by_one(harness, {name: f"new {name}" for name in NAMES[:4]}, texts)
    # Moved by copying: another inode holds the text.
    scanned(harness, {NAMES[4]: None, f"new {NAMES[4]}": NAMES[4]})
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert(f"new {NAMES[4]}", NAMES[4], harness.cursor + 1, ids[0]))
    assert sent_deletes(harness) == [NAMES[4]]
    # One of the renamed files is edited afterwards.
    scanned(harness, {f"new {NAMES[0]}": "edited"})
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert(f"new {NAMES[0]}", "edited", harness.cursor + 1, ids[0]))
    for name in NAMES[5:14]:
        scanned(harness, {name: None})
        assert sent_deletes(harness) == [name]
    scanned(harness, {NAMES[14]: None})
    assert held_paths(harness) == {NAMES[14]}
    harness.tell(m.UndoDeletes())
    assert set(dict(harness.take(e.FetchDeletedTexts).files)) == set(NAMES[5:14])
