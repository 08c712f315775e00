"""Reading for an upload: one version of a file or nothing, and a large file in pieces."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.errors import ContentChanged
from agent.core.model import Fingerprint
from agent.disk.apply.file_reader import FileReader
from agent.disk.scan.digest import CHUNK, ReadInterrupted
from agent.disk.scan.observe import observe_path
from disk.fixtures import Room, WrappedFs, age, open_room, sha

CONTENT = b"0123456789" * 3


@pytest.fixture
def fs() -> WrappedFs:
    return WrappedFs()


@pytest.fixture
def room(folder: Path, state: Path, fs: WrappedFs) -> Iterator[Room]:
    (folder / "a.md").write_bytes(CONTENT)
    age(folder / "a.md")
    opened = open_room(folder, state, fs)
    yield opened
    opened.close()


@pytest.fixture
def reader(room: Room) -> Iterator[FileReader]:
    found = FileReader(room.root)
    yield found
    found.close()


def fingerprint(room: Room) -> Fingerprint:
    seen = observe_path(room.root, room.selection, "a.md")
    assert seen.fingerprint is not None
    return seen.fingerprint


def test_a_whole_file_is_read_if_it_has_the_hash(room: Room, reader: FileReader) -> None:
    assert reader.read("a.md", sha(CONTENT), len(CONTENT)) == CONTENT
    assert reader.read("a.md", sha(b"other"), len(CONTENT)) is None
    assert reader.read("a.md", sha(CONTENT), len(CONTENT) - 5) is None
    assert reader.read("missing.md", sha(CONTENT), len(CONTENT)) is None


def test_a_whole_file_is_held_once_in_memory(room: Room, reader: FileReader) -> None:
    """A read of 32 MiB needs little more than 32 MiB, not twice as much."""
    large = b"x" * (32 << 20)
    (room.folder / "large.md").write_bytes(large)
    digest, size = sha(large), len(large)
    del large
    tracemalloc.start()
    try:
        content = reader.read("large.md", digest, size)
        assert content is not None
        assert tracemalloc.get_traced_memory()[1] < size + CHUNK
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [1, 7, 10, 30, 100])
def test_the_pieces_of_a_file_are_its_bytes(room: Room, reader: FileReader, piece: int) -> None:
    """Also out of order, and with a last piece that is shorter."""
    opened = reader.open("a.md", sha(CONTENT), len(CONTENT))
    assert opened is not None
    with opened:
        offsets = range(0, opened.size, piece)
        pieces = {offset: opened.read(offset, piece) for offset in reversed(offsets)}
        assert b"".join(pieces[offset] for offset in offsets) == CONTENT
        assert opened.read(opened.size, piece) == opened.read(opened.size + 5, piece) == b""


def test_another_file_is_not_opened(room: Room, reader: FileReader) -> None:
    (room.folder / "folder.md").mkdir()
    (room.folder / "link.md").symlink_to(room.folder / "a.md")
    os.mkfifo(room.folder / "pipe.md")
    for path in ("missing.md", "folder.md", "link.md", "pipe.md", "none/a.md"):
        assert reader.open(path, sha(CONTENT), len(CONTENT)) is None
    assert reader.open("a.md", sha(b"other"), len(CONTENT)) is None
    assert reader.open("a.md", sha(CONTENT), len(CONTENT) + 1) is None


def test_a_known_stat_saves_the_first_read(room: Room, reader: FileReader, fs: WrappedFs) -> None:
    """Unless it is racy or another one: then the bytes decide."""
    known = fingerprint(room)
    racy = replace(known, racy=True)
    reads: list[str] = []
    fs.before = lambda name, _: reads.append(name) if name == "read_at" else None
    for stat, expected in ((known, 0), (racy, 1), (None, 1)):
        reads.clear()
        opened = reader.open("a.md", sha(CONTENT), len(CONTENT), stat)
        assert opened is not None
        opened.close()
        assert len(reads) == expected
    (room.folder / "a.md").write_bytes(CONTENT[::-1])
    assert reader.open("a.md", sha(CONTENT), len(CONTENT), known) is None


@pytest.mark.parametrize("change", ["append", "same_size", "truncate", "touch", "replace"])
def test_a_change_between_two_pieces_is_reported(room: Room, reader: FileReader, change: str) -> None:
    """The pieces before and after it are never taken for one file."""
    path = room.folder / "a.md"
    opened = reader.open("a.md", sha(CONTENT), len(CONTENT))
    assert opened is not None
    assert opened.read(0, 10) == CONTENT[:10]
    match change:
        case "append":
            with path.open("ab") as file:
                file.write(b"!")
        case "same_size":
            with path.open("r+b") as file:
                file.write(b"!")
        case "truncate":
            os.truncate(path, 15)
        case "touch":
            os.utime(path)
        case _:
            (room.folder / "a.tmp").write_bytes(CONTENT)
            (room.folder / "a.tmp").replace(path)
    with pytest.raises(ContentChanged, match=r"a\.md changed"):
        opened.read(10, 10)
    opened.close()
    opened.close()


def test_a_change_at_any_call_never_gives_a_mixture(folder: Path, state: Path) -> None:
    """For every call of the file system: all pieces are of the version that was asked for, or the read ends."""
    path = folder / "a.md"
    other = CONTENT[::-1]
    ended = 0
    for number in range(1, 40):
        path.write_bytes(CONTENT)
        age(path)
        count = 0

        def edit(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                with path.open("r+b") as file:
                    file.write(other)

        fs = WrappedFs()
        room = open_room(folder, state, fs)
        reader = FileReader(room.root)
        fs.before = edit
        opened = reader.open("a.md", sha(CONTENT), len(CONTENT))
        if opened is not None:
            try:
                assert b"".join(opened.read(offset, 10) for offset in range(0, 30, 10)) == CONTENT
            except ContentChanged:
                ended += 1
            opened.close()
        fs.before = None
        reader.close()
        room.close()
        if count < number:
            assert ended >= 3
            return
    pytest.fail("there are more calls than were tried")


def test_a_stop_ends_the_check_of_a_large_file(room: Room) -> None:
    reader = FileReader(room.root, lambda: True)
    with pytest.raises(ReadInterrupted):
        reader.open("a.md", sha(CONTENT), len(CONTENT))
    reader.close()
