"""The server's revisions and file ids, from events and answers through the trees into the next operation."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.conflict import ConflictOrigin
from agent.core.events import ConflictClosed, ConflictOpened, Delete, Move, Upsert
from agent.core.model import Resolution, Side, file_side
from agent.core.reconcile import Step
from agent.core.remote_records import Operation, Outcome, RemoteFile, RemoteHead, RemoteVersion, Result
from agent.core.version import Version
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import SOURCE, EngineHarness, conflict, drain, seen, sha


def told(path: str, text: str, position: int, rev: str, file: str = "f1", operation: str | None = None) -> Upsert:
    """The feed says a path holds this text, in this revision of this file."""
    return Upsert(path, sha(text), position, text.encode(), operation, rev, file, size=len(text))


def answer(harness: EngineHarness, rev: str | None, file: str | None, **more: object) -> Operation:
    """The server applies the one operation that is asked for, and says what it made of it."""
    send = harness.take(e.Send)
    (operation,) = [parcel.operation for parcel in send.parcels]
    outcome = Outcome(operation.id, Result.APPLIED, rev=rev, remote_id=file, **more)  # type: ignore[arg-type]
    harness.tell(m.BatchAnswered(send.number, (outcome,)))
    return operation


def sides(harness: EngineHarness, path: str = "a.md") -> tuple[Version | None, Version | None]:
    """Base and remote of a path, without their sizes."""
    row = harness.row(path)
    return tuple(None if s.version is None else replace(s.version, size=None) for s in (row.base, row.remote))  # type: ignore[return-value]


def held(text: str, rev: str | None, file: str | None = "f1") -> Version:
    """A version by its text."""
    return Version(sha(text), None, rev, file)


def pulled() -> EngineHarness:
    """a.md came from the server as v1 of the file f1."""
    harness = EngineHarness()
    harness.begin({}, told("a.md", "one", 1, "v1"))
    harness.land("one")
    harness.rest()
    assert sides(harness) == (held("one", "v1"),) * 2
    return harness


def test_an_acknowledged_push_leaves_its_revision_as_the_base() -> None:
    """The next push names it, and never says that the file must not exist."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    first = answer(harness, "v1", "f1")
    assert (first.base, first.base_rev, first.remote_id) == (None, None, None)
    assert sides(harness) == (held("one", "v1"),) * 2
    harness.saves("a.md", "two")
    second = answer(harness, "v2", None)
    assert (second.base, second.base_rev, second.remote_id) == (sha("one"), "v1", "f1")
    assert sides(harness) == (held("two", "v2"),) * 2


def test_a_push_names_the_newest_visit_of_its_base() -> None:
    """v1 and v3 hold the same text. A push that named v1 would be refused."""
    harness = pulled()
    harness.tell(m.Pause(harness.now + 60))
    harness.saves("a.md", "mine")
    harness.feed(told("a.md", "two", 2, "v2"), told("a.md", "one", 3, "v3"))
    assert sides(harness) == (held("one", "v3"),) * 2
    harness.tell(m.Resume())
    harness.rest()
    harness.look({"a.md": "mine"})
    assert answer(harness, "v4", None).base_rev == "v3"


def test_a_base_follows_a_return_while_nothing_is_sent() -> None:
    """The file is not edited here: both visits are adopted, and the edit that follows names the newest."""
    harness = pulled()
    harness.feed(told("a.md", "two", 2, "v2"), told("a.md", "one", 3, "v3"))
    assert sides(harness) == (held("one", "v3"),) * 2 and harness.row("a.md").step is Step.NOTHING
    harness.saves("a.md", "mine")
    assert answer(harness, "v4", None).base_rev == "v3"


def test_an_answer_without_a_revision_is_completed_by_its_event() -> None:
    """Until then the base is of unknown revision, which is not "must not exist"."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    first = answer(harness, None, None)
    assert sides(harness) == (held("one", None, None),) * 2
    harness.saves("a.md", "two")
    send = harness.take(e.Send)
    (second,) = [parcel.operation for parcel in send.parcels]
    assert (second.base, second.base_rev) == (sha("one"), None)
    harness.feed(told("a.md", "one", 1, "v1", operation=first.id))
    assert sides(harness) == (held("one", "v1"),) * 2


def test_a_base_is_completed_by_its_event_below_a_newer_one() -> None:
    """The remote side goes on to the next version; an edit of the base still names the revision."""
    for answered, more in (("OWN_ECHO", {}), ("COUNTED", {"position": 1})):
        harness = EngineHarness(hub=True)
        harness.begin({"a.md": "one"})
        first = answer(harness, None, None, **more)
        harness.feed(told("a.md", "one", 1, "v1", operation=first.id), told("a.md", "two", 2, "v2"))
        assert sides(harness) == (held("one", "v1"), held("two", "v2")), answered


def test_an_answer_without_a_file_keeps_the_one_of_the_feed() -> None:
    """The event came first; an answer that repeats its revision must not take the file's id away."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    send = harness.take(e.Send)
    (operation,) = [parcel.operation for parcel in send.parcels]
    drain(harness, told("a.md", "one", 1, "v1"))
    harness.tell(m.BatchAnswered(send.number, (Outcome(operation.id, Result.APPLIED, rev="v1"),)))
    assert sides(harness) == (held("one", "v1"),) * 2


