"""The root is held open, and every way into it is walked without following links."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import RootError
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Dir, FileType, Stat
from agent.disk.root import PathBlocked, Root, RootIdentity, UnsafePath
from disk.fixtures import Room, WrappedFs, open_room


def test_a_missing_root_is_a_root_error(tmp_path: Path) -> None:
    with pytest.raises(RootError):
        Root(PosixFs(), str(tmp_path / "gone"))


def test_a_root_that_is_a_file_is_a_root_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RootError):
        Root(PosixFs(), str(tmp_path / "file"))


def test_another_folder_than_expected_is_a_root_error(folder: Path) -> None:
    with pytest.raises(RootError):
        Root(PosixFs(), str(folder), RootIdentity(0, 0))


def test_a_replaced_root_is_detected_and_a_restored_one_accepted(room: Room, tmp_path: Path) -> None:
    """A replaced root is found out and one put back is accepted."""
    room.root.verify()
    room.folder.rename(tmp_path / "away")
    with pytest.raises(RootError):
        room.root.verify()
    room.folder.mkdir()
    with pytest.raises(RootError):
        room.root.verify()
    room.folder.rmdir()
    (tmp_path / "away").rename(room.folder)
    room.root.verify()


def test_a_walk_names_what_is_in_its_way(room: Room) -> None:
    (room.folder / "file").write_text("x")
    (room.folder / "link").symlink_to(room.folder)
    with pytest.raises(PathBlocked), room.root.parent("file/x.md"):
        pass
    with pytest.raises(UnsafePath), room.root.parent("link/x.md"):
        pass
    with pytest.raises(FileNotFoundError), room.root.parent("gone/x.md"):
        pass


def test_missing_folders_are_made_on_request_and_told(room: Room) -> None:
    (room.folder / "a").mkdir()
    made: list[str] = []
    with room.root.parent("a/b/c/x.md", made) as (_, name):
        assert name == "x.md"
    assert made == ["a/b", "a/b/c"]


def test_walking_gives_every_handle_back(room: Room) -> None:
    (room.folder / "a/b").mkdir(parents=True)
    before = len(os.listdir("/dev/fd"))
    for path in ("a/b/x.md", "a/gone/x.md", "x.md"):
        try:
            with room.root.parent(path):
                pass
        except FileNotFoundError:
            continue
    assert len(os.listdir("/dev/fd")) == before


class FoldingFs(WrappedFs):
    """Takes names that differ only in case for one, as most Macs do."""

    def _name(self, folder: Dir, name: str) -> str:
        return next((other for other in os.listdir(folder) if other.casefold() == name.casefold()), name)

    def stat(self, folder: Dir, name: str) -> Stat:
        return self._real.stat(folder, self._name(folder, name))


@pytest.mark.parametrize("use", ["link", "open again", "verify", "walk"])
def test_a_folder_that_cannot_be_looked_up_is_closed_again(folder: Path, use: str) -> None:
    """A disk that fails after the opening leaves no descriptor, however often the agent tries."""

    def refuse(name: str, _: tuple[Any, ...]) -> None:
        if name in {"fstat", "mount_of"}:
            raise OSError(errno.EIO, "fails")

    fs = WrappedFs()
    (folder / "disk").mkdir()
    with Root(fs, str(folder)) as root:
        root.mounts = frozenset({"disk"})
        if use == "open again":
            root.release()
        attempts: dict[str, Callable[[], object]] = {
            "link": lambda: Root(fs, str(folder)),
            "open again": lambda: root.handle,
            "verify": root.verify,
            "walk": lambda: root.open_folder("disk/notes"),
        }
        fs.before = refuse
        before = len(os.listdir("/dev/fd"))
        for _ in range(3):
            with pytest.raises(OSError):
                attempts[use]()
        assert len(os.listdir("/dev/fd")) == before


def test_a_folding_disk_is_recognised_and_a_twin_is_named(folder: Path, state: Path) -> None:
    (folder / "Notes.md").write_text("x")
    room = open_room(folder, state, FoldingFs())
    assert room.root.is_case_insensitive()
    assert room.root.case_collision(room.root.handle, "notes.md") == "Notes.md"
    assert room.root.case_collision(room.root.handle, "Notes.md") is None
    assert room.root.case_collision(room.root.handle, "other.md") is None
    room.close()


def test_a_probe_name_deleted_by_others_proves_nothing(folder: Path, state: Path) -> None:
    """Taken for one that tells case apart, it would show one file under two spellings for as long as the agent runs."""

    lower = folder / "a.md"

    class Deleting(FoldingFs):
        def stat(self, folder: Dir, name: str) -> Stat:
            if name == "A.MD":
                lower.unlink(missing_ok=True)
            return super().stat(folder, name)

    for name in ("a.md", "b.md"):
        (folder / name).write_text("x")
    room = open_room(folder, state, Deleting())
    assert room.root.is_case_insensitive()
    room.close()


def test_a_probe_name_replaced_by_others_proves_nothing(folder: Path, state: Path) -> None:
    """Its two inodes are those of the old and the new file. Taken for two names, each would be a file of its own."""
    (folder / "a.md").write_text("x")

    class Replacing(FoldingFs):
        looks = 0

        def stat(self, folder: Dir, name: str) -> Stat:
            if self.looks == 1:
                (state / "new.md").write_text("y")
                (state / "new.md").rename(lower)
            Replacing.looks += 1
            return super().stat(folder, name)

    lower = folder / "a.md"
    room = open_room(folder, state, Replacing())
    assert room.root.is_case_insensitive()
    room.close()


def test_a_disk_that_tells_case_apart_has_no_twins(room: Room) -> None:
    (room.folder / "Notes.md").write_text("x")
    if room.root.is_case_insensitive():
        pytest.skip("this disk folds names")
    assert room.root.case_collision(room.root.handle, "notes.md") is None


def test_the_primitives_follow_no_link_and_replace_nothing(room: Room) -> None:
    fs, handle = room.fs, room.root.handle
    (room.folder / "target.md").write_text("x")
    (room.folder / "link.md").symlink_to("target.md")
    assert fs.stat(handle, "link.md").kind is FileType.LINK
    with pytest.raises(OSError) as caught:
        fs.open_file(handle, "link.md")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(FileExistsError):
        fs.create(handle, "target.md", 0o600)
    with pytest.raises(FileExistsError):
        fs.rename_noreplace(handle, "target.md", handle, "link.md")
    os.mkfifo(room.folder / "pipe")
    fs.close(fs.open_file(handle, "pipe"))
    assert fs.stat(handle, "pipe").kind is FileType.SPECIAL
