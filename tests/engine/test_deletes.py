"""Deletes in the engine: judged together, held until a person decides, and brought back as a whole."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Mode, Reason
from agent.core.remote_records import Outcome, RemoteFile, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import SOURCE, EngineHarness, delete, drain, seen, sha, upsert

NAMES = [f"n{i:03}.md" for i in range(100)]


def synced(texts: dict[str, str], *, quiet: float = 0.0, mode: Mode = Mode.BIDIRECTIONAL) -> EngineHarness:
    """A folder and a server that hold these texts, long enough ago that none of them counts as an arrival."""
    harness = EngineHarness(hub=True, mode=mode, deletes_quiet=quiet)
    harness.begin(dict(texts))
    position = 100
    while harness.wants(e.Send):
        send = next_batch(harness)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        echoes = []
        for parcel in send.parcels:
            position += 1
            operation = parcel.operation
            echoes.append(upsert(operation.path, texts[operation.path], position, operation.id))
        drain(harness, *echoes)
    harness.now += 4000
    harness.effects.clear()
    return harness


def next_batch(harness: EngineHarness) -> e.Send:
    """The first batch that is asked for; it counts as taken."""
    send = next(effect for effect in harness.effects if isinstance(effect, e.Send))
    harness.effects.remove(send)
    return send


def scanned(harness: EngineHarness, found: dict[str, str | None]) -> None:
    """One scan finds these files, or that they are missing."""
    harness.tell(m.ScanResults(tuple(seen(path, text) for path, text in found.items())))


def sent_deletes(harness: EngineHarness) -> list[str]:
    """The paths of the deletes that are asked for; they are acknowledged."""
    paths: list[str] = []
    while harness.wants(e.Send):
        send = next_batch(harness)
        paths += [parcel.operation.path for parcel in send.parcels]
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        echoes = [delete(p.operation.path, harness.cursor + 1 + i, p.operation.id) for i, p in enumerate(send.parcels)]
        drain(harness, *echoes)
    return paths


def held_paths(harness: EngineHarness) -> set[str]:
    """The paths of the plan that waits for a person."""
    return set() if harness.engine.held is None else {path for path, _ in harness.engine.held.files}


def test_fb1_a_held_plan_that_shrinks_stays_held() -> None:
    """FB1: of 30 held deletes 11 are put back by hand; the other 19 wait on, and are gone only when all are back."""
    harness = synced({name: name for name in NAMES})
    scanned(harness, dict.fromkeys(NAMES[:30]))
    assert held_paths(harness) == set(NAMES[:30])
    scanned(harness, {name: name for name in NAMES[:11]})
    assert held_paths(harness) == set(NAMES[11:30]) and not harness.wants(e.Send)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.tell(m.ScanFinished())
    harness.rest()
    assert held_paths(harness) == set(NAMES[11:30]) and not harness.wants(e.Send)
    scanned(harness, {name: name for name in NAMES[11:30]})
    assert harness.engine.held is None and harness.index.sources.get(SOURCE).held_since is None
    scanned(harness, dict.fromkeys(NAMES[:1]))
    assert sent_deletes(harness) == NAMES[:1]


def listing_of(texts: dict[str, str]) -> tuple[RemoteFile, ...]:
    """The server's listing of these texts."""
    return tuple(RemoteFile(path, sha(text)) for path, text in texts.items())


def verified(harness: EngineHarness, *, ticket: int = 1) -> None:
    """A pass with its verification, and the second listing that follows a missing file."""
    for _ in range(3):
        harness.tell(m.SyncNow(ticket))
        if harness.wants(e.ScanFolder):
            harness.take(e.ScanFolder)
            harness.tell(m.ScanFinished())
        harness.rest()
        harness.now += 10
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.PassFinished)]


def test_fb2_a_listing_that_comes_back_deletes_nothing() -> None:
    """FB2: an empty listing is followed by a full one; every delete it asked for is dropped at once."""
    texts = {name: name for name in NAMES}
    harness = synced(texts)
    harness.listing = ()
    verified(harness)
    assert held_paths(harness) == set(NAMES)
    harness.listing = listing_of(texts)
    verified(harness)
    assert harness.engine.held is None
    assert not harness.wants(e.ApplyChanges) and not harness.wants(e.FetchHead) and not harness.wants(e.Send)
    assert all(harness.trees(name) == (sha(name),) * 3 for name in NAMES)


