"""Downloads in the staging folder: they go on after a crash, and only the promised bytes are ever installed."""

from __future__ import annotations

import errno
import functools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Purpose
from agent.core.supply import Staged, Transfer
from agent.disk.apply.downloads import GarbledDownload, LiveDownloads, NoRoom, StagedDownloads
from agent.disk.scan.digest import CHUNK, HELD, ReadInterrupted
from agent.disk.scan.observe import observe_path
from agent.disk.selection.rules import Rules
from disk.fixtures import NOW, Crash, Room, WithoutExchange, WrappedFs, crash_at, intent, open_room, sha, transfer

CONTENT = b"0123456789" * 4
OLD, MINE = b"old text\n", b"the user's own text\n"
DOWN = transfer("a.md", CONTENT)
FILE = f"{DOWN.id}.down"
KINDS = [WrappedFs, WithoutExchange]


def carry(room: Room, job: Intent, wanted: Transfer = DOWN) -> ApplyResult:
    return room.installer.apply([(job, Staged(wanted.id))], NOW)[0]


def staged(room: Room) -> bytes:
    return (room.state / "slots/default" / FILE).read_bytes()


def each_crash_point(run: Callable[[int], bool], least: int = 8) -> None:
    for number in range(1, 300):
        if not run(number):
            assert number > least
            return
    pytest.fail("there are more calls than were tried")


def crashes(room: Room, number: int, action: Callable[[], object]) -> bool:
    """Ends the process at the given call of an action; False if the action was through before."""
    assert isinstance(room.fs, WrappedFs)
    room.fs.before = crash_at(number)
    try:
        action()
    except Crash:
        return True
    finally:
        room.fs.before = None
        room.close()
    return False


def clear(*tops: Path) -> None:
    for path in [path for top in tops for path in top.rglob("*")]:
        if path.is_file():
            path.unlink()


def test_a_download_goes_on_where_it_ended(room: Room) -> None:
    with room.downloads.begin(DOWN) as writer:
        assert (writer.present, writer.sha256, writer.is_complete) == (0, sha(b""), False)
        writer.append(CONTENT[:15])
        with pytest.raises(ValueError, match="15 of 40"):
            writer.finish()
    with room.downloads.begin(DOWN) as writer:
        assert (writer.present, writer.sha256) == (15, sha(CONTENT[:15]))
        writer.append(CONTENT[15:])
        assert writer.is_complete
        writer.finish()
    assert staged(room) == CONTENT
    assert room.staging() == [FILE]


def test_a_finished_download_is_found_finished(room: Room) -> None:
    room.fetch(DOWN, CONTENT)
    with room.downloads.begin(DOWN) as writer:
        assert writer.is_complete
        writer.finish()
    assert staged(room) == CONTENT


def test_other_bytes_are_never_finished(room: Room) -> None:
    """The file is removed, and the next try begins from 0; the caller counts the tries."""
    with room.downloads.begin(DOWN) as writer:
        writer.append(CONTENT[::-1])
        with pytest.raises(GarbledDownload, match="other bytes"):
            writer.finish()
    assert room.staging() == []
    with room.downloads.begin(DOWN) as writer:
        assert writer.present == 0
        writer.append(CONTENT[:39])
        with pytest.raises(GarbledDownload, match="longer than its 40 bytes"):
            writer.append(b"90")
    assert room.staging() == []
    room.fetch(DOWN, CONTENT)
    assert staged(room) == CONTENT


@pytest.mark.parametrize("left", [CONTENT + b"!", CONTENT * 3])
def test_a_file_that_is_too_long_is_begun_anew(room: Room, left: bytes) -> None:
    room.staging()
    (room.state / "slots/default" / FILE).write_bytes(left)
    room.fetch(DOWN, CONTENT)
    assert staged(room) == CONTENT


