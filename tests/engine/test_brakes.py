"""The brakes: what is too much to be carried out without a person, and what is away and therefore not deleted."""

from __future__ import annotations

from msgspec import structs

from agent.core.model import ABSENT, ConflictKind, Presence, Reason, Result, Seen, Side, SourceState
from agent.core.reconcile import Step
from agent.core.stream import Event
from agent.engine import effects as e
from agent.engine import messages as m
from engine.pilot import SOURCE, Pilot, delete, seen, sha, upsert

NAMES = [f"n{i:02}.md" for i in range(20)]


def drain(pilot: Pilot, *events: Event) -> None:
    pilot.feed(*events)


def synced(names: list[str] = NAMES) -> Pilot:
    """A folder and a server that hold these files, each with its own name as text."""
    pilot = Pilot(hub=True)
    pilot.begin({name: name for name in names})
    ids = pilot.answer(*[Result.APPLIED] * len(names))
    drain(pilot, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    pilot.effects.clear()
    return pilot


def deletes(pilot: Pilot, *names: str) -> None:
    """The person removes these files."""
    pilot.tell(m.FilesSeen(tuple(seen(name, None) for name in names)))


def carried_out(pilot: Pilot) -> list[str]:
    """Answer the deletes that are sent; their paths. None where nothing is sent."""
    if not pilot.wants(e.Send):
        return []
    send = pilot.take(e.Send)
    paths = [parcel.operation.path for parcel in send.parcels]
    pending = [entry for entries in pilot.engine._desk.open_operations.values() for entry in entries]
    ids = {x.operation.path: x.operation.id for x in pending}
    parcels = tuple(e.Parcel(x.operation) for x in pending if x.operation.path in paths)
    pilot.effects.append(e.Send(send.number, parcels))
    pilot.answer(*[Result.APPLIED] * len(paths))
    drain(pilot, *[delete(path, pilot.cursor + 1 + i, ids[path]) for i, path in enumerate(paths)])
    return paths


def test_deletes_that_trickle_count_together() -> None:
    """Nine deletes pass and the tenth within the hour is held: a brake that counts moments would let all pass."""
    pilot = synced()
    for name in NAMES[:9]:
        deletes(pilot, name)
        assert carried_out(pilot) == [name]
        pilot.now += 60
    deletes(pilot, NAMES[9])
    assert carried_out(pilot) == []
    held = pilot.engine.held
    assert held is not None and {path for path, _ in held.files} == {NAMES[9]}
    assert pilot.engine.view().state is SourceState.HALTED


def test_deletes_an_hour_apart_do_not_count_together() -> None:
    pilot = synced()
    deletes(pilot, *NAMES[:9])
    assert len(carried_out(pilot)) == 9
    pilot.now += 3601
    deletes(pilot, NAMES[9])
    assert carried_out(pilot) == [NAMES[9]]


def test_what_is_held_does_not_become_harmless_by_waiting() -> None:
    """Nor by a restart: only a person lets the last delete pass."""
    pilot = synced()
    deletes(pilot, *NAMES[:9])
    carried_out(pilot)
    deletes(pilot, NAMES[9])
    pilot.now += 100_000
    pilot.tell(m.TimePassed())
    assert pilot.engine.held is not None and not pilot.wants(e.Send)
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.look({})
    drain(pilot)
    held = pilot.engine.held
    assert held is not None and not pilot.wants(e.Send)
    pilot.tell(m.ApproveDeletes(held.plan))
    assert carried_out(pilot) == [NAMES[9]]


def test_approved_deletes_do_not_count_towards_later_ones() -> None:
    """A person decided on them; what is asked next is the next few deletes."""
    pilot = synced()
    deletes(pilot, *NAMES[:12])
    held = pilot.engine.held
    assert held is not None
    pilot.tell(m.ApproveDeletes(held.plan))
    assert len(carried_out(pilot)) == 12
    deletes(pilot, *NAMES[12:14])
    assert carried_out(pilot) == NAMES[12:14]


def test_renames_that_trickle_do_not_count() -> None:
    """Every second file gets another name, one after the other: its text lives on."""
    pilot = synced()
    for name in NAMES[:12]:
        pilot.saves("renamed-" + name, name)
        (identifier,) = pilot.answer(Result.APPLIED)
        drain(pilot, upsert("renamed-" + name, name, pilot.cursor + 1, identifier))
        deletes(pilot, name)
        assert carried_out(pilot) == [name]


def test_a_file_that_was_deleted_and_made_again_does_not_count() -> None:
    """A program that replaces its files by deleting and creating them is not stopped."""
    pilot = synced()
    for round_number in range(12):
        deletes(pilot, NAMES[0])
        assert carried_out(pilot) == [NAMES[0]], round_number
        text = f"again {round_number}"
        pilot.saves(NAMES[0], text)
        (identifier,) = pilot.answer(Result.APPLIED)
        drain(pilot, upsert(NAMES[0], text, pilot.cursor + 1, identifier))


def test_deletes_from_the_server_that_trickle_are_held_too() -> None:
    pilot = synced()
    for name in NAMES[:9]:
        drain(pilot, delete(name, pilot.cursor + 1))
        pilot.land(None)
    drain(pilot, delete(NAMES[9], pilot.cursor + 1))
    assert not pilot.wants(e.Carry) and pilot.engine.held is not None


def test_a_server_that_suddenly_holds_nothing_is_mistrusted() -> None:
    """Three files and an empty listing: they are held however few they are, and brought back when a person says so."""
    pilot = synced(NAMES[:3])
    pilot.listing = ()
    for _ in range(3):
        pilot.tell(m.SyncNow(1))
        if pilot.wants(e.Look):
            pilot.look({})
        pilot.rest()
        pilot.now += 10
    assert not pilot.wants(e.Carry)
    held = pilot.engine.held
    assert held is not None and {path for path, _ in held.files} == set(NAMES[:3])
    pilot.tell(m.UndoDeletes())
    assert {parcel.operation.path for parcel in pilot.take(e.Send).parcels} == set(NAMES[:3])


def test_what_is_held_stays_held_while_other_deletes_go_by() -> None:
    """A rename an hour later is carried out, and makes nobody forget the nine that count with the tenth."""
    pilot = synced()
    deletes(pilot, *NAMES[:9])
    carried_out(pilot)
    pilot.now += 3000
    deletes(pilot, NAMES[9])
    pilot.now += 700
    pilot.saves("renamed.md", NAMES[15])
    ids = pilot.answer(Result.APPLIED)
    drain(pilot, upsert("renamed.md", NAMES[15], pilot.cursor + 1, ids[0]))
    deletes(pilot, NAMES[15])
    assert carried_out(pilot) == [NAMES[15]]
    pilot.tell(m.TimePassed())
    assert pilot.engine.held is not None and not pilot.wants(e.Send)


# File systems of their own below the root


def gone(path: str) -> Seen:
    return Seen(path, Side(Presence.UNKNOWN, reason=Reason.UNMOUNTED))


def with_mount() -> Pilot:
    """``disk`` is a file system of its own, and was seen as one."""
    pilot = synced(["a.md", "disk/b.md"])
    pilot.tell(m.LookAgain())
    pilot.take(e.Look)
    pilot.tell(m.LookEnded(mounts=frozenset({"disk"})))
    pilot.rest()
    pilot.effects.clear()
    return pilot


def lose_mount(pilot: Pilot) -> None:
    pilot.tell(m.LookAgain())
    pilot.take(e.Look)
    pilot.tell(m.FilesSeen((gone("disk/b.md"),)), m.LookEnded())


def test_a_file_system_that_went_deletes_nothing_and_halts() -> None:
    """The rest goes on; mounted again, nothing is asked."""
    pilot = with_mount()
    lose_mount(pilot)
    view = pilot.engine.view()
    assert view.state is SourceState.HALTED and view.halted and "disk" in view.halted and "resume" in view.halted
    assert not pilot.wants(e.Send)
    pilot.saves("a.md", "edited")
    pilot.answer(Result.APPLIED)
    pilot.tell(m.LookAgain())
    pilot.take(e.Look)
    pilot.tell(m.FilesSeen((seen("disk/b.md", "disk/b.md"),)), m.LookEnded(mounts=frozenset({"disk"})))
    assert pilot.engine.view().halted is None and not pilot.wants(e.Send)


def test_a_file_system_is_known_by_the_first_file_seen_in_it() -> None:
    """A look that breaks off says at its end nothing of the file systems it met; their files were seen all the same."""
    pilot = synced(["a.md", "disk/b.md"])
    pilot.tell(m.LookAgain())
    pilot.take(e.Look)
    pilot.tell(m.FilesSeen((seen("disk/b.md", "disk/b.md"),), mounts=frozenset({"disk"})), m.LookEnded("gone"))
    assert pilot.index.notes.standing(SOURCE).mounts == {"disk"}


def test_going_on_without_a_file_system_deletes_nothing_either() -> None:
    """Resumed, its files are missing here and come from the server."""
    pilot = with_mount()
    lose_mount(pilot)
    pilot.tell(m.Resume())
    pilot.take(e.Look)
    pilot.tell(m.FilesSeen((seen("disk/b.md", None),)), m.LookEnded())
    pilot.rest()
    assert not pilot.wants(e.Send)
    assert pilot.row("disk/b.md").base == ABSENT and pilot.wants(e.AskHead)


def test_one_file_that_went_with_its_file_system_has_all_looked_for() -> None:
    pilot = with_mount()
    pilot.tell(m.FilesSeen((gone("disk/b.md"),)))
    assert pilot.wants(e.Look) and not pilot.wants(e.Send)


def test_a_file_that_shrank_waits_for_a_person() -> None:
    """It is neither sent nor deleted; asked to try again, it is looked at without what was known of it."""
    pilot = synced(["a.md", "b.md"])
    row = pilot.row("a.md")
    shrunk = Side(Presence.UNKNOWN, None, 4, Reason.SHRUNK)
    pilot.tell(m.FilesSeen((Seen("a.md", shrunk, row.fingerprint),)))
    assert not pilot.wants(e.Send) and pilot.engine.view().state is SourceState.ERROR
    assert pilot.row("a.md").fingerprint == row.fingerprint
    pilot.tell(m.Retry(("a.md",)))
    assert pilot.row("a.md").fingerprint is None and pilot.wants(e.Look)


def test_in_a_folder_that_took_the_linked_ones_place_nothing_was_deleted() -> None:
    """What it lacks comes from the server again; another text in it may be an edit or an older state, and is parked."""
    pilot = synced(["a.md", "b.md", "same.md"])
    standing = pilot.index.notes.standing(SOURCE)
    pilot.index.notes.set_standing(SOURCE, structs.replace(standing, moved=True))
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.look({"a.md": None, "b.md": "another"})
    drain(pilot)
    (parked,) = pilot.conflicts()
    assert (parked.path, parked.kind) == ("b.md", ConflictKind.NO_BASE)
    assert pilot.wants(e.AskHead) and not pilot.index.notes.standing(SOURCE).moved
    assert all(parcel.operation.base is None for parcel in pilot.take(e.Send).parcels)


def test_nor_was_anything_deleted_there_that_cannot_be_seen_or_moved_on_meanwhile() -> None:
    """A file newer on the server comes whole instead of being disputed; one that was hidden comes once it is missed."""
    pilot = synced(["a.md", "b.md", "c.md"])
    pilot.tell(m.Pause(float("inf")))
    drain(pilot, upsert("a.md", "newer", pilot.cursor + 1))
    standing = pilot.index.notes.standing(SOURCE)
    pilot.index.notes.set_standing(SOURCE, structs.replace(standing, moved=True))
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.take(e.Look)
    hidden = Seen("b.md", Side(Presence.UNKNOWN, reason=Reason.UNREADABLE))
    pilot.tell(m.FilesSeen((seen("a.md", None), hidden)), m.LookEnded())
    drain(pilot)
    pilot.saves("b.md", None)
    assert pilot.conflicts() == [] and not pilot.wants(e.Send)
    assert [pilot.row(path).step for path in ("a.md", "b.md")] == [Step.PULL, Step.PULL]


def test_a_text_owed_to_the_trash_is_offered_until_the_disk_has_it() -> None:
    """Over a full disk and over a restart, and its bytes are not tidied away meanwhile."""
    pilot = Pilot()
    pilot.begin({})
    pilot.index.conflicts.put_text(sha("precious"), b"precious")
    pilot.engine._stashing.owe("a.md", sha("precious"), "conflict")
    pilot.tell(m.TimePassed())
    first = pilot.take(e.Stash)
    pilot.tell(m.Stashed(first.stash_id, "No space left on device"))
    assert not pilot.wants(e.Stash)
    pilot.index.conflicts.prune_texts(())
    pilot.now += 31
    pilot.tell(m.TimePassed())
    assert pilot.take(e.Stash) == first
    pilot.restart()
    assert pilot.take(e.Stash) == first
    pilot.tell(m.Stashed(first.stash_id))
    pilot.restart()
    assert not pilot.wants(e.Stash)


def test_a_costly_judgement_is_not_made_at_every_step() -> None:
    """Of many files: what changes right after it waits for the next one, and no delete passes unjudged meanwhile."""
    names = [f"n{i:05}.md" for i in range(6000)]
    pilot = Pilot(hub=True)
    pilot.setup = structs.replace(pilot.setup, batch_items=10_000)
    pilot.restart()
    pilot.begin({name: name for name in names})
    ids = pilot.answer(*[Result.APPLIED] * len(names))
    drain(pilot, *[upsert(name, name, 100 + i, ids[i]) for i, name in enumerate(names)])
    pilot.effects.clear()
    deletes(pilot, *names[:20])
    assert len(pilot.take(e.Send).parcels) == 20
    asked: list[str] = []
    pilot.index.connection.set_trace_callback(asked.append)
    for name in names[100:110]:
        deletes(pilot, name)
    pilot.index.connection.set_trace_callback(None)
    assert sum("FROM removals r" in statement for statement in asked) <= 1
    assert pilot.engine.view().state is SourceState.SYNCING
    pilot.now += 1
    pilot.tell(m.TimePassed())
    assert pilot.engine.held is None
