"""Uploads of contents over the inline limit: alone in their batch, resumed, cancelled, and never in the way."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.remote_records import Outcome, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.index.operations import OperationState
from engine.harness import SOURCE, EngineHarness, conflict, head, seen, sha, upsert

LIMIT = 16
LARGE = "a text of more than sixteen bytes"
STATE = '{"upload": "u1"}'


def begun(here: dict[str, str] | None = None, *, item_results: bool = False) -> EngineHarness:
    """A folder with these files, and an empty server that takes large contents in chunks."""
    harness = EngineHarness(hub=True)
    harness.setup = replace(
        harness.setup, inline_limit=LIMIT, resumable_uploads=True, item_results=item_results, run_mode=RunMode.DAEMON
    )
    harness.restart()
    harness.begin(here or {})
    return harness


def sends(harness: EngineHarness) -> list[e.Send]:
    """The batches that are asked for; they count as taken."""
    asked = [effect for effect in harness.effects if isinstance(effect, e.Send)]
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.Send)]
    return asked


def paths(send: e.Send) -> list[str]:
    """The paths of a batch."""
    return [parcel.operation.path for parcel in send.parcels]


def restarted(harness: EngineHarness, here: dict[str, str]) -> None:
    """A new process over the same index finds these files and reads the feed to its end."""
    harness.restart()
    harness.begin(here)


def test_a_large_content_is_a_batch_of_its_own() -> None:
    """Small contents go beside it, together as before, and later ones do not wait for it."""
    harness = begun({"a.md": "one", "b.mp4": LARGE, "c.md": "three"})
    small, large = sends(harness)
    assert paths(small) == ["a.md", "c.md"] and not small.is_large
    assert paths(large) == ["b.mp4"] and large.is_large
    harness.saves("d.md", "four")
    assert [paths(send) for send in sends(harness)] == [["d.md"]]
    harness.answers(small, Result.APPLIED, Result.APPLIED)
    harness.answers(large, Result.APPLIED)
    assert harness.trees("b.mp4") == (sha(LARGE),) * 3


def test_without_a_limit_all_contents_share_batches() -> None:
    """As with every server of before."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one", "b.mp4": LARGE})
    (send,) = sends(harness)
    assert paths(send) == ["a.md", "b.mp4"] and not send.is_large


def test_four_large_uploads_run_and_the_smallest_first() -> None:
    """The end of one begins the next."""
    sizes = {"a": 60, "b": 20, "c": 50, "d": 30, "e": 70, "f": 40}
    harness = begun({name: name * size for name, size in sizes.items()})
    running = sends(harness)
    assert [paths(send) for send in running] == [["b"], ["d"], ["f"], ["c"]]
    harness.answers(running[1], Result.APPLIED)
    assert [paths(send) for send in sends(harness)] == [["a"]]


def test_the_state_of_an_upload_is_stored_with_the_step() -> None:
    """A try after a lost connection is given it."""
    harness = begun({"a": LARGE})
    (send,) = sends(harness)
    assert send.parcels[0].resume is None
    operation = send.parcels[0].operation
    harness.tell(m.Resumable(operation.id, STATE))
    (entry,) = harness.index.operations.open(SOURCE)
    assert entry.resume == STATE
    problem = Problem(ProblemKind.OFFLINE, "gone")
    harness.tell(m.BatchAnswered(send.number, (Outcome(operation.id, Result.NOT_SENT),), problem))
    harness.now += 5
    harness.tell(m.TimePassed())
    (again,) = sends(harness)
    assert again.is_large and (again.parcels[0].operation, again.parcels[0].resume) == (operation, STATE)


def test_a_restart_continues_an_upload() -> None:
    """The server proves nothing, its head is the base: the same operation goes on with its missing chunks."""
    harness = begun({"a": LARGE})
    operation = sends(harness)[0].parcels[0].operation
    harness.tell(m.Resumable(operation.id, STATE))
    restarted(harness, {"a": LARGE})
    recall = harness.take(e.Recall)
    assert (recall.operation.id, recall.resume) == (operation.id, STATE)
    assert not harness.wants(e.FetchHeadsAndConflicts) and not sends(harness)
    harness.tell(m.Recalled(Outcome(operation.id, Result.UNCERTAIN)))
    harness.shows("a", None)
    (send,) = sends(harness)
    assert (send.parcels[0].operation.id, send.parcels[0].resume) == (operation.id, STATE)


def test_an_upload_proven_unfinished_continues_at_once() -> None:
    """No head is needed for that."""
    harness = begun({"a": LARGE})
    operation = sends(harness)[0].parcels[0].operation
    harness.tell(m.Resumable(operation.id, STATE))
    restarted(harness, {"a": LARGE})
    harness.tell(m.Recalled(Outcome(operation.id, Result.NOT_SENT)))
    assert [send.parcels[0].operation.id for send in sends(harness)] == [operation.id]


def test_an_interrupted_upload_of_an_old_text_is_given_up() -> None:
    """The folder holds another text by now: that one is sent, with an operation of its own."""
    harness = begun({"a": LARGE})
    operation = sends(harness)[0].parcels[0].operation
    harness.tell(m.Resumable(operation.id, STATE))
    restarted(harness, {"a": LARGE + "!"})
    harness.tell(m.Recalled(Outcome(operation.id, Result.UNCERTAIN)))
    harness.shows("a", None)
    (send,) = sends(harness)
    assert send.parcels[0].operation.hash == sha(LARGE + "!") and send.parcels[0].operation.id != operation.id