def test_fb2_an_approved_plan_is_checked_again_as_a_whole() -> None:
    """FB2: between the approval and the deletes the listing comes back; no part of the plan is carried out."""
    texts = {name: name for name in NAMES}
    harness = synced(texts)
    harness.listing = ()
    verified(harness)
    held = harness.engine.held
    assert held is not None
    harness.listing = listing_of(texts)
    harness.tell(m.ApproveDeletes(held.plan))
    assert not harness.wants(e.ApplyChanges)
    harness.rest()
    harness.now += 10
    harness.tell(m.TimePassed())
    assert not harness.wants(e.ApplyChanges)
    assert all(harness.trees(name) == (sha(name),) * 3 for name in NAMES)


def test_fb2_an_approved_plan_that_is_still_due_is_carried_out() -> None:
    """FB2: the server still lists nothing, as the person said; the files go to the trash."""
    harness = synced({name: name for name in NAMES[:12]})
    harness.listing = ()
    verified(harness)
    held = harness.engine.held
    assert held is not None
    harness.tell(m.ApproveDeletes(held.plan))
    harness.rest()
    assert {intent.path for intent, _ in harness.take(e.ApplyChanges).jobs} == set(NAMES[:12])


def test_fb3_one_arrival_excuses_one_delete() -> None:
    """FB3: 199 of 200 files of one text are deleted and one copy of it is new: all 199 are held."""
    names = [f"t{i:03}.md" for i in range(200)]
    harness = synced(dict.fromkeys(names, "template"))
    harness.saves("copy.md", "template")
    harness.answer(Result.APPLIED)
    drain(harness, upsert("copy.md", "template", harness.cursor + 1))
    scanned(harness, dict.fromkeys(names[1:]))
    assert held_paths(harness) == set(names[1:]) and not harness.wants(e.Send)


def test_fb3_as_many_arrivals_as_deletes_excuse_them() -> None:
    """FB3: a folder of equal files is renamed while the agent does not look: nothing is held."""
    names = [f"old/{i:02}.md" for i in range(30)]
    harness = synced(dict.fromkeys(names, "template"))
    moved = {name.replace("old", "new"): "template" for name in names}
    scanned(harness, {**dict.fromkeys(names), **moved})
    while harness.wants(e.Send):
        send = next_batch(harness)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    assert harness.engine.held is None
    assert all(harness.row(name).base.hash is None for name in names)


def test_fb4_deletes_wait_for_one_quiet_second() -> None:
    """FB4: 14 of 20 files go one after the other; none is sent before their number is known."""
    names = NAMES[:20]
    harness = synced({name: name for name in names}, quiet=1.0)
    for name in names[:14]:
        scanned(harness, {name: None})
        assert not harness.wants(e.Send)
        harness.now += 0.2
    harness.now += 1.0
    harness.tell(m.TimePassed())
    assert held_paths(harness) == set(names[:14]) and not harness.wants(e.Send)


def test_fb4_a_few_deletes_go_after_the_quiet_second() -> None:
    """FB4: the engine asks to be woken for them, and is not at rest before."""
    harness = synced({name: name for name in NAMES}, quiet=1.0)
    scanned(harness, dict.fromkeys(NAMES[:2]))
    assert not harness.wants(e.Send)
    assert any(isinstance(x, e.SetTimer) and x.moment == harness.now + 1.0 for x in harness.effects)
    harness.now += 1.0
    harness.tell(m.TimePassed())
    assert sent_deletes(harness) == NAMES[:2]


def test_fb4_an_endless_trickle_is_judged_all_the_same() -> None:
    """FB4: deletes that never pause for a second are judged after half a minute."""
    harness = synced({name: name for name in NAMES}, quiet=1.0)
    for name in NAMES[:40]:
        scanned(harness, {name: None})
        harness.now += 0.9
    assert held_paths(harness)


