"""The brakes: what is too much to be carried out without a person, and what is away and therefore not deleted."""

from __future__ import annotations

from msgspec import structs

from agent.core.events import FeedEvent
from agent.core.model import ABSENT, ConflictKind, Observation, Presence, Reason, Side, SourceState
from agent.core.reconcile import Step
from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import SOURCE, EngineHarness, delete, seen, sha, upsert

NAMES = [f"n{i:02}.md" for i in range(20)]


def drain(harness: EngineHarness, *events: FeedEvent) -> None:
    harness.feed(*events)


def synced(names: list[str] = NAMES) -> EngineHarness:
    """A folder and a server that hold these files, each with its own name as text."""
    harness = EngineHarness(hub=True)
    harness.begin({name: name for name in names})
    ids = harness.answer(*[Result.APPLIED] * len(names))
    drain(harness, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    harness.effects.clear()
    return harness


def deletes(harness: EngineHarness, *names: str) -> None:
    """The person removes these files."""
    harness.tell(m.ScanResults(tuple(seen(name, None) for name in names)))


def carried_out(harness: EngineHarness) -> list[str]:
    """Answer the deletes that are sent; their paths. None where nothing is sent."""
    if not harness.wants(e.Send):
        return []
    send = harness.take(e.Send)
    paths = [parcel.operation.path for parcel in send.parcels]
    pending = [entry for entries in harness.engine._ctx.open_operations.values() for entry in entries]
    ids = {x.operation.path: x.operation.id for x in pending}
    parcels = tuple(e.OutgoingOperation(x.operation) for x in pending if x.operation.path in paths)
    harness.effects.append(e.Send(send.number, parcels))
    harness.answer(*[Result.APPLIED] * len(paths))
    drain(harness, *[delete(path, harness.cursor + 1 + i, ids[path]) for i, path in enumerate(paths)])
    return paths


def test_deletes_that_trickle_count_together() -> None:
    """Nine deletes pass and the tenth within the hour is held: a brake that counts moments would let all pass."""
    harness = synced()
    for name in NAMES[:9]:
        deletes(harness, name)
        assert carried_out(harness) == [name]
        harness.now += 60
    deletes(harness, NAMES[9])
    assert carried_out(harness) == []
    held = harness.engine.held
    assert held is not None and {path for path, _ in held.files} == {NAMES[9]}
    assert harness.engine.view().state is SourceState.HALTED


def test_deletes_an_hour_apart_do_not_count_together() -> None:
    harness = synced()
    deletes(harness, *NAMES[:9])
    assert len(carried_out(harness)) == 9
    harness.now += 3601
    deletes(harness, NAMES[9])
    assert carried_out(harness) == [NAMES[9]]


def test_what_is_held_does_not_become_harmless_by_waiting() -> None:
    """Nor by a restart: only a person lets the last delete pass."""
    harness = synced()
    deletes(harness, *NAMES[:9])
    carried_out(harness)
    deletes(harness, NAMES[9])
    harness.now += 100_000
    harness.tell(m.TimePassed())
    assert harness.engine.held is not None and not harness.wants(e.Send)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.look({})
    drain(harness)
    held = harness.engine.held
    assert held is not None and not harness.wants(e.Send)
    harness.tell(m.ApproveDeletes(held.plan))
    assert carried_out(harness) == [NAMES[9]]


def test_approved_deletes_do_not_count_towards_later_ones() -> None:
    """A person decided on them; what is asked next is the next few deletes."""
    harness = synced()
    deletes(harness, *NAMES[:12])
    held = harness.engine.held
    assert held is not None
    harness.tell(m.ApproveDeletes(held.plan))
    assert len(carried_out(harness)) == 12
    deletes(harness, *NAMES[12:14])
    assert carried_out(harness) == NAMES[12:14]


def test_renames_that_trickle_do_not_count() -> None:
    """Every second file gets another name, one after the other: its text lives on."""
    harness = synced()
    for name in NAMES[:12]:
        harness.saves("renamed-" + name, name)
        (identifier,) = harness.answer(Result.APPLIED)
        drain(harness, upsert("renamed-" + name, name, harness.cursor + 1, identifier))
        deletes(harness, name)
        assert carried_out(harness) == [name]


def test_a_file_that_was_deleted_and_made_again_does_not_count() -> None:
    """A program that replaces its files by deleting and creating them is not stopped."""
    harness = synced()
    for round_number in range(12):
        deletes(harness, NAMES[0])
        assert carried_out(harness) == [NAMES[0]], round_number
        text = f"again {round_number}"
        harness.saves(NAMES[0], text)
        (identifier,) = harness.answer(Result.APPLIED)
        drain(harness, upsert(NAMES[0], text, harness.cursor + 1, identifier))


def test_deletes_from_the_server_that_trickle_are_held_too() -> None:
    harness = synced()
    for name in NAMES[:9]:
        drain(harness, delete(name, harness.cursor + 1))
        harness.land(None)
    drain(harness, delete(NAMES[9], harness.cursor + 1))
    assert not harness.wants(e.ApplyChanges) and harness.engine.held is not None


def test_a_server_that_suddenly_holds_nothing_is_mistrusted() -> None:
    """Three files and an empty listing: they are held however few they are, and brought back when a person says so."""
    harness = synced(NAMES[:3])
    harness.listing = ()
    for _ in range(3):
        harness.tell(m.SyncNow(1))
        if harness.wants(e.ScanFolder):
            harness.look({})
        harness.rest()
        harness.now += 10
    assert not harness.wants(e.ApplyChanges)
    held = harness.engine.held
    assert held is not None and {path for path, _ in held.files} == set(NAMES[:3])
    harness.tell(m.UndoDeletes())
    assert {parcel.operation.path for parcel in harness.take(e.Send).parcels} == set(NAMES[:3])


def test_what_is_held_stays_held_while_other_deletes_go_by() -> None:
    """A rename an hour later is carried out, and makes nobody forget the nine that count with the tenth."""
    harness = synced()
    deletes(harness, *NAMES[:9])
    carried_out(harness)
    harness.now += 3000
    deletes(harness, NAMES[9])
    harness.now += 700
    harness.saves("renamed.md", NAMES[15])
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("renamed.md", NAMES[15], harness.cursor + 1, ids[0]))
    deletes(harness, NAMES[15])
    assert carried_out(harness) == [NAMES[15]]
    harness.tell(m.TimePassed())
    assert harness.engine.held is not None and not harness.wants(e.Send)


