"""After a crash between any two calls every file is wholly old or wholly new, and nothing is left lying about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, Intent
from disk.fixtures import NOW, Crash, Room, WithoutExchange, WrappedFs, crash_at, inline, intent, open_room, sha

OLD, NEW, MINE = b"old text\n", b"new text, longer\n", b"the user's own text\n"
KINDS = [WrappedFs, WithoutExchange]
JOBS: dict[str, tuple[bytes | None, bytes | None]] = {
    "create": (NEW, None),
    "replace": (NEW, OLD),
    "remove": (None, OLD),
}


def crash(folder: Path, state: Path, fs: WrappedFs, job: tuple[Intent, bytes], number: int) -> bool:
    """Carries a job out until the given call; False if it was through before."""
    room = open_room(folder, state, fs)
    fs.before = crash_at(number)
    try:
        room.installer.apply(inline([job]), NOW)
    except Crash:
        return True
    finally:
        fs.before = None
        room.close()
    return False


def recover(folder: Path, state: Path, fs: WrappedFs, jobs: list[Intent]) -> tuple[Room, ApplyOutcome]:
    room = open_room(folder, state, fs)
    return room, room.installer.recover(jobs, NOW)[0].landing


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def each_crash_point(run: Callable[[int], bool]) -> None:
    for number in range(1, 200):
        if not run(number):
            assert number > 8
            return
    pytest.fail("there are more calls than were tried")


def clear(folder: Path, state: Path) -> None:
    for path in [*folder.rglob("*"), *state.rglob("*")]:
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", JOBS)
def test_a_crash_leaves_old_or_new_and_recovery_says_which(
    folder: Path, state: Path, kind: type[WrappedFs], verb: str
) -> None:
    new, expected = JOBS[verb]
    path = folder / "d/a.md"
    path.parent.mkdir()

    def run(number: int) -> bool:
        clear(folder, state)
        path.parent.mkdir(exist_ok=True)
        if expected is not None:
            path.write_bytes(expected)
        fs = kind()
        job = intent("d/a.md", new, expected, number)
        crashed = crash(folder, state, fs, (job, new or b""), number)
        room, landing = recover(folder, state, fs, [job])
        stands = content_of(path)
        assert landing in {ApplyOutcome.DONE, ApplyOutcome.CHANGED}
        assert stands == (new if landing is ApplyOutcome.DONE else expected)
        if landing is ApplyOutcome.DONE and expected is not None:
            assert room.trashed() == {expected}
        again = room.installer.recover([job], NOW)[0]
        assert again.landing is landing
        room.installer.release([job.id])
        assert room.staging() == []
        assert again.seen is not None
        assert again.seen.side.hash == (None if stands is None else sha(stands))
        room.close()
        return crashed

    each_crash_point(run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", JOBS)
def test_an_edit_after_the_crash_survives_beside_an_install(
    folder: Path, state: Path, kind: type[WrappedFs], verb: str
) -> None:
    """An edit after the crash survives and an install is reported from it."""
    new, expected = JOBS[verb]
    path = folder / "a.md"

    def run(number: int) -> bool:
        clear(folder, state)
        if expected is not None:
            path.write_bytes(expected)
        fs = kind()
        job = intent("a.md", new, expected, number)
        crashed = crash(folder, state, fs, (job, new or b""), number)
        installed = content_of(path) == new
        (folder / "a.tmp").write_bytes(MINE)
        (folder / "a.tmp").replace(path)
        room, landing = recover(folder, state, fs, [job])
        assert path.read_bytes() == MINE
        assert landing is (ApplyOutcome.DONE if installed else ApplyOutcome.CHANGED) or kind is WithoutExchange
        if landing is ApplyOutcome.DONE and expected is not None:
            assert expected in room.trashed()
        room.installer.release([job.id])
        assert room.staging() == []
        room.close()
        return crashed

    each_crash_point(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_while_restoring_a_changed_file_loses_nothing(folder: Path, state: Path, kind: type[WrappedFs]) -> None:
    """A crash while an unexpected file is put back loses nothing."""
    path = folder / "a.md"

    def run(number: int) -> bool:
        clear(folder, state)
        path.write_bytes(MINE)
        fs = kind()
        job = intent("a.md", NEW, OLD, number)
        crashed = crash(folder, state, fs, (job, NEW), number)
        room, landing = recover(folder, state, fs, [job])
        assert landing is ApplyOutcome.CHANGED
        assert path.read_bytes() == MINE
        assert [name for name in room.staging() if not name.endswith(".watch")] == []
        room.close()
        return crashed

    each_crash_point(run)


def test_a_crash_during_the_recovery_is_recovered_from(folder: Path, state: Path) -> None:
    path = folder / "a.md"
    for first in range(1, 60, 3):
        for second in range(1, 60, 2):
            clear(folder, state)
            path.write_bytes(OLD)
            fs = WrappedFs()
            job = intent("a.md", NEW, OLD, first)
            if not crash(folder, state, fs, (job, NEW), first):
                return
            room = open_room(folder, state, fs)
            fs.before = crash_at(second)
            try:
                room.installer.recover([job], NOW)
                through = True
            except Crash:
                through = False
            fs.before = None
            room.close()
            room, landing = recover(folder, state, fs, [job])
            assert path.read_bytes() == (NEW if landing is ApplyOutcome.DONE else OLD)
            assert room.staging() == []
            room.close()
            if through:
                break
    pytest.fail("the job was never carried through")


def test_staged_files_of_unknown_intents_go_to_the_trash(room: Room) -> None:
    """Slots of unknown intents go to the trash unless they are unfinished."""
    staging = room.state / "slots/default"
    room.staging()
    (staging / "00000000000000aa.part").write_bytes(b"half")
    (staging / "00000000000000aa.made").write_bytes(b"")
    (staging / "00000000000000bb.new").write_bytes(MINE)
    (staging / "00000000000000cc.old").write_bytes(OLD)
    assert room.installer.recover([], NOW) == []
    assert room.staging() == []
    assert room.trashed() == {MINE, OLD}


def test_a_half_written_temporary_is_removed_and_not_done(room: Room) -> None:
    """A half written temporary is removed and its intent not done."""
    (room.folder / "a.md").write_bytes(OLD)
    job = intent("a.md", NEW, OLD)
    room.staging()
    (room.state / "slots/default" / f"{job.id}.part").write_bytes(NEW[:3])
    landed = room.installer.recover([job], NOW)[0]
    assert landed.landing is ApplyOutcome.CHANGED
    assert landed.seen is not None
    assert landed.seen.side.hash == sha(OLD)
    assert room.staging() == []
    assert room.trashed() == set()


def test_a_folder_lost_during_a_swap_leaves_the_text_in_trash(folder: Path, state: Path) -> None:
    """What was taken out can neither return nor count as replaced: its text is told to be gone, not pulled over."""
    (folder / "a").mkdir()
    (folder / "a/b.md").write_bytes(OLD)

    def replace_the_folder(name: str, _: object) -> None:
        if name == "link" and (folder / "a").is_dir() and not any((folder / "a").iterdir()):
            (folder / "a").rmdir()
            (folder / "a").write_bytes(MINE)

    room = open_room(folder, state, WithoutExchange(replace_the_folder))
    job = intent("a/b.md", NEW, OLD)
    with pytest.raises(DiskError, match="is incomplete"):
        room.installer.apply(inline([(job, NEW)]), NOW)
    landed = room.installer.recover([job], NOW)[0]
    assert landed.landing is ApplyOutcome.CHANGED
    assert room.trashed() == {OLD}
    assert room.staging() == []
    assert (folder / "a").read_bytes() == MINE
    room.close()


class FolderFirst(WrappedFs):
    """Replaces the file by a folder just before it comes out, and crashes with the first call afterwards."""

    def __init__(self, path: Path, call: str) -> None:
        super().__init__(self.replace)
        self.path, self.call, self.came_out = path, call, False

    def replace(self, name: str, args: tuple[Any, ...]) -> None:
        if self.came_out:
            raise Crash
        if name == self.call and "a.md" in args:
            self.came_out = True
            self.path.unlink()
            self.path.mkdir()
            (self.path / "mine").write_bytes(MINE)


@pytest.mark.parametrize(("verb", "call"), [("replace", "exchange"), ("remove", "rename")])
@pytest.mark.parametrize("newer", [False, True])
def test_a_folder_that_came_out_goes_back_or_to_the_trash(
    folder: Path, state: Path, verb: str, call: str, newer: bool
) -> None:
    """A crash after the swap brought out a folder leaves nothing in the staging, and loses nothing of the folder."""
    new, expected = JOBS[verb]
    path = folder / "a.md"
    path.write_bytes(OLD)
    fs = FolderFirst(path, call)
    job = intent("a.md", new, expected)
    room = open_room(folder, state, fs)
    with pytest.raises(Crash):
        room.installer.apply(inline([(job, new or b"")]), NOW)
    room.close()
    if newer:
        path.unlink(missing_ok=True)
        path.write_bytes(b"newer\n")
    for _ in range(2):
        room, landing = recover(folder, state, WrappedFs(), [job])
        assert landing is ApplyOutcome.CHANGED and room.staging() == []
        room.close()
    assert newer or (path / "mine").read_bytes() == MINE
    assert not newer or path.read_bytes() == b"newer\n"
    assert [file.read_bytes() for file in [*state.rglob("mine"), *folder.rglob("mine")]] == [MINE]