def test_a_server_that_sends_all_again_is_followed(room: Room) -> None:
    """An answer 200 instead of 206 begins at the first byte."""
    with room.downloads.begin(DOWN) as writer:
        writer.append(CONTENT[:15])
    with room.downloads.begin(DOWN) as writer:
        writer.begin_anew()
        assert writer.present == 0
        writer.append(CONTENT)
        writer.finish()
    assert staged(room) == CONTENT


def test_the_free_space_is_asked_first(folder: Path, state: Path) -> None:
    """The rest of the file and 5 % of its size must be free."""

    class Small(WrappedFs):
        free = 0

        def free_bytes(self, _folder: int) -> int:
            return self.free

    fs = Small()
    room = open_room(folder, state, fs)
    large = transfer("films/a.md", b"x" * 2000)
    fs.free = 2099
    with pytest.raises(NoRoom, match=r"films/a\.md needs 1 MiB"):
        room.downloads.begin(large)
    assert room.staging() == []
    fs.free = 2100
    with room.downloads.begin(large) as writer:
        writer.append(b"x" * 1500)
    fs.free = 599
    with pytest.raises(NoRoom):
        room.downloads.begin(large)
    fs.free = 600
    with room.downloads.begin(large) as writer:
        assert writer.present == 1500
    room.close()


