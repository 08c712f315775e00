"""New files that are copied from another file of the folder, so that no byte is fetched twice."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.model import ApplyOutcome, ApplyResult, Intent, Purpose
from agent.core.supply import FromFolder, Inline, Supply
from agent.disk.apply.install import Installer
from agent.disk.scan.digest import CHUNK, HELD, ReadInterrupted
from agent.disk.scan.observe import observe_path
from agent.disk.selection.rules import Rules
from disk.fixtures import NOW, Crash, Room, WithoutExchange, WrappedFs, crash_at, intent, open_room, sha

NEW, OLD, MINE = b"new text, longer\n", b"old text\n", b"the user's own text\n"


def copy(room: Room, job: Intent, source: str) -> ApplyResult:
    return room.installer.apply([(job, FromFolder(source))], NOW)[0]


@pytest.mark.parametrize("expected", [None, OLD])
def test_a_file_is_copied_within_the_folder(room: Room, expected: bytes | None) -> None:
    (room.folder / "d").mkdir()
    (room.folder / "d/source.md").write_bytes(NEW)
    if expected is not None:
        (room.folder / "a.md").write_bytes(expected)
    job = intent("a.md", NEW, expected)
    landed = copy(room, job, "d/source.md")
    assert landed.landing is ApplyOutcome.DONE
    assert (room.folder / "a.md").read_bytes() == (room.folder / "d/source.md").read_bytes() == NEW
    assert (room.folder / "a.md").stat().st_ino != (room.folder / "d/source.md").stat().st_ino
    assert landed.seen is not None
    assert landed.seen == structs.replace(observe_path(room.root, room.selection, "a.md"), born_ns=None)
    assert room.trashed() == (set() if expected is None else {OLD})
    room.installer.release([job.id])
    assert room.staging() == []


def test_a_copy_of_a_private_file_is_private(room: Room) -> None:
    """A new path takes the attributes of the copied file; a replaced file keeps its own."""
    source, taken = room.folder / "source.md", room.folder / "taken.md"
    source.write_bytes(NEW)
    source.chmod(0o600)
    taken.write_bytes(OLD)
    taken.chmod(0o664)
    assert copy(room, intent("a.md", NEW, None), "source.md").landing is ApplyOutcome.DONE
    assert copy(room, intent("taken.md", NEW, OLD, 2), "source.md").landing is ApplyOutcome.DONE
    assert [(room.folder / name).stat().st_mode & 0o777 for name in ("a.md", "taken.md")] == [0o600, 0o664]


@pytest.mark.parametrize("case", ["other", "missing", "folder", "link", "outside", "below_a_link", "pipe"])
def test_another_source_is_not_copied(room: Room, tmp_path: Path, case: str) -> None:
    """CHANGED, so that the bytes are fetched instead; nothing outside the folder is read."""
    secret = tmp_path / "secret.md"
    secret.write_bytes(NEW)
    source = "source.md"
    match case:
        case "other":
            (room.folder / source).write_bytes(MINE)
        case "folder":
            (room.folder / source).mkdir()
        case "link":
            (room.folder / source).symlink_to(secret)
        case "outside":
            source = "../secret.md"
        case "below_a_link":
            (room.folder / "d").symlink_to(tmp_path)
            source = "d/secret.md"
        case "pipe":
            os.mkfifo(room.folder / source)
    landed = copy(room, intent("a.md", NEW, None), source)
    assert (landed.landing, landed.text) == (
        ApplyOutcome.CHANGED,
        f"'{source}' does not hold the bytes that were to be copied from it",
    )
    assert not (room.folder / "a.md").exists()
    assert room.staging() == []


def test_two_files_change_places_by_copies(room: Room) -> None:
    """Every copy of a group is made before the first file is replaced."""
    (room.folder / "a.md").write_bytes(OLD)
    (room.folder / "b.md").write_bytes(NEW)
    jobs: list[tuple[Intent, Supply]] = [
        (intent("a.md", NEW, OLD, 1), FromFolder("b.md")),
        (intent("b.md", OLD, NEW, 2), FromFolder("a.md")),
    ]
    assert [landed.landing for landed in room.installer.apply(jobs, NOW)] == [ApplyOutcome.DONE] * 2
    assert ((room.folder / "a.md").read_bytes(), (room.folder / "b.md").read_bytes()) == (NEW, OLD)


def test_a_copied_file_may_be_removed_in_the_same_group(room: Room) -> None:
    (room.folder / "a.md").write_bytes(NEW)
    jobs: list[tuple[Intent, Supply]] = [
        (intent("a.md", None, NEW, 1), Inline(b"")),
        (intent("b.md", NEW, None, 2), FromFolder("a.md")),
    ]
    assert [landed.landing for landed in room.installer.apply(jobs, NOW)] == [ApplyOutcome.DONE] * 2
    assert (room.folder / "b.md").read_bytes() == NEW
    assert not (room.folder / "a.md").exists()
    assert room.trashed() == {NEW}


@pytest.mark.parametrize("kind", [WrappedFs, WithoutExchange])
@pytest.mark.parametrize("edit", [False, True])
def test_a_copy_is_whole_whatever_happens(folder: Path, state: Path, kind: type[WrappedFs], edit: bool) -> None:
    """A crash, or a save of the source, at any call: the path holds the bytes of the hash or no file."""
    source, path = folder / "source.md", folder / "a.md"
    for number in range(1, 200):
        source.write_bytes(NEW)
        count = 0

        def save(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                with source.open("r+b") as file:
                    file.write(MINE[:3])

        fs = kind()
        room = open_room(folder, state, fs)
        fs.before = save if edit else crash_at(number)
        job = intent("a.md", NEW, None, number)
        crashed = False
        try:
            landing = copy(room, job, "source.md").landing
        except Crash:
            crashed = True
        fs.before = None
        room.close()
        room = open_room(folder, state, fs)
        if crashed:
            landing = room.installer.recover([job], NOW)[0].landing
        room.installer.release([job.id])
        assert (path.read_bytes() if path.exists() else None) == (NEW if landing is ApplyOutcome.DONE else None)
        assert room.staging() == []
        assert room.trashed() == set()
        room.close()
        path.unlink(missing_ok=True)
        if not crashed and (not edit or count < number):
            assert number > 10
            return
    pytest.fail("there are more calls than were tried")


def test_a_large_copy_is_never_held_in_memory(folder: Path, state: Path) -> None:
    room = open_room(folder, state, rules=Rules(include=("**",)))
    piece = bytes(range(256)) * (CHUNK // 256)
    with (folder / "source.bin").open("wb") as file:
        for _ in range(24):
            file.write(piece)
    digest = sha(piece * 24)
    tracemalloc.start()
    try:
        landed = copy(room, Intent("00000000000000aa", "a.bin", digest, None, Purpose.PULL), "source.bin")
        assert landed.landing is ApplyOutcome.DONE
        assert tracemalloc.get_traced_memory()[1] < HELD + 2 * CHUNK
    finally:
        tracemalloc.stop()
    room.close()


def test_a_stop_ends_a_copy(room: Room) -> None:
    """The recovery removes what was copied so far."""
    (room.folder / "source.md").write_bytes(NEW)
    stopping = Installer(room.root, room.trash, room.selection, interrupted=lambda: True)
    job = intent("a.md", NEW, None)
    with pytest.raises(ReadInterrupted):
        stopping.apply([(job, FromFolder("source.md"))], NOW)
    assert room.installer.recover([job], NOW)[0].landing is ApplyOutcome.CHANGED
    assert room.staging() == []
