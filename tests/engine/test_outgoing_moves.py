"""A rename in the folder is a move on a server that has moves; in doubt it is an upload and a delete."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Delete, Move, Upsert
from agent.core.remote_records import Operation, Outcome, RemoteHead, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.index.operations import OperationState
from engine.harness import SOURCE, EngineHarness, seen, sha

LIMIT = 16
LARGE = "a text of more than sixteen bytes"


def begun(files: dict[str, str], *, moves: bool = True, recall: bool = False) -> EngineHarness:
    """These files on both sides, at rest; the id of each is its path in capitals."""
    harness = EngineHarness(hub=True)
    harness.setup = replace(
        harness.setup, inline_limit=LIMIT, moves=moves, run_mode=RunMode.DAEMON, item_results=False,
        resumable_uploads=recall,
    )  # fmt: skip
    harness.restart()
    events = [
        Upsert(path, sha(text), number, None, None, f"v{number}", path.upper(), False, len(text))
        for number, (path, text) in enumerate(files.items(), start=1)
    ]
    harness.begin(dict(files), *events)
    harness.effects.clear()
    return harness


def renames(harness: EngineHarness, old: str, new: str, text: str) -> None:
    """The user renames a file; both paths are found in one scan."""
    inode = seen(old, text).fingerprint
    assert inode is not None
    harness.tell(m.ScanResults((seen(new, text, inode.inode), seen(old, None))))


def sent(harness: EngineHarness) -> list[Operation]:
    """The operations of every batch that is asked for; they stay asked for."""
    return [p.operation for effect in harness.effects if isinstance(effect, e.Send) for p in effect.parcels]


def answers(harness: EngineHarness, outcome: Outcome) -> None:
    """Answer the one batch that is asked for."""
    harness.tell(m.BatchAnswered(harness.take(e.Send).number, (outcome,)))


def echo(operation: Operation, position: int) -> Move:
    """The feed: our own move."""
    assert operation.old_path is not None and operation.hash is not None
    args = (operation.old_path, operation.path, operation.hash, position, operation.id)
    return Move(*args, f"v{position}", operation.remote_id, operation.size)


@pytest.mark.parametrize("text", ["one", LARGE, ""])
def test_a_rename_is_sent_as_a_move(text: str) -> None:
    """One operation with both paths and the file's id; neither an upload nor a delete. Also of an empty file."""
    harness = begun({"a.md": text, "z.md": "z"})
    renames(harness, "a.md", "dir/b.md", text)
    [operation] = sent(harness)
    assert (operation.verb, operation.old_path, operation.path) == (Verb.MOVE, "a.md", "dir/b.md")
    assert (operation.hash, operation.base) == (sha(text), sha(text))
    assert (operation.base_rev, operation.remote_id) == ("v1", "A.MD")
    answers(harness, Outcome(operation.id, Result.APPLIED, rev="v10", remote_id="A.MD"))
    assert harness.trees("a.md") == (None,) * 3
    assert harness.trees("dir/b.md") == (sha(text),) * 3
    assert harness.row("dir/b.md").base.rev == "v10"
    harness.feed(echo(operation, 10))
    assert harness.trees("a.md") == (None,) * 3 and harness.trees("dir/b.md") == (sha(text),) * 3
    assert not sent(harness) and not harness.index.operations.open(SOURCE) and not harness.conflicts()
    assert not harness.wants(e.ApplyChanges)


def test_a_copy_that_replaces_its_source_is_a_move() -> None:
    """Another inode with the very bytes that are gone: some programs move by copying."""
    harness = begun({"a.md": "one", "z.md": "z"})
    harness.tell(m.ScanResults((seen("b.md", "one"), seen("a.md", None))))
    assert [(op.verb, op.old_path) for op in sent(harness)] == [(Verb.MOVE, "a.md")]


@pytest.mark.parametrize("what", ["empty", "edited_too", "two_copies", "no_moves", "no_id"])
def test_in_doubt_a_rename_is_an_upload_and_a_delete(what: str) -> None:
    """Empty files are all equal; two copies of one text could both be the file; an edit needs its bytes sent."""
    text = "" if what == "empty" else "one"
    harness = begun({"a.md": text, "z.md": "z"}, moves=what != "no_moves")
    if what == "no_id":
        row = harness.row("a.md")
        side = replace(row.base, remote_id=None)
        harness.engine._path_store.change([replace(row, base=side, remote=side)])
    new = [seen("b.md", "two" if what == "edited_too" else text)]
    if what == "two_copies":
        new.append(seen("c.md", text))
    harness.tell(m.ScanResults((*new, seen("a.md", None))))
    assert {op.verb for op in sent(harness)} == {Verb.UPSERT}
    assert {op.path for op in sent(harness)} == {each.path for each in new}