def test_fb5_a_rename_known_by_its_inode_is_no_delete() -> None:
    """FB5: in a vault of 21 files 10 empty notes are renamed and filled at once: nothing is held."""
    empty = {f"Untitled {i}.md": "" for i in range(10)}
    harness = synced({**empty, **{name: name for name in NAMES[:11]}})
    renamed = {old: f"Note {i}.md" for i, old in enumerate(empty)}
    inodes = {old: seen(old, "").fingerprint.inode for old in empty}  # type: ignore[union-attr]
    harness.tell(
        m.ScanResults(
            tuple(seen(old, None) for old in empty)
            + tuple(seen(new, f"filled {new}", inodes[old], 1) for old, new in renamed.items())
        )
    )
    while harness.wants(e.Send):
        send = next_batch(harness)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    assert harness.engine.held is None
    assert all(harness.row(old).base.hash is None for old in renamed)
    scanned(harness, dict.fromkeys(NAMES[:1]))
    assert sent_deletes(harness) == NAMES[:1]


def test_fb5_other_names_of_one_hard_link_are_deletes() -> None:
    """FB5: twenty names of one file share an inode; one new name of it excuses one delete, not all."""
    names = NAMES[:20]
    harness = synced({name: name for name in names})
    harness.tell(m.ScanResults(tuple(seen(name, "same", 7) for name in names)))
    while harness.wants(e.Send):
        send = next_batch(harness)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    harness.now += 4000
    harness.tell(m.ScanResults((*(seen(name, None) for name in names[1:]), seen("new.md", "other", 7, 0))))
    while harness.wants(e.Send):
        send = next_batch(harness)
        assert [parcel.operation.path for parcel in send.parcels] in (["new.md"], [names[1]])
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    assert held_paths(harness) == set(names[2:])


def reused(born_ns: int | None, text: str) -> EngineHarness:
    """Of 40 files 14 are deleted, and 14 new files with a text of their own or the old ones get the same inodes."""
    names = NAMES[:40]
    harness = synced({name: name for name in names})
    new = []
    for name in names[:14]:
        mark = seen(name, name).fingerprint
        assert mark is not None
        new.append(seen(f"new {name}", text or name, mark.inode, born_ns))
    harness.tell(m.ScanResults((*(seen(name, None) for name in names[:14]), *new)))
    return harness


def test_fb5_a_reused_inode_is_no_rename() -> None:
    """FB5: a file that was born after the last change of the deleted one is another file; all 14 deletes are held."""
    assert held_paths(reused(2, "other")) == set(NAMES[:14])


def test_fb5_an_inode_without_birth_time_needs_the_same_text() -> None:
    """FB5: where the file system gives no birth time, an inode with another text excuses nothing."""
    assert held_paths(reused(None, "other")) == set(NAMES[:14])
    assert held_paths(reused(None, "")) == set()


def test_fb5_birth_times_are_kept_as_long_as_arrivals_count() -> None:
    """FB5: a file that was renamed while its delete waited is a rename; an hour later the birth time is dropped."""
    harness = reused(0, "other")
    births = harness.engine._ctx.in_flight.births
    mark = seen(NAMES[0], "").fingerprint
    assert mark is not None and held_paths(harness) == set()
    assert births.of(f"new {NAMES[0]}", mark.inode) == 0 and births.of(f"new {NAMES[0]}", 5) is None
    harness.now += 3601
    scanned(harness, {})
    assert births.of(f"new {NAMES[0]}", mark.inode) is None


def renamed_one_by_one(harness: EngineHarness, names: dict[str, str], texts: dict[str, str]) -> None:
    """Each file is renamed, and both sides agree on that before the next one is."""
    for old, new in names.items():
        mark = seen(old, texts[old]).fingerprint
        assert mark is not None
        harness.tell(m.ScanResults((seen(old, None), seen(new, texts[old], mark.inode, 1))))
        while harness.wants(e.Send):
            send = next_batch(harness)
            harness.answers(send, *[Result.APPLIED] * len(send.parcels))
            harness.rest()


def test_fb5_notes_renamed_one_by_one_and_filled_later() -> None:
    """FB5: ten notes are renamed one after the other and filled afterwards; the next delete is not held for it."""
    texts = {**{f"Untitled {i}.md": "" for i in range(10)}, **{name: name for name in NAMES[:11]}}
    harness = synced(texts)
    names = {f"Untitled {i}.md": f"Note {i}.md" for i in range(10)}
    renamed_one_by_one(harness, names, texts)
    for old, new in names.items():
        mark = seen(old, "").fingerprint
        assert mark is not None
        harness.tell(m.ScanResults((seen(new, f"filled {new}", mark.inode),)))
        send = next_batch(harness)
        harness.answers(send, *[Result.APPLIED] * len(send.parcels))
        harness.rest()
    scanned(harness, dict.fromkeys(NAMES[:1]))
    assert sent_deletes(harness) == NAMES[:1] and harness.engine.held is None


