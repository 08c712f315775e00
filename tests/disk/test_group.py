"""A group of changes behind one mark: what was put in place is told from what was not, whatever happens in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import ApplyOutcome, Intent
from agent.disk.fs import syscalls
from agent.disk.scan.parent_cache import KEPT_FOR
from disk.fixtures import NOW, Crash, Room, WithoutExchange, WrappedFs, crash_at, inline, intent, open_room, sha

OLD, NEW, MINE = b"old text\n", b"new text, longer\n", b"the user's own text\n"
PATHS = ("d/a.md", "d/b.md", "e/f/c.md", "replaced.md")
BLOCKED = "full/x.md"


def member(number: int, path: str, new: bytes | None, expected: bytes | None) -> Intent:
    """An intent of the one group of these tests."""
    lone = intent(path, new, expected)
    return Intent(f"00000000000000aa_{number}", path, lone.new, lone.expected, lone.purpose)


def group() -> list[tuple[Intent, bytes]]:
    """Three new files, a replacement, and a new file that cannot be made."""
    jobs = [(member(number, path, NEW, None), NEW) for number, path in enumerate(PATHS[:3])]
    jobs.append((member(3, PATHS[3], NEW, OLD), NEW))
    jobs.append((member(4, BLOCKED, NEW, None), NEW))
    return jobs


def prepare(folder: Path, state: Path) -> None:
    for path in [*folder.rglob("*"), *state.rglob("*")]:
        if path.is_file():
            path.unlink()
    (folder / PATHS[3]).write_bytes(OLD)
    (folder / "full").write_bytes(MINE)


def names(room: Room) -> list[str]:
    return [name.rpartition(".")[2] for name in room.staging()]


@pytest.mark.parametrize("kind", [WrappedFs, WithoutExchange])
def test_a_crash_in_a_group_leaves_files_whole_and_recoverable(
    folder: Path, state: Path, kind: type[WrappedFs]
) -> None:
    """A crash anywhere in a group leaves each file whole and recovery says which."""
    for number in range(1, 400):
        prepare(folder, state)
        fs = kind()
        room = open_room(folder, state, fs)
        fs.before = crash_at(number)
        crashed = False
        try:
            room.installer.apply(inline(group()), NOW)
        except Crash:
            crashed = True
        fs.before = None
        room.close()
        stood = {path: (folder / path).read_bytes() if (folder / path).exists() else None for path in PATHS}
        room = open_room(folder, state, fs)
        intents = [job for job, _ in group()]
        told = [landed.landing for landed in room.installer.recover(intents, NOW)]
        assert told == [landed.landing for landed in room.installer.recover(intents, NOW)]
        for path, landing in zip(PATHS, told, strict=False):
            expected = OLD if path == PATHS[3] else None
            now = (folder / path).read_bytes() if (folder / path).exists() else None
            assert now == (NEW if landing is ApplyOutcome.DONE else expected), (number, path)
            assert now == stood[path] or kind is WithoutExchange
        assert told[4] is ApplyOutcome.CHANGED
        assert (folder / "full").read_bytes() == MINE
        room.installer.release([job.id for job in intents])
        assert room.staging() == []
        room.close()
        if not crashed:
            assert number > 20
            return
    pytest.fail("there are more calls than were tried")


def test_after_a_crash_an_installed_then_deleted_file_is_done(folder: Path, state: Path) -> None:
    """And one that was never put in place does not, though neither stands anywhere."""
    for number in range(1, 400):
        prepare(folder, state)
        fs = WrappedFs()
        room = open_room(folder, state, fs)
        fs.before = crash_at(number)
        try:
            room.installer.apply(inline(group()), NOW)
            return
        except Crash:
            pass
        fs.before = None
        room.close()
        made = [(folder / path).exists() for path in PATHS[:3]]
        for path in PATHS[:3]:
            (folder / path).unlink(missing_ok=True)
        room = open_room(folder, state, fs)
        told = room.installer.recover([job for job, _ in group()], NOW)
        for was_made, landed in zip(made, told, strict=False):
            assert landed.landing is (ApplyOutcome.DONE if was_made else ApplyOutcome.CHANGED), number
            assert not was_made or (landed.seen is not None and landed.seen.side.hash is None)
        room.close()
    pytest.fail("the group was never carried through")


def test_one_marker_covers_a_group_until_its_results_commit(room: Room) -> None:
    """One mark stands for the whole group until its results are committed."""
    (room.folder / PATHS[3]).write_bytes(OLD)
    (room.folder / "full").write_bytes(MINE)
    landed = room.installer.apply(inline(group()), NOW)
    assert [one.landing for one in landed] == [ApplyOutcome.DONE] * 4 + [ApplyOutcome.BLOCKED]
    assert names(room) == ["made", "void"]
    room.installer.release([job.id for job, _ in group()])
    assert room.staging() == []


def test_without_a_written_refusal_nothing_of_a_group_is_created(folder: Path, state: Path) -> None:
    """Without it, a crash would leave the refused one looking as though it had been put in place."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    room.staging()

    def refuse(name: str, given: tuple[Any, ...]) -> None:
        if name == "create" and given[1].endswith((".void", "_1.part")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fs.before = refuse
    jobs = [(member(number, f"{number}.md", NEW, None), NEW) for number in range(3)]
    assert {landed.landing for landed in room.installer.apply(inline(jobs), NOW)} == {ApplyOutcome.FAILED}
    fs.before = None
    assert list(folder.iterdir()) == []
    assert "made" not in names(room)
    room.close()


def test_a_group_in_one_folder_uses_one_walk_and_two_syncs(folder: Path, state: Path) -> None:
    """Many files of a folder land through one walk and one sync each way."""
    calls: list[str] = []
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    room.staging()
    jobs = [(member(n, f"d/{n % 10}/{n}.md", NEW, None), NEW) for n in range(300)]
    fs.before = lambda name, _: calls.append(name)
    assert {landed.landing for landed in room.installer.apply(inline(jobs), NOW)} == {ApplyOutcome.DONE}
    assert calls.count("syncfs") == 2
    assert calls.count("fsync") == calls.count("fsync_dir") == 0
    assert calls.count("create") == 300 + 1
    assert calls.count("rename_noreplace") == 300
    assert calls.count("open_dir") < 100
    room.close()


def test_a_folder_moved_away_while_open_is_resolved_again(folder: Path, state: Path, tmp_path: Path) -> None:
    """What went with it does not count as put in place: that it is missing at its path would be taken for a delete."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    placed = 0

    def move_it_away(name: str, given: tuple[Any, ...]) -> None:
        nonlocal placed
        placed += name == "rename_noreplace"
        if name == "rename_noreplace" and placed == 4:
            (folder / "d").rename(tmp_path / "away")
            (folder / "d").symlink_to(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    fs.before = move_it_away
    jobs = [(member(number, f"d/{number}.md", NEW, None), NEW) for number in range(8)]
    results = room.installer.apply(inline(jobs), NOW)
    fs.before = None
    assert os.listdir(tmp_path / "elsewhere") == []
    assert {landed.landing for landed in results} == {ApplyOutcome.CHANGED}
    assert all(landed.seen is not None and not landed.seen.side.is_file for landed in results)
    # A crash before that is committed says the same.
    assert {landed.landing for landed in room.installer.recover([job for job, _ in jobs], NOW)} == {
        ApplyOutcome.CHANGED
    }
    room.close()


def test_a_folder_deleted_while_it_is_kept_open_is_made_again(folder: Path, state: Path) -> None:
    """What was in it counts as never put there: it comes once more, where a person has a moment to see it."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    placed = 0

    def delete_it(name: str, _: tuple[Any, ...]) -> None:
        nonlocal placed
        placed += name == "rename_noreplace"
        if name == "rename_noreplace" and placed == 2:
            (folder / "d/0.md").unlink()
            (folder / "d").rmdir()

    fs.before = delete_it
    jobs = [(member(number, f"d/{number}.md", NEW, None), NEW) for number in range(3)]
    results = room.installer.apply(inline(jobs), NOW)
    fs.before = None
    assert [landed.landing for landed in results] == [ApplyOutcome.CHANGED, ApplyOutcome.DONE, ApplyOutcome.DONE]
    assert sorted(os.listdir(folder / "d")) == ["1.md", "2.md"]
    room.close()


def test_a_folder_is_walked_to_anew_after_a_while(folder: Path, state: Path, tmp_path: Path) -> None:
    """So that little is put into a folder that was moved away."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    placed = 0

    def move_it_away(name: str, _: tuple[Any, ...]) -> None:
        nonlocal placed
        placed += name == "rename_noreplace"
        if name == "rename_noreplace" and placed == 2:
            (folder / "d").rename(tmp_path / "away")

    fs.before = move_it_away
    jobs = [(member(number, f"d/{number}.md", NEW, None), NEW) for number in range(3 * KEPT_FOR)]
    room.installer.apply(inline(jobs), NOW)
    fs.before = None
    assert len(os.listdir(tmp_path / "away")) == KEPT_FOR
    assert len(os.listdir(folder / "d")) == 2 * KEPT_FOR
    room.close()


def test_a_removed_group_removes_only_the_folders_it_emptied(room: Room) -> None:
    """A removed group leaves no folder it emptied and every other."""
    paths = [f"{top}/{low}/{number}.md" for top in "ab" for low in "cd" for number in range(3)]
    for path in paths:
        (room.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (room.folder / path).write_bytes(OLD)
    (room.folder / "b/d/kept.png").write_bytes(MINE)
    jobs = [(member(number, path, None, OLD), b"") for number, path in enumerate(paths)]
    results = room.installer.apply(inline(jobs), NOW)
    assert {landed.landing for landed in results} == {ApplyOutcome.DONE}
    assert all(landed.seen is not None and landed.seen.side.hash is None for landed in results)
    assert sorted(path.relative_to(room.folder).as_posix() for path in room.folder.rglob("*")) == [
        "b",
        "b/d",
        "b/d/kept.png",
    ]
    assert [entry.hash for entry in room.trash.entries()] == [sha(OLD)] * len(paths)


@pytest.mark.parametrize(
    ("system", "release", "told"),
    [
        ("Linux", "6.1.0-18-amd64", True),
        ("Linux", "5.8.0", True),
        ("Linux", "5.7.19", False),
        ("Linux", "4.19.0-26-amd64", False),
        ("Linux", "strange", False),
        ("FreeBSD", "14.1", False),
    ],
)
def test_syncfs_is_trusted_only_where_it_reports_write_errors(system: str, release: str, told: bool) -> None:
    """Linux tells of them from 5.8 on; elsewhere each file is synced by itself."""
    assert syscalls.syncfs_reports_errors(system, release) is told