# File systems of their own below the root


def gone(path: str) -> Observation:
    return Observation(path, Side(Presence.UNKNOWN, reason=Reason.UNMOUNTED))


def with_mount() -> EngineHarness:
    """``disk`` is a file system of its own, and was seen as one."""
    harness = synced(["a.md", "disk/b.md"])
    harness.tell(m.RescanRequested())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished(mounts=frozenset({"disk"})))
    harness.rest()
    harness.effects.clear()
    return harness


def lose_mount(harness: EngineHarness) -> None:
    harness.tell(m.RescanRequested())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanResults((gone("disk/b.md"),)), m.ScanFinished())


def test_a_file_system_that_went_deletes_nothing_and_halts() -> None:
    """The rest goes on; mounted again, nothing is asked."""
    harness = with_mount()
    lose_mount(harness)
    view = harness.engine.view()
    assert view.state is SourceState.HALTED and view.halted and "disk" in view.halted and "resume" in view.halted
    assert not harness.wants(e.Send)
    harness.saves("a.md", "edited")
    harness.answer(Result.APPLIED)
    harness.tell(m.RescanRequested())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanResults((seen("disk/b.md", "disk/b.md"),)), m.ScanFinished(mounts=frozenset({"disk"})))
    assert harness.engine.view().halted is None and not harness.wants(e.Send)


def test_a_file_system_is_known_by_the_first_file_seen_in_it() -> None:
    """A look that breaks off says at its end nothing of the file systems it met; their files were seen all the same."""
    harness = synced(["a.md", "disk/b.md"])
    harness.tell(m.RescanRequested())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanResults((seen("disk/b.md", "disk/b.md"),), mounts=frozenset({"disk"})), m.ScanFinished("gone"))
    assert harness.index.sources.get(SOURCE).mounts == {"disk"}


def test_going_on_without_a_file_system_deletes_nothing_either() -> None:
    """Resumed, its files are missing here and come from the server."""
    harness = with_mount()
    lose_mount(harness)
    harness.tell(m.Resume())
    harness.take(e.ScanFolder)
    harness.tell(m.ScanResults((seen("disk/b.md", None),)), m.ScanFinished())
    harness.rest()
    assert not harness.wants(e.Send)
    assert harness.row("disk/b.md").base == ABSENT and harness.wants(e.FetchHead)


def test_one_file_lost_with_its_file_system_causes_a_scan() -> None:
    """One file that went with its file system has all looked for."""
    harness = with_mount()
    harness.tell(m.ScanResults((gone("disk/b.md"),)))
    assert harness.wants(e.ScanFolder) and not harness.wants(e.Send)