def test_fb5_a_folder_renamed_to_and_fro_is_no_delete() -> None:
    """FB5: 30 files are renamed, renamed back and renamed again, and edited at the last time: nothing is held."""
    texts = {f"old/{i:02}.md": f"text {i}" for i in range(30)}
    harness = synced(texts)
    inodes = {name: mark.inode for name in texts if (mark := seen(name, "").fingerprint) is not None}
    for number, (source, target) in enumerate([("old", "new"), ("new", "old"), ("old", "new")]):
        moved = []
        for name, inode in inodes.items():
            text = "edited" if number == 2 else texts[name]
            moved.append(seen(name.replace("old", source), None))
            moved.append(seen(name.replace("old", target), text + name, inode, 0) if number == 2 else
                         seen(name.replace("old", target), text, inode, 0))  # fmt: skip
        harness.tell(m.ScanResults(tuple(moved)))
        while harness.wants(e.Send):
            send = next_batch(harness)
            harness.answers(send, *[Result.APPLIED] * len(send.parcels))
            harness.rest()
        assert harness.engine.held is None
        assert all(harness.row(name.replace("old", source)).base.hash is None for name in texts)


def test_fb5_a_spent_rename_excuses_no_delete_of_its_text() -> None:
    """FB5: ten files of one text are renamed; after a restart the new names do not excuse ten deletes of that text."""
    texts = {**dict.fromkeys(NAMES[:30], "template"), "other.md": "other"}
    harness = synced(texts)
    renamed_one_by_one(harness, {name: f"new {name}" for name in NAMES[:10]}, texts)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.tell(m.ScanFinished())
    harness.rest()
    scanned(harness, dict.fromkeys(NAMES[10:20]))
    assert held_paths(harness) == set(NAMES[10:20]) and not harness.wants(e.Send)


def test_a_hidden_file_is_deleted_only_by_the_servers_word() -> None:
    """Both sides keep the others, which are named; they are ordinary files once they are listed again."""
    texts = {name: name for name in NAMES}
    harness = synced(texts)
    harness.setup = replace(harness.setup, hides_files=True)
    harness.engine.configure(harness.now, harness.setup)
    listed = tuple(RemoteFile(name, sha(name), None, f"id of {name}") for name in NAMES)
    harness.listing = listed
    verified(harness)
    harness.listing = ()
    verified(harness)
    assert held_paths(harness) == set() and not harness.wants(e.ApplyChanges)
    problems = harness.index.problems.all(SOURCE)
    assert {(p.path, p.reason) for p in problems} == {(name, Reason.NOT_LISTED) for name in NAMES}
    harness.listing = listed
    verified(harness)
    assert harness.index.problems.all(SOURCE) == []
    assert all(harness.trees(name) == (sha(name),) * 3 for name in NAMES)
    harness.listing, harness.gone = listed[2:], {NAMES[0]}
    verified(harness)
    assert [harness.trees(name)[2] for name in NAMES[:3]] == [None, sha(NAMES[1]), sha(NAMES[2])]
    assert [p.path for p in harness.index.problems.all(SOURCE)] == [NAMES[1]]


@pytest.mark.parametrize("hub", [True, False])
def test_a_delete_that_was_not_sent_ends_when_its_file_is_back(hub: bool) -> None:
    """Offline, a person deletes a file and makes it anew: that is one edit, and the file keeps its history."""
    harness = EngineHarness(hub=hub)
    harness.begin({}, upsert("a.md", "one", 1), upsert("b.md", "two", 2))
    harness.land("one", "two")
    harness.rest()
    scanned(harness, {"a.md": None})
    send = harness.take(e.Send)
    (parcel,) = send.parcels
    assert parcel.operation.verb is Verb.DELETE
    offline = Problem(ProblemKind.OFFLINE, "offline")
    harness.tell(m.BatchAnswered(send.number, (Outcome(parcel.operation.id, Result.NOT_SENT),), offline))
    scanned(harness, {"a.md": "anew"})
    harness.now += 600
    harness.tell(m.Retry(None))
    harness.rest()
    (parcel,) = harness.take(e.Send).parcels
    assert (parcel.operation.verb, parcel.operation.base, parcel.operation.hash) == (
        Verb.UPSERT,
        sha("one"),
        sha("anew"),
    )
