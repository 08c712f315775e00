"""What a program writes into a file that the agent moved to the trash is found, rescued and named by its hash."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome
from agent.disk.apply.late_writes import LateWrite, accept, find_late_writes
from disk.fixtures import NOW, Room, age, intent, sha

OLD, NEW, LATE = b"old\n", b"new\n", b"written late\n"
leases = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has a file open")


def replaced(room: Room) -> None:
    job = intent("a.md", NEW, OLD)
    assert room.installer.apply([(job, NEW)], NOW)[0].landing is ApplyOutcome.DONE
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
