"""File systems below the root and disks in its place: what is not mounted is unknown, never deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.errors import RootError
from agent.core.model import ApplyOutcome, IndexedFile, Presence, Reason
from agent.disk.fs.posix import PosixFs
from agent.disk.root import RootIdentity
from agent.disk.root_marker import write_marker
from agent.disk.scan.walk import scan
from agent.disk.selection.rules import Rules
from agent.runtime.local_folder import LocalFolder
from disk.fixtures import NOW, Room, inline, intent, open_room, remember

SHARED_MEMORY = Path("/dev/shm")
LINK = "01a1-the-source"


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A file system of its own at this folder; the test is skipped where nobody may mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def look(room: Room, known: list[IndexedFile]) -> tuple[dict[str, IndexedFile], set[str], list[str]]:
    """A scan: what differs, the mounts it met, the oddities it told."""
    batches = list(scan(room.root, room.selection, known))
    found = {seen.path: remember(seen) for batch in batches for seen in batch.seen}
    odd = [oddity.raw_path for batch in batches for oddity in batch.skipped]
    return found, {mount for batch in batches for mount in batch.mounts}, odd


@pytest.mark.parametrize("mount_point_left", [True, False])
def test_files_of_a_file_system_that_went_are_unknown(room: Room, *, mount_point_left: bool) -> None:
    """Whether its empty mount point is left or not; nothing is installed below it either."""
    folder = room.folder / "disk"
    folder.mkdir()
    with mounted(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "a.md").write_bytes(b"text")
        known, mounts, odd = look(room, [])
        assert (set(known), mounts, odd) == ({"disk/deep/a.md"}, {"disk"}, [])
    if not mount_point_left:
        folder.rmdir()
    room.root.mounts = frozenset(mounts)
    found, mounts, odd = look(room, list(known.values()))
    side = found["disk/deep/a.md"].side
    assert (side.presence, side.reason, mounts) == (Presence.UNKNOWN, Reason.UNMOUNTED, set())
    assert odd == (["disk"] if mount_point_left else [])
    (landed,) = room.installer.apply(inline([(intent("disk/new.md", b"new", None), b"new")]), NOW)
    assert landed.landing is not ApplyOutcome.DONE
    assert not (folder / "new.md").exists()


def test_a_mounted_file_system_is_scanned_like_any_folder(room: Room) -> None:
    """Known as a mount before, there again: its files are what they are, and what was deleted in it is absent."""
    folder = room.folder / "disk"
    folder.mkdir()
    with mounted(folder):
        (folder / "a.md").write_bytes(b"text")
        (folder / "b.md").write_bytes(b"text")
        known, mounts, _ = look(room, [])
        room.root.mounts = frozenset(mounts)
        (folder / "b.md").unlink()
        found, _, odd = look(room, list(known.values()))
        assert found["disk/b.md"].side.presence is Presence.ABSENT
        assert odd == []


def test_what_is_deleted_deep_in_a_mounted_file_system_is_absent(room: Room) -> None:
    """Only the mount point itself tells that a file system went: a folder in it that is gone was deleted, and one that
    is missing can be made.
    """
    folder = room.folder / "disk"
    folder.mkdir()
    with mounted(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "a.md").write_bytes(b"text")
        known, mounts, _ = look(room, [])
        room.root.mounts = frozenset(mounts)
        shutil.rmtree(folder / "deep")
        assert look(room, list(known.values()))[0]["disk/deep/a.md"].side.presence is Presence.ABSENT
        with room.root.parent("disk/fresh/b.md", []):
            assert (folder / "fresh").is_dir()


@pytest.mark.parametrize("met", [("disk", "disk/inner"), ("disk/inner", "disk")])
def test_a_file_system_within_a_file_system_is_missed_by_itself(
    room: Room, met: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order the two are known: the outer one being there says nothing of the inner one."""
    folder = room.folder / "disk"
    folder.mkdir()
    with mounted(folder):
        (folder / "inner").mkdir()
        with mounted(folder / "inner"):
            (folder / "inner" / "a.md").write_bytes(b"text")
            known, mounts, _ = look(room, [])
            assert mounts == set(met)
        monkeypatch.setattr(room.root, "mounts", met)
        side = look(room, list(known.values()))[0]["disk/inner/a.md"].side
        assert (side.presence, side.reason) == (Presence.UNKNOWN, Reason.UNMOUNTED)


