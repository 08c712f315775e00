"""Changing the folder: nothing is lost, nothing outside is touched, and results tell what really happened."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.errors import RootError
from agent.core.model import ABSENT, ApplyOutcome, ApplyResult, Intent, Purpose, Reason
from agent.core.os_errors import explain
from agent.disk.apply.install import Installer
from agent.disk.fs.protocol import SwapPrimitive
from agent.disk.scan.digest import ReadInterrupted
from agent.disk.selection.rules import Rules
from disk.fixtures import NOW, Room, WithoutExchange, WrappedFs, age, inline, intent, open_room, sha

OLD, NEW, MINE = b"old text\n", b"new text, longer\n", b"the user's own text\n"


def carry(room: Room, job: Intent, content: bytes = b"") -> ApplyResult:
    return room.installer.apply(inline([(job, content)]), NOW)[0]


def test_a_new_file_is_created_with_its_folders(room: Room) -> None:
    landed = carry(room, intent("a/b/c.md", NEW, None), NEW)
    assert landed.landing is ApplyOutcome.DONE
    assert (room.folder / "a/b/c.md").read_bytes() == NEW
    assert landed.seen is not None
    assert landed.seen.side.hash == sha(NEW)
    assert landed.seen.fingerprint is not None
    assert landed.seen.fingerprint.racy


def test_an_expected_file_is_replaced_and_stands_in_the_trash(room: Room) -> None:
    (room.folder / "a.md").write_bytes(OLD)
    assert carry(room, intent("a.md", NEW, OLD), NEW).landing is ApplyOutcome.DONE
    assert (room.folder / "a.md").read_bytes() == NEW
    assert room.trashed() == {OLD}
    assert room.staging() == []


def test_a_file_that_is_not_the_expected_one_stays(room: Room) -> None:
    (room.folder / "a.md").write_bytes(MINE)
    landed = carry(room, intent("a.md", NEW, OLD), NEW)
    assert landed.landing is ApplyOutcome.CHANGED
    assert landed.seen is not None
    assert landed.seen.side.hash == sha(MINE)
    assert (room.folder / "a.md").read_bytes() == MINE
    assert room.trashed() == set()
    assert room.staging() == []


def test_a_file_where_none_was_expected_stays(room: Room) -> None:
    (room.folder / "a.md").write_bytes(MINE)
    assert carry(room, intent("a.md", NEW, None), NEW).landing is ApplyOutcome.CHANGED
    assert (room.folder / "a.md").read_bytes() == MINE
    assert room.staging() == []


@pytest.mark.parametrize("expected", [None, OLD, NEW])
def test_what_is_there_already_is_not_touched(room: Room, expected: bytes | None) -> None:
    path = room.folder / "a.md"
    path.write_bytes(NEW)
    before = path.stat()
    assert carry(room, intent("a.md", NEW, expected), NEW).landing is ApplyOutcome.DONE
    after = path.stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert room.staging() == []


def test_a_removal_trashes_the_file_and_removes_emptied_folders(room: Room) -> None:
    """A removal moves the file to the trash and takes only the folders it emptied."""
    (room.folder / "keep/a/b").mkdir(parents=True)
    (room.folder / "keep/other.png").write_bytes(b"x")
    (room.folder / "keep/a/b/c.md").write_bytes(OLD)
    landed = carry(room, intent("keep/a/b/c.md", None, OLD))
    assert landed.landing is ApplyOutcome.DONE
    assert landed.seen is not None
    assert landed.seen.side == ABSENT
    assert not (room.folder / "keep/a").exists()
    assert (room.folder / "keep/other.png").exists()
    assert room.trashed() == {OLD}


def test_a_resolution_that_removes_a_file_leaves_its_folder(room: Room) -> None:
    (room.folder / "a").mkdir()
    (room.folder / "a/b.md").write_bytes(OLD)
    assert carry(room, intent("a/b.md", None, OLD, purpose=Purpose.RESOLVE)).landing is ApplyOutcome.DONE
    assert (room.folder / "a").is_dir()


def test_the_root_itself_is_never_removed(room: Room) -> None:
    (room.folder / "a.md").write_bytes(OLD)
    assert carry(room, intent("a.md", None, OLD)).landing is ApplyOutcome.DONE
    assert room.folder.is_dir()


def test_an_unexpected_file_is_not_removed(room: Room) -> None:
    (room.folder / "a.md").write_bytes(MINE)
    assert carry(room, intent("a.md", None, OLD)).landing is ApplyOutcome.CHANGED
    assert (room.folder / "a.md").read_bytes() == MINE
    assert room.staging() == []


def test_removing_what_is_gone_is_done(room: Room) -> None:
    assert carry(room, intent("x/a.md", None, OLD)).landing is ApplyOutcome.DONE


def test_bytes_that_do_not_match_their_hash_are_never_installed(room: Room) -> None:
    assert carry(room, intent("a.md", NEW, None), b"other").landing is ApplyOutcome.FAILED
    assert list(room.folder.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x.md", "/etc/x.md", "a/../../x.md", "C:\\x.md", "", ".raven-agent/x.md", "a\x00.md"]
)
def test_an_unsafe_path_is_refused_and_nothing_is_written(room: Room, path: str) -> None:
    landed = carry(room, intent(path, NEW, None), NEW)
    assert (landed.landing, landed.seen) == (ApplyOutcome.UNSAFE, None)
    assert list(room.folder.iterdir()) == []


@pytest.mark.parametrize("new", [NEW, None])
def test_a_link_at_a_parent_is_not_gone_through(room: Room, tmp_path: Path, new: bytes | None) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.md").write_bytes(OLD)
    (room.folder / "a").symlink_to(outside)
    assert carry(room, intent("a/x.md", new, OLD), new or b"").landing is ApplyOutcome.UNSAFE
    assert (outside / "x.md").read_bytes() == OLD
    assert os.listdir(outside) == ["x.md"]


def test_a_link_at_the_path_is_neither_followed_nor_replaced(room: Room, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_bytes(OLD)
    (room.folder / "a.md").symlink_to(secret)
    assert carry(room, intent("a.md", NEW, OLD), NEW).landing is ApplyOutcome.CHANGED
    assert carry(room, intent("a.md", None, OLD)).landing is ApplyOutcome.CHANGED
    assert (room.folder / "a.md").is_symlink()
    assert secret.read_bytes() == OLD


def test_a_link_swapped_in_between_any_calls_never_leads_outside(folder: Path, state: Path, tmp_path: Path) -> None:
    """A link swapped in between any two calls never leads outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(1, 60):
        (folder / "a").mkdir()
        (folder / "a/x.md").write_bytes(OLD)
        (outside / "x.md").write_bytes(OLD)
        count = 0

        def swap_in_a_link(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                os.rename(folder / "a", tmp_path / "away")
                os.symlink(outside, folder / "a")

        fs = WrappedFs()
        room = open_room(folder, state, fs)
        fs.before = swap_in_a_link
        room.installer.apply(inline([(intent("a/x.md", NEW, OLD, number), NEW)]), NOW)
        fs.before = None
        room.close()
        assert os.listdir(outside) == ["x.md"]
        assert (outside / "x.md").read_bytes() == OLD
        if not (folder / "a").is_symlink():
            assert count < number
            break
        os.unlink(folder / "a")
        for left in (tmp_path / "away").iterdir():
            left.unlink()
        (tmp_path / "away").rmdir()
    else:
        pytest.fail("there are more calls than were tried")


def test_a_file_where_a_folder_is_needed_blocks_and_stays(room: Room) -> None:
    (room.folder / "a").write_bytes(MINE)
    assert carry(room, intent("a/x.md", NEW, None), NEW).landing is ApplyOutcome.BLOCKED
    assert (room.folder / "a").read_bytes() == MINE


def test_a_full_folder_where_a_file_is_needed_blocks_and_stays(room: Room) -> None:
    (room.folder / "a.md").mkdir()
    (room.folder / "a.md/unsynced.png").write_bytes(MINE)
    assert carry(room, intent("a.md", NEW, None), NEW).landing is ApplyOutcome.BLOCKED
    assert (room.folder / "a.md/unsynced.png").read_bytes() == MINE


def test_an_empty_folder_gives_way_to_a_file(room: Room) -> None:
    (room.folder / "a.md").mkdir()
    assert carry(room, intent("a.md", NEW, None), NEW).landing is ApplyOutcome.DONE
    assert (room.folder / "a.md").read_bytes() == NEW


def test_a_file_turns_into_a_folder_within_one_group(room: Room) -> None:
    (room.folder / "a.md").write_bytes(OLD)
    jobs = [(intent("a.md", None, OLD, 1), b""), (intent("a.md/b.md", NEW, None, 2), NEW)]
    assert [landed.landing for landed in room.installer.apply(inline(jobs), NOW)] == [
        ApplyOutcome.DONE,
        ApplyOutcome.DONE,
    ]
    assert (room.folder / "a.md/b.md").read_bytes() == NEW


def test_a_path_out_of_scope_is_neither_written_nor_removed(room: Room) -> None:
    (room.folder / "a.png").write_bytes(OLD)
    assert carry(room, intent("a.png", NEW, OLD), NEW).landing is ApplyOutcome.OUT_OF_SCOPE
    assert carry(room, intent("a.png", None, OLD)).landing is ApplyOutcome.OUT_OF_SCOPE
    assert (room.folder / "a.png").read_bytes() == OLD


def test_mode_bits_and_extended_attributes_outlive_a_replacement(room: Room) -> None:
    path = room.folder / "a.md"
    path.write_bytes(OLD)
    path.chmod(0o640)
    try:
        os.setxattr(path, "user.colour", b"blue")
        attributes = True
    except OSError:
        attributes = False
    assert carry(room, intent("a.md", NEW, OLD), NEW).landing is ApplyOutcome.DONE
    assert path.stat().st_mode & 0o7777 == 0o640
    if attributes:
        assert os.getxattr(path, "user.colour") == b"blue"


def test_a_new_file_has_the_mode_the_umask_gives(room: Room) -> None:
    before = os.umask(0o027)
    try:
        carry(room, intent("d/a.md", NEW, None), NEW)
    finally:
        os.umask(before)
    assert (room.folder / "d/a.md").stat().st_mode & 0o7777 == 0o640
    assert (room.folder / "d").stat().st_mode & 0o7777 == 0o750


@pytest.mark.parametrize("failing", ["write", "create", "fsync", "rename_noreplace", "mkdir", "exchange"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_folder_as_it_was(folder: Path, state: Path, failing: str, code: int) -> None:
    (folder / "a.md").write_bytes(OLD)
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    room.staging()

    def refuse(name: str, _: tuple[Any, ...]) -> None:
        if name == failing:
            raise OSError(code, os.strerror(code))

    fs.before = refuse
    jobs = [(intent("a.md", NEW, OLD, 1), NEW), (intent("n/b.md", NEW, None, 2), NEW)]
    results = room.installer.apply(inline(jobs), NOW)
    fs.before = None
    refused = [landed for landed in results if landed.landing is ApplyOutcome.FAILED]
    assert refused
    for landed in refused:
        assert landed.text is not None
        assert explain(OSError(code, "")) in landed.text
    if results[0].landing is ApplyOutcome.FAILED:
        assert (folder / "a.md").read_bytes() == OLD
    if results[1].landing is ApplyOutcome.FAILED:
        assert not (folder / "n").exists()
    assert [name for name in room.staging() if not name.endswith(".made")] == []
    room.close()


@pytest.mark.parametrize("size", [2, 40])
def test_a_group_is_written_synced_swapped_and_synced_in_order(folder: Path, state: Path, size: int) -> None:
    """A group is written made durable swapped and made durable in this order."""
    calls: list[str] = []
    for number in range(size):
        (folder / f"{number}").mkdir()
        (folder / f"{number}/f.md").write_bytes(OLD)
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    room.staging()
    fs.before = lambda name, _: calls.append(name)
    jobs = [(intent(f"{number}/f.md", NEW, OLD, number), NEW) for number in range(size)]
    assert {landed.landing for landed in room.installer.apply(inline(jobs), NOW)} == {ApplyOutcome.DONE}
    syncs = {"fsync", "syncfs"}
    last_write = max(i for i, name in enumerate(calls) if name == "write")
    swaps = [i for i, name in enumerate(calls) if name == "exchange"]
    first_sync = min(i for i, name in enumerate(calls) if name in syncs)
    assert last_write < first_sync < swaps[0]
    assert sum(last_write < i < swaps[0] for i, name in enumerate(calls) if name in syncs) == (1 if size > 8 else size)
    assert any(name in {"fsync_dir", "syncfs"} for name in calls[swaps[-1] :])
    room.close()


def test_an_edit_between_the_look_and_the_swap_is_put_back(folder: Path, state: Path) -> None:
    (folder / "a.md").write_bytes(OLD)
    fs = WrappedFs()
    room = open_room(folder, state, fs)

    def edited(name: str, _arguments: tuple[Any, ...]) -> None:
        if name == "exchange":
            (folder / "a.md").write_bytes(MINE)

    fs.before = edited
    landed = room.installer.apply(inline([(intent("a.md", NEW, OLD), NEW)]), NOW)[0]
    fs.before = None
    assert landed.landing is ApplyOutcome.CHANGED
    assert (folder / "a.md").read_bytes() == MINE
    assert room.staging() == []
    room.close()


@pytest.mark.parametrize("kind", [WrappedFs, WithoutExchange])
@pytest.mark.parametrize("new", [NEW, None])
def test_a_save_between_any_two_calls_is_never_lost(
    folder: Path, state: Path, kind: type[WrappedFs], new: bytes | None
) -> None:
    path = folder / "a.md"
    for number in range(1, 200):
        path.write_bytes(OLD)
        count = 0

        def save(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                (folder / ".a.tmp").write_bytes(MINE)
                os.replace(folder / ".a.tmp", path)

        fs = kind()
        room = open_room(folder, state, fs)
        fs.before = save
        landed = room.installer.apply(inline([(intent("a.md", new, OLD, number), new or b"")]), NOW)[0]
        fs.before = None
        assert OLD in room.trashed() or landed.landing is not ApplyOutcome.DONE
        assert [name for name in room.staging() if not name.endswith(".made")] == []
        reached = count >= number
        for entry in list(room.trash.entries()):
            (state / "trash/default" / entry.name).unlink()
        room.close()
        if not reached:
            break
        assert path.read_bytes() == MINE
        path.unlink()
    else:
        pytest.fail("there are more calls than were tried")


def test_files_are_swapped_by_rename_where_exchange_is_missing(folder: Path, state: Path) -> None:
    """Files are swapped without exchange where the disk has none."""
    (folder / "a.md").write_bytes(OLD)
    room = open_room(folder, state, WithoutExchange())
    assert carry(room, intent("a.md", NEW, OLD), NEW).landing is ApplyOutcome.DONE
    assert (folder / "a.md").read_bytes() == NEW
    assert room.trashed() == {OLD}
    assert room.staging() == []
    room.close()


def test_the_swap_primitive_is_told_and_its_probe_leaves_nothing(room: Room) -> None:
    assert room.fs.swap_primitive(room.trash.staging) in set(SwapPrimitive)
    assert room.staging() == []


def test_an_installed_file_is_known_without_being_read_again(room: Room) -> None:
    landed = carry(room, intent("a.md", NEW, None), NEW)
    looked = room.installer.apply(inline([(intent("a.md", NEW, None, 2), NEW)]), NOW)[0]
    assert landed.seen is not None and looked.seen is not None
    assert structs.replace(looked.seen, born_ns=None) == landed.seen


def test_a_moved_root_is_neither_written_to_nor_read(room: Room, tmp_path: Path) -> None:
    room.folder.rename(tmp_path / "moved")
    with pytest.raises(RootError):
        carry(room, intent("a.md", NEW, None), NEW)
    assert list((tmp_path / "moved").iterdir()) == []


def test_marks_go_when_the_results_are_committed(room: Room) -> None:
    job = intent("a.md", NEW, None)
    carry(room, job, NEW)
    assert room.staging() == [f"{job.id}.made"]
    room.installer.release([job.id])
    assert room.staging() == []


def test_a_selected_text_the_server_would_refuse_is_marked(folder: Path, state: Path) -> None:
    """A text the rules take but the server would not is marked."""
    room = open_room(folder, state, rules=Rules(include=("**",)))
    landed = carry(room, intent("a.bin", b"\x00\x01", None), b"\x00\x01")
    assert landed.seen is not None
    assert landed.seen.side.reason is Reason.BINARY
    age(folder / "a.bin")
    room.close()


def test_a_huge_file_in_the_way_of_a_new_one_is_not_read(folder: Path, state: Path) -> None:
    """Its size shows that it is another file."""
    reads: list[str] = []
    fs = WrappedFs(lambda name, _: reads.append(name) if name == "read" else None)
    room = open_room(folder, state, fs)
    with (folder / "a.md").open("wb") as file:
        file.truncate(64 << 20)
    assert carry(room, intent("a.md", NEW, None), NEW).landing is ApplyOutcome.CHANGED
    # The observation reads the first bytes only: they are no text.
    assert len(reads) < 10
    room.close()


def test_a_stop_ends_the_read_of_a_file_that_came_out(folder: Path, state: Path) -> None:
    """The next start finishes the change; the user's file, however large, goes back to its path."""
    room = open_room(folder, state)
    stopping = Installer(room.root, room.trash, room.selection, interrupted=lambda: True)
    with (folder / "a.md").open("wb") as file:
        file.truncate(8 << 20)
    job = intent("a.md", NEW, OLD)
    with pytest.raises(ReadInterrupted):
        stopping.apply(inline([(job, NEW)]), NOW)
    assert room.installer.recover([job], NOW)[0].landing is ApplyOutcome.CHANGED
    assert (folder / "a.md").stat().st_size == 8 << 20 and room.staging() == []
    room.close()