def test_the_old_path_waits_for_the_answer() -> None:
    """It is neither deleted nor filled while the outcome is unknown."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    harness.now += 60
    harness.tell(m.TimePassed())
    assert sent(harness) == [operation]
    harness.saves("a.md", "new")
    assert sent(harness) == [operation]
    answers(harness, Outcome(operation.id, Result.APPLIED, rev="v10", remote_id="A.MD"))
    [fresh] = sent(harness)
    assert (fresh.path, fresh.verb, fresh.base, fresh.remote_id) == ("a.md", Verb.UPSERT, None, None)


def test_an_edit_behind_the_move_is_sent_on_its_version() -> None:
    """The base is the revision that the move made."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    harness.saves("b.md", "edit")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, Result.APPLIED, rev="v10", remote_id="A.MD"))
    [edit] = sent(harness)
    assert (edit.path, edit.hash, edit.base, edit.base_rev) == ("b.md", sha("edit"), sha("one"), "v10")


@pytest.mark.parametrize("result", [Result.REJECTED, Result.TOO_LARGE])
def test_a_refused_move_is_an_upload_and_a_delete(result: Result) -> None:
    """The file is not set aside: the server may take the two changes."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, result, detail="no"))
    [upload] = sent(harness)
    assert (upload.path, upload.verb) == ("b.md", Verb.UPSERT)
    answers(harness, Outcome(upload.id, Result.APPLIED, rev="v11", remote_id="NEW"))
    [delete] = sent(harness)
    assert (delete.path, delete.verb, delete.remote_id) == ("a.md", Verb.DELETE, "A.MD")


def test_a_move_whose_file_came_back_is_dropped() -> None:
    """The sender found a file at the old path. Both paths are scanned, and what is there decides."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, Result.CHANGED))
    harness.now += 1
    harness.tell(m.TimePassed())
    assert set(harness.take(e.ScanPaths).paths) == {"a.md", "b.md"}
    harness.tell(m.ScanResults((seen("a.md", "one"), seen("b.md", None))), m.PathScanFinished(("a.md", "b.md")))
    assert harness.trees("a.md") == (sha("one"),) * 3 and harness.trees("b.md") == (None,) * 3
    assert {op.verb for op in sent(harness)} <= {Verb.UPSERT}


@pytest.mark.parametrize(
    ("shown", "is_applied"),
    [
        (RemoteHead("b.md", sha("one"), b"one", "v10", "A.MD", (), 3), True),
        (RemoteHead("b.md", sha("two"), b"two", "v11", "A.MD", (), 3), True),
        (RemoteHead("b.md", sha("one"), b"one", "v10", "OTHER", (), 3), False),
        (None, False),
    ],
)
def test_a_move_in_doubt_is_judged_by_the_files_id(shown: RemoteHead | None, is_applied: bool) -> None:
    """The file at the new path must be the very one. Another file with its bytes proves nothing."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, Result.UNCERTAIN))
    harness.rest()
    harness.shows("b.md", shown)
    base, local, remote = harness.trees("b.md")
    assert local == sha("one") and remote == (shown.hash if shown else None)
    if is_applied:
        assert base == (sha("one") if shown and shown.hash == sha("two") else remote)
        assert harness.trees("a.md") == (None,) * 3
        assert not any(op.verb is Verb.UPSERT for op in sent(harness))
    else:
        assert harness.row("a.md").base.hash == sha("one")
        assert [op.verb for op in sent(harness)] == [Verb.UPSERT if shown is None else Verb.DELETE]
    assert not harness.conflicts()


def test_a_recalled_move_ends_at_both_paths() -> None:
    """The server proves it after a lost answer."""
    harness = begun({"a.md": "one", "z.md": "z"}, recall=True)
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, Result.UNCERTAIN))
    harness.rest()
    assert harness.take(e.Recall).operation == operation
    harness.tell(m.Recalled(Outcome(operation.id, Result.APPLIED, rev="v10", remote_id="A.MD")))
    assert harness.trees("a.md") == (None,) * 3 and harness.trees("b.md") == (sha("one"),) * 3
    assert not sent(harness)


def test_the_feed_may_tell_of_a_move_before_its_answer() -> None:
    """The event is the answer, for both paths. The answer that follows changes nothing."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    harness.saves("a.md", "new")
    harness.feed(echo(operation, 10))
    assert harness.trees("a.md") == (None, sha("new"), None) and not harness.conflicts()
    [send] = [effect for effect in harness.effects if isinstance(effect, e.Send) and operation in
              [p.operation for p in effect.parcels]]  # fmt: skip
    harness.tell(m.BatchAnswered(send.number, (Outcome(operation.id, Result.APPLIED, rev="v10", remote_id="A.MD"),)))
    assert harness.trees("b.md") == (sha("one"),) * 3 and harness.trees("a.md") == (None, sha("new"), None)