def test_a_missing_disk_keeps_interrupted_changes_unsettled(room: Room) -> None:
    """Those on it count as not made, the others are told as ever."""
    (room.folder / "disk").mkdir()
    (room.folder / "a.md").write_bytes(b"new")
    room.root.mounts = frozenset({"disk"})
    begun = [
        intent("disk/a.md", b"new", None, 1),
        intent("disk/b.md", None, b"old", 2),
        intent("a.md", b"new", None, 3),
    ]
    landed = room.installer.recover(begun, NOW)
    assert [one.landing for one in landed] == [ApplyOutcome.CHANGED, ApplyOutcome.CHANGED, ApplyOutcome.DONE]
    assert landed[1].seen is not None and landed[1].seen.side.reason is Reason.UNMOUNTED


# A folder on a disk of its own


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the state folder."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY))
    yield folder
    shutil.rmtree(folder)


def opened(folder: Path, state: Path, device: int | None = None) -> LocalFolder:
    found = folder.stat()
    expected = RootIdentity(found.st_dev if device is None else device, found.st_ino)
    return LocalFolder(PosixFs(), str(folder), Rules(), str(state), "1", expected, LINK)


def test_a_disk_is_known_by_its_mark_whatever_its_number(apart: Path, tmp_path: Path) -> None:
    """Device numbers change over a reboot; the mark does not."""
    write_marker(PosixFs(), str(apart), str(tmp_path), LINK)
    folder = opened(apart, tmp_path, device=4711)
    assert folder.root.path == str(apart)
    folder.close()


def test_another_disk_with_equal_numbers_is_not_the_linked_one(apart: Path, tmp_path: Path) -> None:
    """Without the mark nothing is looked at, and the sentence says how to go on."""
    with pytest.raises(RootError, match="raven-agent move"):
        _ = opened(apart, tmp_path).root
    assert not (apart / ".raven-agent").exists()


def test_a_mark_of_another_link_is_none_of_this_one(apart: Path, tmp_path: Path) -> None:
    write_marker(PosixFs(), str(apart), str(tmp_path), "another source")
    with pytest.raises(RootError, match="Another disk"):
        _ = opened(apart, tmp_path).root


def test_on_the_disk_of_the_state_folder_no_mark_is_left(tmp_path: Path) -> None:
    """There the inode decides, and the folder stays clean."""
    folder = tmp_path / "notes"
    folder.mkdir()
    write_marker(PosixFs(), str(folder), str(tmp_path), LINK)
    assert list(folder.iterdir()) == []
    opened(folder, tmp_path, device=4711).close()


# Files a crash left short


def test_a_file_that_shrank_without_a_change_of_time_is_unknown(tmp_path: Path) -> None:
    """A crash leaves it so, an edit does not; at every further look it still is, until it is written again."""
    folder = tmp_path / "notes"
    folder.mkdir()
    room = open_room(folder, tmp_path)
    file = folder / "a.md"
    file.write_bytes(b"a long text")
    os.utime(file, ns=(10**18, 10**18))
    known, _, _ = look(room, [])
    for left in (b"a long", b""):
        file.write_bytes(left)
        os.utime(file, ns=(10**18, 10**18))
        known = {**known, **look(room, list(known.values()))[0]}
        side = known["a.md"].side
        assert (side.presence, side.reason) == (Presence.UNKNOWN, Reason.SHRUNK)
    assert look(room, list(known.values()))[0] == {}
    file.write_bytes(b"shorter")
    side = look(room, list(known.values()))[0]["a.md"].side
    assert side.is_file and side.size == 7
    room.close()
