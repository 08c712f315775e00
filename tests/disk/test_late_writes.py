"""What a program writes into a file that the agent moved to the trash is found, rescued and named by its hash."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome
from agent.disk.apply.late_writes import LateWrite, accept, find_late_writes
from disk.fixtures import NOW, Crash, Room, WrappedFs, age, inline, intent, open_room, sha

OLD, NEW, LATE = b"old\n", b"new\n", b"written late\n"
leases = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has a file open")


def replaced(room: Room) -> None:
    job = intent("a.md", NEW, OLD)
    assert room.installer.apply(inline([(job, NEW)]), NOW)[0].landing is ApplyOutcome.DONE
    room.installer.release([job.id])


def late_writes(room: Room, now: float | None = None) -> list[LateWrite]:
    return list(find_late_writes(room.fs, room.trash, time.time() + 60 if now is None else now))


def the_entry(room: Room) -> tuple[str, Path]:
    (entry,) = room.trash.entries()
    (path,) = room.state.rglob(entry.name)
    return entry.id, path


def test_a_file_that_no_process_can_change_is_not_watched(room: Room) -> None:
    """The common case costs nothing later."""
    (room.folder / "a.md").write_bytes(OLD)
    replaced(room)
    assert list(room.trash.watched()) == [] and room.staging() == []


@leases
def test_fd3_a_write_through_an_open_handle_is_found(room: Room) -> None:
    """FD3: the program that kept the file open writes after the swap."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    with file.open("r+b") as handle:
        replaced(room)
        assert late_writes(room) == []
        assert len(list(room.trash.watched())) == 1
        handle.write(LATE)
    found = late_writes(room)
    assert [(late.content, late.hash, late.entry.hash) for late in found] == [(LATE, sha(LATE), sha(OLD))]
    assert found[0].rescue_path == f"a (written late {sha(LATE)[:8]}).md"
    with pytest.raises(DiskError, match="changed"):
        room.trash.read(found[0].entry.id)
    accept(room.fs, room.trash, found[0])
    (entry,) = room.trash.entries()
    assert entry.hash == sha(LATE) and room.trash.read(entry.id) == LATE
    assert late_writes(room) == [] and room.staging() == []


@leases
def test_fd3_a_file_still_being_written_is_left_alone(room: Room) -> None:
    """FD3: bytes count as complete after a while of quiet, sooner once the program has closed the file."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    with file.open("r+b") as handle:
        replaced(room)
        handle.write(LATE)
        handle.flush()
        written = os.fstat(handle.fileno()).st_mtime
        assert late_writes(room, written + 5) == []
        (late,) = late_writes(room, written + 11)
        accept(room.fs, room.trash, late)
        handle.write(b"and more\n")
    (again,) = late_writes(room)
    assert again.content == LATE + b"and more\n" and again.entry.hash == sha(LATE)


def test_fd3_a_write_through_a_second_link_is_found(room: Room) -> None:
    """FD3: the other name of the file leads to the trash entry; it stays watched as long as it has two names."""
    file, other = room.folder / "a.md", room.folder / "other-link"
    file.write_bytes(OLD)
    os.link(file, other)
    replaced(room)
    for text in (LATE, b"twice\n"):
        other.write_bytes(text)
        (late,) = late_writes(room)
        assert late.content == text
        accept(room.fs, room.trash, late)
    other.unlink()
    assert late_writes(room) == [] and list(room.trash.watched()) == []


def test_fd3_a_changed_entry_is_not_pruned_before_it_is_rescued(room: Room) -> None:
    """FD3: retention waits for the rescue, and the record of an entry goes with it."""
    file, other = room.folder / "a.md", room.folder / "other-link"
    file.write_bytes(OLD)
    os.link(file, other)
    replaced(room)
    other.write_bytes(LATE)
    assert room.trash.prune(NOW + 10**7, 1, 0, lambda _: True) == []
    (late,) = late_writes(room)
    accept(room.fs, room.trash, late)
    assert [entry.hash for entry in room.trash.prune(NOW + 10**7, 1, 0, lambda _: True)] == [sha(LATE)]
    assert room.staging() == []


def test_fd3_another_time_without_other_bytes_is_no_change(room: Room) -> None:
    """FD3: only the bytes count."""
    file, other = room.folder / "a.md", room.folder / "other-link"
    file.write_bytes(OLD)
    os.link(file, other)
    replaced(room)
    age(other, 5)
    assert late_writes(room) == []
    assert len(list(room.trash.watched())) == 1


def test_fd3_a_restore_never_returns_other_bytes(room: Room) -> None:
    """FD3: an entry changed by other means, unseen, is refused too."""
    (room.folder / "a.md").write_bytes(OLD)
    replaced(room)
    entry_id, path = the_entry(room)
    path.write_bytes(LATE)
    with pytest.raises(DiskError, match="changed"):
        room.trash.read(entry_id)


def test_fd3_an_early_watch_record_is_kept(room: Room) -> None:
    """FD3: another thread reads the records while the folder's thread is between the record and the move."""
    file, other = room.folder / "a.md", room.folder / "other-link"
    file.write_bytes(OLD)
    os.link(file, other)
    seen: list[str] = []

    def before(name: str, args: tuple[Any, ...]) -> None:
        if not seen and name == "rename_noreplace" and sha(OLD) in str(args):
            seen.append(name)
            assert late_writes(room) == [] and list(room.trash.watched()) == []

    room.close()
    room = open_room(room.folder, room.state, WrappedFs(before))
    replaced(room)
    assert seen
    other.write_bytes(LATE)
    assert [late.content for late in late_writes(room)] == [LATE]
    room.close()