def test_a_file_that_shrank_waits_for_a_person() -> None:
    """It is neither sent nor deleted; asked to try again, it is looked at without what was known of it."""
    harness = synced(["a.md", "b.md"])
    row = harness.row("a.md")
    shrunk = Side(Presence.UNKNOWN, None, 4, Reason.SHRUNK)
    harness.tell(m.ScanResults((Observation("a.md", shrunk, row.fingerprint),)))
    assert not harness.wants(e.Send) and harness.engine.view().state is SourceState.ERROR
    assert harness.row("a.md").fingerprint == row.fingerprint
    harness.tell(m.Retry(("a.md",)))
    assert harness.row("a.md").fingerprint is None and harness.wants(e.ScanFolder)


def test_in_a_replaced_root_nothing_counts_as_deleted() -> None:
    """What it lacks comes from the server again; another text in it may be an edit or an older state, and is parked."""
    harness = synced(["a.md", "b.md", "same.md"])
    standing = harness.index.sources.get(SOURCE)
    harness.index.sources.put(SOURCE, structs.replace(standing, moved=True))
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.look({"a.md": None, "b.md": "another"})
    drain(harness)
    (parked,) = harness.conflicts()
    assert (parked.path, parked.kind) == ("b.md", ConflictKind.NO_BASE)
    assert harness.wants(e.FetchHead) and not harness.index.sources.get(SOURCE).moved
    assert all(parcel.operation.base is None for parcel in harness.take(e.Send).parcels)


def test_an_unreadable_or_moved_path_is_not_a_delete_there() -> None:
    """A file newer on the server comes whole instead of being disputed; one that was hidden comes once it is missed."""
    harness = synced(["a.md", "b.md", "c.md"])
    harness.tell(m.Pause(float("inf")))
    drain(harness, upsert("a.md", "newer", harness.cursor + 1))
    standing = harness.index.sources.get(SOURCE)
    harness.index.sources.put(SOURCE, structs.replace(standing, moved=True))
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.take(e.ScanFolder)
    hidden = Observation("b.md", Side(Presence.UNKNOWN, reason=Reason.UNREADABLE))
    harness.tell(m.ScanResults((seen("a.md", None), hidden)), m.ScanFinished())
    drain(harness)
    harness.saves("b.md", None)
    assert harness.conflicts() == [] and not harness.wants(e.Send)
    assert [harness.row(path).step for path in ("a.md", "b.md")] == [Step.PULL, Step.PULL]


def test_a_text_owed_to_the_trash_is_offered_until_written() -> None:
    """Over a full disk and over a restart, and its bytes are not tidied away meanwhile."""
    harness = EngineHarness()
    harness.begin({})
    harness.index.texts.put(sha("precious"), b"precious")
    harness.engine._trash_outbox.enqueue("a.md", sha("precious"), "conflict")
    harness.tell(m.TimePassed())
    first = harness.take(e.TextForTrash)
    harness.tell(m.TrashWriteFinished(first.stash_id, "No space left on device"))
    assert not harness.wants(e.TextForTrash)
    harness.index.texts.prune(())
    harness.now += 31
    harness.tell(m.TimePassed())
    assert harness.take(e.TextForTrash) == first
    harness.restart()
    assert harness.take(e.TextForTrash) == first
    harness.tell(m.TrashWriteFinished(first.stash_id))
    harness.restart()
    assert not harness.wants(e.TextForTrash)


def test_a_costly_judgement_is_not_made_at_every_step() -> None:
    """Of many files: what changes right after it waits for the next one, and no delete passes unjudged meanwhile."""
    names = [f"n{i:05}.md" for i in range(6000)]
    harness = EngineHarness(hub=True)
    harness.setup = structs.replace(harness.setup, batch_items=10_000)
    harness.restart()
    harness.begin({name: name for name in names})
    ids = harness.answer(*[Result.APPLIED] * len(names))
    drain(harness, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    harness.effects.clear()
    deletes(harness, *names[:20])
    assert len(harness.take(e.Send).parcels) == 20
    asked: list[str] = []
    harness.index.connection.set_trace_callback(asked.append)
    for name in names[100:110]:
        deletes(harness, name)
    harness.index.connection.set_trace_callback(None)
    assert sum("FROM removals r" in statement for statement in asked) <= 1
    assert harness.engine.view().state is SourceState.SYNCING
    harness.now += 1
    harness.tell(m.TimePassed())
    assert harness.engine.held is None