def test_an_answer_without_a_file_is_completed_by_its_event() -> None:
    """The answer said the revision only: the event with the same revision adds the file."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    operation = answer(harness, "v1", None)
    assert sides(harness) == (held("one", "v1", None),) * 2
    harness.feed(told("a.md", "one", 1, "v1", operation=operation.id))
    assert sides(harness) == (held("one", "v1"),) * 2


def test_an_answer_without_a_revision_is_completed_by_the_head() -> None:
    """A decided text is asked for before its event comes: the head names the revision."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    answer(harness, None, None)
    harness.engine._ctx.fetch_heads_and_conflicts([harness.row("a.md")])
    harness.tell(m.HeadArrived("a.md", RemoteHead("a.md", sha("one"), None, "v1", "f1", size=3), ()))
    assert sides(harness)[1] == held("one", "v1")


def test_an_answer_with_a_position_is_completed_by_its_event() -> None:
    """The event at that position is our own: it says the revision that the answer left out."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one"})
    first = answer(harness, None, None, position=1)
    harness.feed(told("a.md", "one", 1, "v1", operation=first.id))
    assert sides(harness) == (held("one", "v1"),) * 2


def test_what_an_operation_made_is_known_after_a_restart() -> None:
    """Its revision and the id of its new file recognise its event."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    answer(harness, "v1", "f1")
    (entry,) = harness.index.operations.of_path(SOURCE, "a.md")
    assert (entry.rev, entry.operation.remote_id) == ("v1", "f1")


def test_a_file_s_id_leaves_with_it() -> None:
    """A file that is made anew at the path of a deleted one is another file."""
    harness = pulled()
    harness.feed(Delete("a.md", 2, remote_id="f1"))
    harness.land(None)
    assert sides(harness) == (None, None)
    harness.saves("a.md", "new")
    made = answer(harness, "v1", "f2")
    assert (made.base, made.base_rev, made.remote_id) == (None, None, None)
    assert sides(harness) == (held("new", "v1", "f2"),) * 2


def test_a_delete_names_the_revision_and_the_file() -> None:
    """A server with revisions refuses the delete of a version that nobody here has seen."""
    harness = pulled()
    harness.feed(told("b.md", "other", 2, "v1", "f2"))
    harness.land("other")
    harness.saves("a.md", None)
    gone = answer(harness, None, None)
    assert (gone.base, gone.base_rev, gone.remote_id) == (sha("one"), "v1", "f1")
    assert sides(harness) == (None, None)


def test_a_move_ends_the_old_path_and_fills_the_new_one() -> None:
    """The file keeps its id; the new path names the version by itself."""
    harness = pulled()
    harness.feed(Move("a.md", "d/b.md", sha("one"), 2, None, "v2", "f1", 3))
    assert sides(harness, "a.md") == (held("one", "v1"), None)
    assert sides(harness, "d/b.md") == (None, held("one", "v2"))
    assert (harness.row("a.md").step, harness.row("d/b.md").step) == (Step.PULL_DELETE, Step.PULL)


def test_a_move_of_an_unknown_file_is_an_upsert() -> None:
    """The old path was never told of here, or another file is there by now."""
    harness = pulled()
    harness.feed(Move("never.md", "b.md", sha("x"), 2, None, "v1", "f9", 1))
    assert sides(harness, "b.md") == (None, held("x", "v1", "f9")) and harness.row("never.md").is_empty
    harness.feed(Move("a.md", "c.md", sha("y"), 3, None, "v1", "f8", 1))
    assert sides(harness, "a.md") == (held("one", "v1"),) * 2
    assert harness.row("c.md").step is Step.PULL


def test_a_move_that_is_told_twice_changes_nothing_more() -> None:
    """At least once means twice at times; the old path may hold a new file by then."""
    harness = pulled()
    move = Move("a.md", "b.md", sha("one"), 2, None, "v2", "f1", 3)
    harness.feed(move, told("a.md", "next", 3, "v1", "f2"))
    before = sides(harness, "a.md"), sides(harness, "b.md")
    harness.feed(move)
    assert (sides(harness, "a.md"), sides(harness, "b.md")) == before
    assert before == ((held("one", "v1"), held("next", "v1", "f2")), (None, held("one", "v2")))


