"""FD8: size first, then the first 8 KiB, then a hash in slices that can be interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.core.accepts import TEXT, Accepts
from agent.core.model import Presence, Reason
from agent.disk.scan.digest import CHUNK, HELD, PEEK, ReadInterrupted
from agent.disk.scan.observe import LARGE, UNREAD, ReadPolicy, observe_path, observe_paths
from agent.disk.scan.walk import scan
from disk.fixtures import Room, WrappedFs, age, open_room, remember, sha

_DEFER = ReadPolicy(defer_large=True)


def sparse(path: Path, size: int, head: bytes = b"") -> None:
    """A file of this size that takes no room, and is at rest."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    age(path)


class Counting(WrappedFs):
    """Counts the calls and the bytes that were read."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.bytes = 0
        super().__init__(lambda name, args: self.calls.append((name, args[-1])))

    def read(self, file: Any, limit: int) -> bytes:
        content = self._real.read(file, limit)
        self.bytes += len(content)
        return content


@pytest.fixture
def counted(folder: Path, state: Path) -> Room:
    return open_room(folder, state, Counting())


def test_fd8_a_file_over_the_limit_is_not_read(counted: Room) -> None:
    """FD8: 8 TiB are known to be too large by a stat, at first sight and at each change."""
    path, fs = counted.folder / "a.md", counted.fs
    assert isinstance(fs, Counting)
    sparse(path, 8 << 40)
    (seen,) = [
        one
        for batch in scan(counted.root, counted.selection, [], accepts=Accepts(max_bytes=1000))
        for one in batch.seen
    ]
    assert (seen.side.presence, seen.side.reason, seen.side.size) == (Presence.UNKNOWN, Reason.TOO_LARGE, 8 << 40)
    age(path, 30)
    fs.calls.clear()
    again = observe_path(counted.root, counted.selection, "a.md", remember(seen), accepts=Accepts(max_bytes=1000))
    assert again.side == seen.side
    assert (fs.bytes, [name for name, argument in fs.calls if argument == "a.md"]) == (0, ["stat"])
    counted.close()


@pytest.mark.parametrize(
    ("head", "reason"), [(b"", Reason.BINARY), (b"\xff" * PEEK, Reason.NOT_UTF8)], ids=["binary", "latin"]
)
def test_fd8_a_large_file_that_is_no_text_costs_8_kib(counted: Room, head: bytes, reason: Reason) -> None:
    """FD8: its first bytes show it, with no limit known."""
    assert isinstance(counted.fs, Counting)
    sparse(counted.folder / "a.md", 3 << 30, head)
    seen = observe_path(counted.root, counted.selection, "a.md")
    assert (seen.side.presence, seen.side.reason, seen.side.size) == (Presence.UNKNOWN, reason, 3 << 30)
    assert counted.fs.bytes == PEEK
    counted.close()


@pytest.mark.parametrize("size", [HELD, HELD + 1, HELD + CHUNK + 1])
def test_fd8_a_text_beside_the_slices_has_its_own_hash(room: Room, size: int) -> None:
    """FD8: also with a character that the first 8 KiB cut in two."""
    content = b"x" * (PEEK - 1) + "ü".encode() + b"y" * (size - PEEK - 1)
    (room.folder / "a.md").write_bytes(content)
    age(room.folder / "a.md")
    side = observe_path(room.root, room.selection, "a.md").side
    assert (side.hash, side.size, side.reason) == (sha(content), size, None)


def test_fd8_a_large_file_is_deferred_in_scans(room: Room) -> None:
    """FD8: it is named and not read; the small files around it are, and one that is known is not named again."""
    for name in ("a.md", "z.md"):
        (room.folder / name).write_bytes(b"small")
        age(room.folder / name)
    (room.folder / "m.md").write_bytes(b"x" * (LARGE + 1))
    age(room.folder / "m.md")
    (batch,) = scan(room.root, room.selection, [], policy=_DEFER)
    assert ([one.path for one in batch.seen], batch.large) == (["a.md", "z.md"], ("m.md",))
    found = observe_paths(room.root, room.selection, ["m.md", "a.md"], {}, TEXT, policy=_DEFER)
    assert [one.side is UNREAD for one in found] == [True, False]
    whole = observe_path(room.root, room.selection, "m.md")
    known = [remember(batch.seen[0]), remember(whole), remember(batch.seen[1])]
    assert list(scan(room.root, room.selection, known, policy=_DEFER)) == []
    os.utime(room.folder / "m.md", ns=(10**18, 10**18))
    (batch,) = scan(room.root, room.selection, known, policy=_DEFER)
    assert (batch.seen, batch.large) == ((), ("m.md",))


def test_fd8_a_growing_log_is_not_read(room: Room) -> None:
    """FD8: a large file written a moment ago waits; one from the future, by a wrong clock, does not."""
    path = room.folder / "log.md"
    path.write_bytes(b"x" * (LARGE + 1))
    (seen,) = observe_paths(room.root, room.selection, ["log.md"], {}, TEXT, policy=_DEFER)
    assert seen.side.reason is Reason.CHANGING
    age(path, -3600)
    (seen,) = observe_paths(room.root, room.selection, ["log.md"], {}, TEXT, policy=_DEFER)
    assert seen.side is UNREAD


def test_fd8_a_read_ends_where_the_text_ends(counted: Room) -> None:
    """FD8: a sparse file of 1 TiB that begins with 64 KiB of text costs one slice more."""
    assert isinstance(counted.fs, Counting)
    sparse(counted.folder / "a.md", 1 << 40, b"x" * (64 << 10))
    seen = observe_path(counted.root, counted.selection, "a.md")
    assert (seen.side.presence, seen.side.reason) == (Presence.UNKNOWN, Reason.BINARY)
    assert counted.fs.bytes <= PEEK + CHUNK
    counted.close()


def test_fd8_a_read_is_interrupted_between_slices(counted: Room) -> None:
    """FD8: at the third slice; nothing is concluded from what was read."""
    assert isinstance(counted.fs, Counting)
    (counted.folder / "a.md").write_bytes(b"x" * (20 << 20))
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    with pytest.raises(ReadInterrupted):
        observe_paths(counted.root, counted.selection, ["a.md"], {}, TEXT, policy=ReadPolicy(interrupted=stop))
    assert counted.fs.bytes <= 5 * CHUNK
    counted.close()


def test_fd8_a_scan_of_many_files_is_interrupted(room: Room) -> None:
    """FD8: also where each of them is too small for the slices."""
    for number in range(20):
        (room.folder / f"{number}.md").write_bytes(b"x" * (512 << 10))
    seen: list[bool] = []

    def stop() -> bool:
        seen.append(True)
        return len(seen) > 3

    with pytest.raises(ReadInterrupted):
        list(scan(room.root, room.selection, [], policy=ReadPolicy(interrupted=stop)))