def test_a_recalled_version_ends_the_doubt() -> None:
    """It is the base, without a second upload; a version that came later is pulled."""
    for later in (None, LARGE + "!"):
        harness = begun({"a": LARGE})
        operation = sends(harness)[0].parcels[0].operation
        harness.restart()
        harness.begin({"a": LARGE}, *([] if later is None else [upsert("a", later, 7)]))
        harness.tell(m.Recalled(Outcome(operation.id, Result.APPLIED, rev="rev-1", remote_id="id-1")))
        row = harness.row("a")
        assert (row.base.hash, row.base.rev, row.base.remote_id) == (sha(LARGE), "rev-1", "id-1")
        assert row.remote.hash == sha(LARGE if later is None else later)
        assert not harness.index.operations.open(SOURCE) and not sends(harness)


def test_a_recalled_conflict_parks_the_path() -> None:
    """The server kept our text in a conflict."""
    harness = begun({"a": LARGE})
    operation = sends(harness)[0].parcels[0].operation
    restarted(harness, {"a": LARGE})
    found = conflict("k1", "a", None, LARGE, "theirs")
    harness.tell(m.Recalled(Outcome(operation.id, Result.CONFLICT, found)))
    assert [c.path for c in harness.conflicts()] == ["a"]
    assert not harness.index.operations.open(SOURCE)


def test_a_failed_recall_is_repeated() -> None:
    """Without a connection nothing is concluded; a failure of this question alone proves nothing."""
    harness = begun({"a": "one"})
    operation = sends(harness)[0].parcels[0].operation
    restarted(harness, {"a": "one"})
    harness.take(e.Recall)
    harness.tell(m.CallFailed(m.Call.RECALL, Problem(ProblemKind.OFFLINE, "gone"), operation.id))
    assert not harness.wants(e.Recall) and not harness.wants(e.FetchHeadsAndConflicts)
    harness.now += 5
    harness.tell(m.TimePassed())
    harness.take(e.Recall)
    harness.tell(m.CallFailed(m.Call.RECALL, Problem(ProblemKind.SERVER_FAULT, "500"), operation.id))
    assert not harness.wants(e.Recall)
    harness.shows("a", head("a", "one"))
    assert harness.trees("a") == (sha("one"),) * 3


def test_a_recall_comes_before_a_second_try() -> None:
    """Also where the server states the first outcome of an operation that is sent again."""
    harness = begun({"a": "one"}, item_results=True)
    operation = sends(harness)[0].parcels[0].operation
    restarted(harness, {"a": "one"})
    assert not sends(harness)
    harness.tell(m.Recalled(Outcome(operation.id, Result.UNCERTAIN)))
    assert [send.parcels[0].operation.id for send in sends(harness)] == [operation.id]


def test_a_newer_save_cancels_an_upload() -> None:
    """Once; the new text follows when the old batch was answered."""
    harness = begun({"a": LARGE})
    (send,) = sends(harness)
    harness.saves("a", LARGE + "!")
    assert harness.take(e.CancelUpload).operation_id == send.parcels[0].operation.id
    harness.tell(m.TimePassed())
    assert not harness.wants(e.CancelUpload) and not sends(harness)
    harness.answers(send, Result.CHANGED)
    harness.now += 1
    harness.tell(m.TimePassed())
    harness.take(e.ScanPaths)
    harness.tell(m.ScanResults((seen("a", LARGE + "!"),)), m.PathScanFinished(("a",)))
    (again,) = sends(harness)
    assert again.parcels[0].operation.hash == sha(LARGE + "!")


def synced(*names: str) -> EngineHarness:
    """These small files, and "old.mp4" with the large text, on both sides."""
    harness = begun({**dict.fromkeys(names, "text"), "old.mp4": LARGE})
    for send in sends(harness):
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
    harness.rest()
    return harness


def test_a_large_upload_holds_up_no_delete_of_another() -> None:
    """L8: it may take hours."""
    harness = synced("a.md")
    harness.saves("new.mp4", LARGE + "!")
    (large,) = sends(harness)
    harness.saves("a.md", None)
    (delete,) = sends(harness)
    assert [parcel.operation.verb for parcel in delete.parcels] == [Verb.DELETE]
    assert large.is_large and not delete.is_large


def test_a_delete_waits_for_the_upload_of_its_content() -> None:
    """L8: a renamed large file always has a copy on the server."""
    harness = synced("a.md")
    harness.tell(m.ScanResults((seen("new.mp4", LARGE), seen("old.mp4", None), seen("a.md", None))))
    delete, large = sends(harness)
    assert (paths(delete), paths(large)) == (["a.md"], ["new.mp4"])
    harness.answers(delete, Result.APPLIED)
    assert not sends(harness)
    harness.answers(large, Result.APPLIED)
    assert [paths(send) for send in sends(harness)] == [["old.mp4"]]


def test_an_operation_ends_in_one_state_only() -> None:
    """The state of an upload that ended is of no use."""
    harness = begun({"a": LARGE})
    (send,) = sends(harness)
    operation = send.parcels[0].operation
    harness.answers(send, Result.APPLIED)
    harness.tell(m.Resumable(operation.id, STATE))
    (entry,) = harness.index.operations.of_path(SOURCE, "a")
    assert entry.state is OperationState.ACKED
    assert not sends(harness)