def test_a_full_disk_is_the_callers_error(folder: Path, state: Path) -> None:
    """Half a piece may be on the disk; the next try hashes it."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)

    def refuse(name: str, args: tuple[Any, ...]) -> None:
        if name == "write":
            os.write(args[0], args[1][:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with room.downloads.begin(DOWN) as writer:
        fs.before = refuse
        with pytest.raises(OSError, match="No space"):
            writer.append(CONTENT[:8])
        fs.before = None
    with room.downloads.begin(DOWN) as writer:
        assert writer.present == 3
    room.fetch(DOWN, CONTENT)
    assert staged(room) == CONTENT
    room.close()


def test_a_stop_ends_the_hash_of_what_is_there(room: Room) -> None:
    room.fetch(DOWN, CONTENT)
    stopping = StagedDownloads(room.fs, room.trash, lambda: True)
    with pytest.raises(ReadInterrupted):
        stopping.begin(DOWN)
    assert staged(room) == CONTENT


def test_a_crash_in_a_download_loses_one_piece_at_most(folder: Path, state: Path) -> None:
    """At any call: what is there is a beginning of the file, and the next process goes on."""

    def run(number: int) -> bool:
        clear(state)
        first = open_room(folder, state, WrappedFs())
        first.staging()
        crashed = crashes(first, number, lambda: first.fetch(DOWN, CONTENT))
        room = open_room(folder, state)
        room.installer.recover([], NOW, LiveDownloads.of_transfers([DOWN]))
        found = staged(room) if room.staging() else b""
        assert CONTENT.startswith(found)
        room.fetch(DOWN, CONTENT)
        assert staged(room) == CONTENT
        room.close()
        return crashed

    each_crash_point(run)


@pytest.mark.parametrize("expected", [None, OLD])
def test_a_download_is_installed_without_a_copy(folder: Path, state: Path, expected: bytes | None) -> None:
    """The inode of the download is that of the file; nothing is written, and the observation is that of a scan."""
    if expected is not None:
        (folder / "a.md").write_bytes(expected)
        (folder / "a.md").chmod(0o640)
    calls: list[str] = []
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    room.fetch(DOWN, CONTENT)
    inode = (state / "slots/default" / FILE).stat().st_ino
    fs.before = lambda name, _: calls.append(name)
    job = intent("a.md", CONTENT, expected)
    landed = carry(room, job)
    fs.before = None
    assert landed.landing is ApplyOutcome.DONE
    assert (folder / "a.md").read_bytes() == CONTENT
    assert (folder / "a.md").stat().st_ino == inode
    assert (folder / "a.md").stat().st_mode & 0o777 == (0o640 if expected else 0o644)
    assert not {"write", "copy_range"} & set(calls)
    assert landed.seen is not None
    assert landed.seen.side == observe_path(room.root, room.selection, "a.md").side
    assert room.trashed() == ({OLD} if expected else set())
    room.installer.release([job.id])
    assert room.staging() == []
    room.close()


def test_a_finished_download_is_not_read_again(folder: Path, state: Path) -> None:
    """Its digest is known from the download, also to another object over the same folder."""
    reads: list[str] = []
    fs = WrappedFs(lambda name, _: reads.append(name) if name in {"read", "read_at"} else None)
    room = open_room(folder, state, fs)
    room.fetch(DOWN, CONTENT)
    reads.clear()
    assert carry(room, intent("a.md", CONTENT, None)).landing is ApplyOutcome.DONE
    assert reads == []
    other = transfer("b.md", CONTENT, 2)
    room.fetch(other, CONTENT)
    fresh = StagedDownloads(fs, room.trash)
    shared = StagedDownloads(fs, room.trash, verified=room.downloads.verified)
    for downloads, expected in ((shared, 0), (fresh, 1), (fresh, 0)):
        reads.clear()
        found = downloads.verify(other.id)
        assert found is not None
        assert found.sha256 == other.hash
        assert len(reads) == expected
    room.close()


def test_a_large_download_is_never_held_in_memory(folder: Path, state: Path) -> None:
    """24 MiB are fetched, checked by another process, and installed within 6 MiB."""
    room = open_room(folder, state, rules=Rules(include=("**",)))
    piece = bytes(range(256)) * (CHUNK // 256)
    large = transfer("a.bin", piece * 24)
    tracemalloc.start()
    try:
        with room.downloads.begin(large) as writer:
            for _ in range(24):
                writer.append(piece)
            writer.finish()
        room.downloads.verified.forget(large.id)
        (landed,) = room.installer.apply(
            [(Intent("00000000000000aa", "a.bin", large.hash, None, Purpose.PULL), Staged(large.id))], NOW
        )
        assert landed.landing is ApplyOutcome.DONE
        assert tracemalloc.get_traced_memory()[1] < HELD + 2 * CHUNK
    finally:
        tracemalloc.stop()
    assert (folder / "a.bin").stat().st_size == 24 * CHUNK
    room.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["edited", "blocked", "refused"])
def test_a_download_outlives_a_change_that_was_not_made(
    folder: Path, state: Path, kind: type[WrappedFs], case: str
) -> None:
    """A second try needs no second download."""
    fs = kind()
    room = open_room(folder, state, fs)
    room.fetch(DOWN, CONTENT)
    path = folder / "a.md"
    expected: bytes | None = OLD
    match case:
        case "edited":
            path.write_bytes(MINE)
        case "blocked":
            expected = None
            path.mkdir()
            (path / "mine").write_bytes(MINE)
        case _:
            path.write_bytes(OLD)

            def refuse(name: str, args: tuple[Any, ...]) -> None:
                if name in {"exchange", "link"} and "a.md" in args:
                    raise OSError(errno.EACCES, os.strerror(errno.EACCES))

            fs.before = refuse
    job = intent("a.md", CONTENT, expected)
    landed = carry(room, job)
    fs.before = None
    assert landed.landing is not ApplyOutcome.DONE
    assert room.staging() == [FILE]
    assert staged(room) == CONTENT
    if case == "blocked":
        (path / "mine").unlink()
    else:
        path.write_bytes(OLD)
    assert carry(room, intent("a.md", CONTENT, expected, 2)).landing is ApplyOutcome.DONE
    assert path.read_bytes() == CONTENT
    room.close()


def test_a_download_with_other_bytes_is_refused_and_removed(room: Room) -> None:
    room.staging()
    (room.state / "slots/default" / FILE).write_bytes(CONTENT[::-1])
    landed = carry(room, intent("a.md", CONTENT, None))
    assert (landed.landing, landed.text) == (ApplyOutcome.FAILED, "the download does not match its hash")
    assert (room.staging(), list(room.folder.iterdir())) == ([], [])
    landed = carry(room, intent("a.md", CONTENT, None, 2))
    assert (landed.landing, landed.text) == (ApplyOutcome.FAILED, "the download is not there any more")


def test_a_download_of_what_is_there_already_is_removed(room: Room) -> None:
    room.fetch(DOWN, CONTENT)
    (room.folder / "a.md").write_bytes(CONTENT)
    inode = (room.folder / "a.md").stat().st_ino
    for number, expected in enumerate((None, OLD, CONTENT), 1):
        room.fetch(DOWN, CONTENT)
        job = intent("a.md", CONTENT, expected, number)
        assert carry(room, job).landing is ApplyOutcome.DONE
        room.installer.release([job.id])
        assert room.staging() == []
    assert (room.folder / "a.md").stat().st_ino == inode


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("expected", [None, OLD])
def test_a_crash_never_loses_a_finished_download(
    folder: Path, state: Path, kind: type[WrappedFs], expected: bytes | None
) -> None:
    """At any call of the install, and of the recovery after it: the file is new, or the download is there whole."""
    path = folder / "a.md"
    live = LiveDownloads.of_transfers([DOWN])

    def run(number: int, second: int) -> bool:
        clear(folder, state)
        if expected is not None:
            path.write_bytes(expected)
        fs = kind()
        room = open_room(folder, state, fs)
        room.fetch(DOWN, CONTENT)
        job = intent("a.md", CONTENT, expected, number)
        crashed = crashes(room, number, lambda: carry(room, job))
        again = open_room(folder, state, fs)
        crashes(again, second, lambda: again.installer.recover([job], NOW, live))
        room = open_room(folder, state, fs)
        (landed,) = room.installer.recover([job], NOW, live)
        assert landed.landing is room.installer.recover([job], NOW, live)[0].landing
        room.installer.release([job.id])
        if landed.landing is ApplyOutcome.DONE:
            assert path.read_bytes() == CONTENT
            assert set(room.staging()) <= {FILE}
            assert room.trashed() == (set() if expected is None else {OLD})
        else:
            assert (path.read_bytes() if path.exists() else None) == expected
            assert room.staging() == [FILE]
            assert staged(room) == CONTENT
        room.close()
        return crashed

    for second in (3, 9, 1000):
        each_crash_point(functools.partial(run, second=second))


def test_recovery_removes_only_unwanted_downloads(room: Room) -> None:
    """Never to the trash: they are the agent's. If it is not known which are wanted, all are kept."""
    other = transfer("b.md", CONTENT, 2)
    for wanted in (DOWN, other):
        room.fetch(wanted, CONTENT)
    room.installer.recover([], NOW)
    assert room.staging() == [FILE, f"{other.id}.down"]
    room.installer.recover([], NOW, LiveDownloads.of_transfers([other]))
    assert room.staging() == [f"{other.id}.down"]
    room.installer.recover([], NOW, LiveDownloads.of_transfers([]))
    assert room.staging() == []
    assert room.trashed() == set()


def test_a_failed_group_gives_its_downloads_back(folder: Path, state: Path) -> None:
    """Also where the result of the group had to be recovered at once."""

    def replace_the_folder(name: str, _: object) -> None:
        if name == "link" and (folder / "a").is_dir() and not any((folder / "a").iterdir()):
            (folder / "a").rmdir()
            (folder / "a").write_bytes(MINE)

    (folder / "a").mkdir()
    (folder / "a/b.md").write_bytes(OLD)
    room = open_room(folder, state, WithoutExchange(replace_the_folder))
    wanted = transfer("a/b.md", CONTENT)
    room.fetch(wanted, CONTENT)
    job = intent("a/b.md", CONTENT, OLD)
    with pytest.raises(DiskError, match="is incomplete"):
        carry(room, job, wanted)
    live = LiveDownloads.of_jobs([(job, Staged(wanted.id))])
    assert room.installer.recover([job], NOW, live)[0].landing is ApplyOutcome.CHANGED
    assert room.staging() == [FILE]
    assert room.trashed() == {OLD}
    room.close()