def test_a_version_our_push_replaced_unseen_is_parked() -> None:
    """The server says what was there: neither our base nor our text, so it may exist nowhere else."""
    harness = pulled()
    harness.saves("a.md", "mine")
    answer(harness, "v3", "f1", replaced=Version(sha("theirs"), 6, "v2", "f1"))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.LOST_UPDATE
    assert (parked.local_hash, parked.remote_hash, parked.remote_rev) == (sha("mine"), sha("theirs"), "v2")
    assert (parked.base_hash, parked.base_rev) == (sha("one"), "v1")


def test_a_replaced_visit_of_the_base_s_text_loses_nothing() -> None:
    """The server left the base and came back to it: what was replaced is the text that we had."""
    harness = pulled()
    harness.saves("a.md", "mine")
    answer(harness, "v4", "f1", replaced=Version(sha("one"), 3, "v3", "f1"))
    assert not harness.conflicts()


def test_a_push_in_doubt_below_a_return_to_its_base_was_applied() -> None:
    """The head has the base's text in another revision, and ours lies between: the return is pulled."""
    harness = pulled()
    harness.saves("a.md", "mine")
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    past = tuple(RemoteVersion(sha(text), None, None, rev=rev) for text, rev in (("one", "v3"), ("mine", "v2")))
    older = RemoteVersion(sha("one"), None, None, rev="v1")
    harness.shows("a.md", RemoteHead("a.md", sha("one"), b"one", "v3", "f1", (*past, older), 3))
    assert sides(harness) == (held("mine", "v2", None), held("one", "v3"))
    assert harness.row("a.md").step is Step.PULL and not harness.wants(e.Send)


def test_a_file_moved_onto_a_new_one_in_doubt_is_a_conflict() -> None:
    """The moved file had our text at its old path. That proves nothing about ours, so a person decides."""
    harness = EngineHarness()
    harness.begin({"a.md": "mine"})
    harness.answer(Result.UNCERTAIN)
    harness.feed()
    past = tuple(RemoteVersion(sha(text), None, None, rev=rev) for text, rev in (("mine", "v2"), ("one", "v1")))
    head = RemoteVersion(sha("two"), None, None, rev="v3")
    harness.shows("a.md", RemoteHead("a.md", sha("two"), b"two", "v3", "f7", (head, *past), 3))
    (parked,) = harness.conflicts()
    assert (parked.local_hash, parked.remote_hash) == (sha("mine"), sha("two"))
    assert not harness.wants(e.ApplyChanges)


def test_a_resolution_is_pushed_on_the_head_s_revision() -> None:
    """The head that was just read, not the one of the day the conflict was opened."""
    harness = pulled()
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k", "a.md", "one", "mine", "two"))
    (parked,) = harness.conflicts()
    harness.tell(m.Resolve(parked.id, parked.generation, Resolution.MANUAL_MERGE, b"merged"))
    harness.shows("a.md", RemoteHead("a.md", sha("two"), b"two", "v7", "f1", (), 3))
    (operation,) = [parcel.operation for parcel in harness.take(e.Send).parcels]
    assert (operation.base, operation.base_rev, operation.remote_id) == (sha("two"), "v7", "f1")


def test_a_resolution_elsewhere_starts_from_the_refused_text() -> None:
    """The server keeps the refused text under a revision of its own: that is the base of the pull."""
    harness = pulled()
    harness.saves("a.md", "mine")
    refused = conflict("k", "a.md", "one", "mine", "two")
    harness.answer(Result.CONFLICT, found=replace(refused, local_rev="v2", remote_rev="v3"))
    assert [c.local_rev for c in harness.conflicts()] == ["v2"]
    harness.feed(ConflictClosed("a.md", "k", 9, sha("two"), "v4", "f1"))
    assert sides(harness) == (held("mine", "v2", None), held("two", "v4"))
    assert not harness.conflicts() and harness.row("a.md").step is Step.PULL


def test_a_refused_edit_of_the_server_keeps_its_revision() -> None:
    """It is the side beside the head; its text is fetched by that revision."""
    harness = pulled()
    harness.feed(ConflictOpened("a.md", "k", 2, sha("one"), sha("page"), True, "v1", "v9"))
    (parked,) = harness.conflicts()
    assert (parked.origin, parked.remote_hash, parked.remote_rev) == (ConflictOrigin.SERVER_EDIT, sha("page"), "v9")