def test_fd3_a_watch_record_is_never_half_written(room: Room) -> None:
    """FD3: a reader finds no record, or a whole one; what a crash left of one is removed by recovery."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    os.link(file, room.folder / "other-link")
    staged: list[str] = []

    def before(name: str, args: tuple[Any, ...]) -> None:
        if name == "write" and args[1].endswith(b"\n") and sha(OLD).encode() in args[1]:
            staged.extend(room.staging())
            raise Crash

    room.close()
    room = open_room(room.folder, room.state, WrappedFs(before))
    with pytest.raises(Crash):
        replaced(room)
    assert staged and not any(name.endswith(".watch") for name in staged)
    room.close()
    room = open_room(room.folder, room.state)
    room.installer.recover([intent("a.md", NEW, OLD)], NOW)
    assert len(list(room.trash.watched())) == 1
    assert [name.rpartition(".")[2] for name in room.staging()] == ["watch"]
    room.close()


def test_fd3_a_crash_during_the_renaming_keeps_the_watch(room: Room) -> None:
    """FD3: the entry got its new name, and the record names the old one: recovery corrects the record."""
    file, other = room.folder / "a.md", room.folder / "other-link"
    file.write_bytes(OLD)
    os.link(file, other)
    replaced(room)
    other.write_bytes(LATE)
    (late,) = late_writes(room)
    room.trash.correct(late.entry, late.hash)
    room.installer.recover([], NOW)
    assert late_writes(room) == []
    other.write_bytes(b"twice\n")
    assert [again.content for again in late_writes(room)] == [b"twice\n"]


def test_fd3_a_record_without_an_entry_ends_at_recovery(room: Room) -> None:
    """FD3: somebody removed the entry by hand."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    os.link(file, room.folder / "other-link")
    replaced(room)
    the_entry(room)[1].unlink()
    assert list(room.trash.watched()) == [] and room.staging() != []
    room.installer.recover([], NOW)
    assert room.staging() == []


@leases
def test_fd3_a_second_write_during_the_rescue_is_found(room: Room) -> None:
    """FD3: the program writes again and closes the file before the rescue is complete."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    with file.open("r+b") as handle:
        replaced(room)
        handle.write(LATE)
        handle.flush()
        (late,) = late_writes(room)
        handle.write(b"and more\n")
    accept(room.fs, room.trash, late)
    (again,) = late_writes(room)
    assert again.content == LATE + b"and more\n" and again.entry.hash == sha(LATE)


@leases
def test_fd3_the_last_write_before_a_close_is_found(room: Room) -> None:
    """FD3: the program writes and closes the file between the two checks of its entry."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    handle = file.open("r+b")

    def before(name: str, args: tuple[Any, ...]) -> None:
        if name == "may_be_written" and not handle.closed:
            handle.write(LATE)
            handle.close()

    replaced(room)
    room.close()
    room = open_room(room.folder, room.state, WrappedFs(before))
    found = late_writes(room) + late_writes(room)
    assert {late.content for late in found} == {LATE}
    room.close()


@leases
def test_fd3_a_write_after_the_hash_is_found(room: Room) -> None:
    """FD3: the program writes and closes the file after the agent hashed it, before the move to the trash."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    age(file)
    handle = file.open("r+b")
    before_move = room.trash.move_in

    def move_in(staged: str, path: str, **named: Any) -> None:
        handle.write(LATE)
        handle.close()
        before_move(staged, path, **named)

    room.trash.move_in = move_in  # type: ignore[method-assign]
    replaced(room)
    (late,) = late_writes(room)
    assert late.content == LATE and late.entry.hash == sha(OLD)