def test_an_older_echo_at_the_old_path_brings_nothing_back() -> None:
    """The event of our upload is read after the move of the file was acknowledged."""
    harness = begun({"z.md": "z", "y.md": "y"})
    harness.saves("a.md", "one")
    [upload] = sent(harness)
    answers(harness, Outcome(upload.id, Result.APPLIED, rev="v10", remote_id="A.MD"))
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    answers(harness, Outcome(operation.id, Result.APPLIED, rev="v11", remote_id="A.MD"))
    harness.feed(Upsert("a.md", sha("one"), 10, None, upload.id, "v10", "A.MD", False, 3))
    assert harness.trees("a.md") == (None,) * 3
    harness.feed(echo(operation, 11))
    assert harness.trees("b.md") == (sha("one"),) * 3 and not harness.wants(e.ApplyChanges)
    assert not sent(harness) and not harness.index.operations.open(SOURCE)


def test_a_move_survives_a_restart_in_doubt() -> None:
    """Its outcome is looked for before anything else is sent; the old path is busy meanwhile."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    assert len(sent(harness)) == 1
    harness.restart()
    harness.begin({"b.md": "one", "z.md": "z", "a.md": ""})
    harness.saves("a.md", None)
    [entry] = harness.index.operations.open(SOURCE)
    assert entry.state is OperationState.UNSETTLED and not sent(harness)
    assert harness.engine.is_busy("a.md") and harness.engine.is_busy("b.md")


def test_a_failed_connection_keeps_the_move() -> None:
    """It was not sent, so it is sent again, as it is."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    problem = Problem(ProblemKind.OFFLINE, "no connection")
    number = harness.take(e.Send).number
    harness.tell(m.BatchAnswered(number, (Outcome(operation.id, Result.NOT_SENT),), problem))
    harness.now += 3600
    harness.tell(m.TimePassed())
    harness.rest()
    assert sent(harness) == [operation]


def test_two_hundred_renames_are_no_deletes() -> None:
    """A renamed folder is one move a file; the delete guard counts none of them."""
    files = {f"d/{number}.md": f"text {number}" for number in range(200)}
    harness = begun({**files, "z.md": "z"})
    scans = [seen(path, None) for path in files]
    for path, text in files.items():
        before = seen(path, text).fingerprint
        assert before is not None
        scans.append(seen(f"e/{path[2:]}", text, before.inode))
    harness.tell(m.ScanResults(tuple(scans)))
    while sent(harness):
        send = next(effect for effect in harness.effects if isinstance(effect, e.Send))
        harness.effects.remove(send)
        operations = [parcel.operation for parcel in send.parcels]
        assert {operation.verb for operation in operations} == {Verb.MOVE}
        results = [Outcome(op.id, Result.APPLIED, rev=f"w{op.id}", remote_id=op.remote_id) for op in operations]
        harness.tell(m.BatchAnswered(send.number, tuple(results)))
    assert harness.engine.held is None
    assert harness.trees("e/7.md") == (sha("text 7"),) * 3 and harness.trees("d/7.md") == (None,) * 3


def test_another_machines_delete_wins_over_a_move() -> None:
    """The file is gone on the server; the renamed one is new there."""
    harness = begun({"a.md": "one", "z.md": "z"})
    renames(harness, "a.md", "b.md", "one")
    [operation] = sent(harness)
    harness.feed(Delete("a.md", 10, None, "A.MD"))
    number = next(effect.number for effect in harness.effects if isinstance(effect, e.Send))
    harness.take(e.Send)
    harness.tell(m.BatchAnswered(number, (Outcome(operation.id, Result.UNCERTAIN),)))
    harness.rest()
    harness.shows("b.md", None)
    assert [(op.path, op.verb) for op in sent(harness)] == [("b.md", Verb.UPSERT)]