def test_an_install_is_the_base_in_its_own_revision() -> None:
    """The server moved on while the file was installed: the base is what the folder received."""
    harness = EngineHarness()
    harness.begin({}, told("a.md", "one", 1, "v1"))
    assert harness.index.journal.all(SOURCE)[0].rev == "v1"
    harness.feed(told("a.md", "two", 2, "v2"))
    harness.land("one")
    assert sides(harness) == (held("one", "v1"), held("two", "v2"))


def test_an_index_without_revisions_goes_on() -> None:
    """Of an older release: the base is known, its revision is not, until an event or a listing says it."""
    harness = pulled()
    bare = Side(file_side(sha("one")).presence, sha("one"), 3)
    harness.index.trees.put(SOURCE, [replace(harness.row("a.md"), base=bare, remote=bare)])
    harness.restart()
    harness.begin({"a.md": "mine"})
    send = harness.take(e.Send)
    (operation,) = [parcel.operation for parcel in send.parcels]
    assert (operation.base, operation.base_rev) == (sha("one"), None)


def _verify(harness: EngineHarness, *files: RemoteFile) -> None:
    harness.listing = files
    harness.engine._verification.request()
    harness.tell(m.TimePassed())
    harness.rest()


def test_a_listing_brings_a_newer_revision_of_the_same_text() -> None:
    """The feed skipped the return; no head is asked for, because the text is the same."""
    harness = pulled()
    _verify(harness, RemoteFile("a.md", sha("one"), "v3", "f1"))
    assert sides(harness) == (held("one", "v3"),) * 2 and not harness.wants(e.FetchHead)


def test_without_listed_hashes_a_moved_mark_is_asked_about() -> None:
    """Once for each mark; an equal revision needs none at all."""
    harness = pulled()
    _verify(harness, RemoteFile("a.md", None, mark="m1"))
    harness.shows("a.md", RemoteHead("a.md", sha("one"), b"one", "v1", "f1", (), 3))
    _verify(harness, RemoteFile("a.md", None, mark="m1"))
    assert not harness.wants(e.FetchHead)
    _verify(harness, RemoteFile("a.md", None, mark="m2"))
    harness.shows("a.md", RemoteHead("a.md", sha("two"), b"two", "v2", "f1", (), 3))
    assert sides(harness) == (held("one", "v1"), held("two", "v2"))
    _verify(harness, RemoteFile("a.md", None, "v2"))
    assert not harness.wants(e.FetchHead)


def test_a_mark_is_not_confirmed_by_an_older_head() -> None:
    """The head was asked for before the listing: the file may have changed in between."""
    harness = pulled()
    row = harness.row("a.md")
    harness.engine._ctx.fetch_head("a.md", row)
    _verify(harness, RemoteFile("a.md", None, mark="m1"))
    harness.tell(m.HeadArrived("a.md", RemoteHead("a.md", sha("one"), b"one", "v1", "f1", (), 3)))
    harness.effects.clear()
    _verify(harness, RemoteFile("a.md", None, mark="m1"))
    assert harness.wants(e.FetchHead)


def test_a_file_listed_without_a_hash_is_not_deleted() -> None:
    """An earlier listing lacked it. Its text counts as the agreed one, of unknown revision, until its head arrives."""
    harness = pulled()
    harness.setup = replace(harness.setup, run_mode=RunMode.DAEMON, deletes_quiet=60.0)
    harness.engine.configure(harness.now, harness.setup)
    for _ in range(2):
        _verify(harness)
        harness.now += 2.0
    assert harness.row("a.md").step is Step.PULL_DELETE
    _verify(harness, RemoteFile("a.md", None, "v9", "f1", mark="m"))
    assert sides(harness) == (held("one", None),) * 2 and harness.row("a.md").step is Step.NOTHING
    harness.shows("a.md", RemoteHead("a.md", sha("two"), b"two", "v9", "f1", (), 3))
    assert sides(harness) == (held("one", None), held("two", "v9"))


def test_a_head_without_its_bytes_is_not_asked_for_in_a_loop() -> None:
    """The bytes must come in another way; the path is tried again after a while."""
    harness = EngineHarness()
    harness.begin({}, Upsert("big.bin", sha("big"), 1, None, None, "v1", "f1", size=9 << 20))
    harness.shows("big.bin", RemoteHead("big.bin", sha("big"), None, "v1", "f1", (), 9 << 20))
    assert not harness.wants(e.FetchHead) and not harness.wants(e.ApplyChanges)
    assert harness.row("big.bin").remote.size == 9 << 20


def test_a_look_leaves_the_revisions_alone() -> None:
    """An observation is of the folder: neither base nor remote lose what the server said."""
    harness = pulled()
    harness.tell(m.ScanResults((seen("a.md", "one", inode=7),)))
    assert sides(harness) == (held("one", "v1"),) * 2
