"""The trash: self-describing files, private, pruned by age and size."""

from __future__ import annotations

import datetime
import errno
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome
from agent.disk.apply.staging import file_hash
from disk.fixtures import NOW, Room, WrappedFs, inline, intent, open_room, sha

DAY = 86_400.0
GIGABYTE = 1 << 30


def test_what_is_stashed_comes_back_whole_and_described(room: Room) -> None:
    room.trash.store("d/ü 1%.md", b"text", "resolve", "00ff", NOW)
    (entry,) = room.trash.entries()
    assert (entry.id, entry.path, entry.hash, entry.size, entry.reason, entry.moved_at) == (
        "00ff",
        "d/ü 1%.md",
        sha(b"text"),
        4,
        "resolve",
        NOW,
    )
    assert room.trash.read("00ff") == b"text"
    stamp = datetime.datetime.fromtimestamp(NOW, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    assert entry.name == f"{stamp}-00ff-{sha(b'text')}-resolve-d%2F%C3%BC%201%25.md"


def test_a_path_too_long_for_a_name_stands_beside_its_entry(room: Room) -> None:
    path = "/".join(["ü" * 40] * 20) + "/a.md"
    room.trash.store(path, b"text", "pull", "01", NOW)
    (entry,) = room.trash.entries()
    assert len(entry.name.encode()) == 255
    assert entry.path == path
    room.trash.prune(NOW + DAY, 1.0, GIGABYTE, lambda _: True)
    assert os.listdir(room.state / "trash/default") == []


def test_stashing_the_same_again_keeps_one(room: Room) -> None:
    room.trash.store("a.md", b"text", "pull", "01", NOW)
    room.trash.store("a.md", b"text", "pull", "01", NOW + 5)
    assert len(list(room.trash.entries())) == 1
    assert room.staging() == []


def test_a_move_cut_off_by_a_crash_makes_one_entry(room: Room) -> None:
    """The file was linked into the trash, and recovery, seconds later, moves its other name in as well."""
    staged = room.state / "slots/default/0a.old"
    staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged.write_bytes(b"text")
    given: dict[str, Any] = {"sha256": sha(b"text"), "hashed": None, "reason": "pull", "entry_id": "0a"}
    room.trash.move_in("0a.old", "a.md", now=NOW, **given)
    (entry,) = room.trash.entries()
    os.link(room.state / "trash/default" / entry.name, staged)
    room.trash.move_in("0a.old", "a.md", now=NOW + 5, **given)
    assert [one.name for one in room.trash.entries()] == [entry.name]
    assert room.staging() == []
    assert room.trash.read(entry.id) == b"text"


@pytest.mark.parametrize("made", range(4))
def test_a_trash_that_cannot_be_opened_leaves_no_folder_open(folder: Path, state: Path, made: int) -> None:
    """CR6: a full disk refuses one of its folders, and the agent tries again for days."""
    count = 0

    def refuse(name: str, _: tuple[Any, ...]) -> None:
        nonlocal count
        count += name == "mkdir"
        if count > made:
            raise OSError(errno.ENOSPC, "full")

    fs = WrappedFs()
    room = open_room(folder, state, fs)
    before = len(os.listdir("/dev/fd"))
    fs.before = refuse
    for _ in range(3):
        with pytest.raises(DiskError):
            room.trash.store("a.md", b"text", "resolve", "00ff", NOW)
    assert len(os.listdir("/dev/fd")) == before
    fs.before = None
    room.trash.store("a.md", b"text", "resolve", "00ff", NOW)
    room.close()


def test_an_unknown_entry_is_a_disk_error(room: Room) -> None:
    with pytest.raises(DiskError):
        room.trash.read("nothing")


def test_foreign_names_in_the_trash_are_passed_over_and_kept(room: Room) -> None:
    room.staging()
    (room.state / "trash/default/README").write_text("mine")
    assert list(room.trash.entries()) == []
    room.trash.prune(NOW, 0.0, 0, lambda _: True)
    assert (room.state / "trash/default/README").exists()


def test_entries_past_their_age_go_with_or_without_a_server(room: Room) -> None:
    """Entries past their age go whether or not a server has them."""
    room.trash.store("a.md", b"old", "pull", "01", NOW - 31 * DAY)
    room.trash.store("b.md", b"new", "pull", "02", NOW - 29 * DAY)
    gone = room.trash.prune(NOW, 30 * DAY, GIGABYTE, lambda _: False)
    assert [entry.id for entry in gone] == ["01"]
    assert [entry.id for entry in room.trash.entries()] == ["02"]


def test_over_the_size_the_oldest_go_and_those_on_no_server_last(room: Room) -> None:
    for number, content in enumerate([b"only copy!", b"on server1", b"on server2", b"on server3"]):
        room.trash.store(f"{number}.md", content, "pull", f"0{number}", NOW + number)
    on_server = {sha(b"on server1"), sha(b"on server2"), sha(b"on server3")}
    assert [entry.id for entry in room.trash.prune(NOW + 9, DAY, 25, on_server.__contains__)] == ["01", "02"]
    assert [entry.id for entry in room.trash.prune(NOW + 9, DAY, 5, on_server.__contains__)] == ["03", "00"]


def test_a_large_entry_is_held_once_in_memory(room: Room) -> None:
    size = 24 << 20
    room.trash.store("a.md", b"x" * size, "pull", "01", NOW)
    tracemalloc.start()
    try:
        assert len(room.trash.read("01")) == size
        assert tracemalloc.get_traced_memory()[1] < size + (2 << 20)
    finally:
        tracemalloc.stop()


def test_a_replaced_large_file_is_kept_by_a_rename(room: Room) -> None:
    """It is not copied, and it empties the trash of nothing else, although it alone is over the limit."""
    limit = 32 << 20
    for number in range(20):
        room.trash.store(f"{number}.md", b"small", "pull", f"a{number:02}", NOW - number)
    path = room.folder / "large.md"
    with path.open("wb") as file:
        file.truncate(2 * limit)
    inode = path.stat().st_ino
    old = file_hash(room.fs, room.root.handle, "large.md")
    assert old is not None
    job = structs.replace(intent("large.md", b"new", b""), expected=old.sha256)
    assert room.installer.apply(inline([(job, b"new")]), NOW)[0].landing is ApplyOutcome.DONE
    (entry,) = [entry for entry in room.trash.entries() if entry.path == "large.md"]
    kept = room.state / "trash/default" / entry.name
    assert (kept.stat().st_ino, kept.stat().st_blocks) == (inode, 0)
    assert room.trash.prune(NOW, DAY, limit, lambda _: False) == []
    assert len(list(room.trash.entries())) == 21
    assert room.trash.prune(NOW, DAY, limit, lambda digest: digest == old.sha256) == [entry]
    assert len(list(room.trash.entries())) == 20


def test_the_trash_is_private_and_made_only_when_it_is_needed(room: Room) -> None:
    assert os.listdir(room.state) == []
    room.staging()
    for name in ("trash", "trash/default", "slots", "slots/default"):
        assert (room.state / name).stat().st_mode & 0o777 == 0o700
    assert os.listdir(room.folder) == []


def test_on_another_volume_the_trash_is_in_the_root_and_unscoped(folder: Path, state: Path) -> None:
    """On another volume the trash lies in the root and is out of scope."""

    class TwoVolumes(WrappedFs):
        def same_volume(self, *_: Any) -> bool:
            return False

    room = open_room(folder, state, TwoVolumes())
    room.trash.store("a.md", b"text", "pull", "01", NOW)
    assert os.listdir(state) == []
    assert (folder / ".raven-agent").stat().st_mode & 0o777 == 0o700
    assert len(os.listdir(folder / ".raven-agent/trash/default")) == 1
    assert not room.selection.may_contain(".raven-agent")
    room.close()


def test_a_linked_trash_folder_is_refused(folder: Path, state: Path, tmp_path: Path) -> None:
    (folder / ".raven-agent").symlink_to(tmp_path)

    class TwoVolumes(WrappedFs):
        def same_volume(self, *_: Any) -> bool:
            return False

    room = open_room(folder, state, TwoVolumes())
    with pytest.raises(DiskError):
        room.trash.store("a.md", b"text", "pull", "01", NOW)
    room.close()


def test_two_mounts_of_one_disk_count_as_two_volumes() -> None:
    if not Path("/proc/self/fdinfo").exists():
        pytest.skip("needs /proc")
    from agent.disk.fs.posix import PosixFs

    fs = PosixFs()
    one, other = fs.open_root("/"), fs.open_root("/proc")
    assert fs.same_volume(one, one)
    assert not fs.same_volume(one, other)
    fs.close(one)
    fs.close(other)


def test_within_its_size_nobody_is_asked_what_a_server_holds(room: Room) -> None:
    asked = []
    room.trash.store("a.md", b"old", "pull", "01", NOW - 31 * DAY)
    room.trash.store("b.md", b"new", "pull", "02", NOW)

    def known(digest: str) -> bool:
        asked.append(digest)
        return False

    room.trash.prune(NOW, 30 * DAY, GIGABYTE, known)
    assert asked == []
