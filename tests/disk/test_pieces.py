"""The calls of the file system for large files: reading from an offset, writing on, copying ranges, free space."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Dir, FileType, Fs
from simulation.memory_fs import Disk
from simulation.simfs import SimFs

CONTENT = b"0123456789" * 5


def real(folder: Path) -> tuple[Fs, Dir]:
    fs = PosixFs()
    return fs, fs.open_root(str(folder))


def simulated(_folder: Path) -> tuple[Fs, Dir]:
    fs = SimFs(lambda: 1000.0, Disk(free_bytes=5 << 30))
    fs.change((fs.top, "root", fs.new_node(FileType.FOLDER, 0o755)))
    return fs, fs.open_root("/root")


@pytest.fixture(params=[real, simulated])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Fs, Dir]]:
    """A file system with an open folder that holds one file."""
    make: Callable[[Path], tuple[Fs, Dir]] = request.param
    fs, top = make(folder)
    file = fs.create(top, "a", 0o600)
    fs.write(file, CONTENT)
    fs.close(file)
    yield fs, top
    fs.close(top)


def content(fs: Fs, top: Dir, name: str) -> bytes:
    file = fs.open_file(top, name)
    try:
        return fs.read(file, 1000)
    finally:
        fs.close(file)


def test_a_read_from_an_offset_moves_no_position(place: tuple[Fs, Dir]) -> None:
    fs, top = place
    file = fs.open_file(top, "a")
    assert fs.read(file, 3) == CONTENT[:3]
    assert fs.read_at(file, 20, 5) == CONTENT[20:25]
    assert fs.read_at(file, 45, 50) == CONTENT[45:]
    assert fs.read_at(file, 50, 50) == fs.read_at(file, 500, 50) == b""
    assert fs.read(file, 4) == CONTENT[3:7]
    fs.close(file)


def test_an_existing_file_is_written_on(place: tuple[Fs, Dir]) -> None:
    fs, top = place
    file = fs.open_append(top, "a")
    fs.write(file, b"abc")
    fs.write(file, b"def")
    fs.close(file)
    assert content(fs, top, "a") == CONTENT + b"abcdef"
    with pytest.raises(FileNotFoundError):
        fs.open_append(top, "b")


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_a_file_is_copied_in_ranges(place: tuple[Fs, Dir], limit: int) -> None:
    fs, top = place
    with ExitStack() as handles:
        source, target = fs.open_file(top, "a"), fs.create(top, "copy", 0o600)
        handles.callback(fs.close, source)
        handles.callback(fs.close, target)
        offset = 0
        while copied := fs.copy_range(source, offset, limit, target):
            assert copied <= limit
            offset += copied
        assert offset == len(CONTENT)
        fs.write(target, b"!")
    assert content(fs, top, "copy") == CONTENT + b"!"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def test_ranges_are_copied_without_a_call_of_the_kernel(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    fs, top = real(folder)
    source, target = fs.create(top, "a", 0o600), fs.create(top, "copy", 0o600)
    fs.write(source, CONTENT)
    fs.close(source)
    source = fs.open_file(top, "a")
    assert [fs.copy_range(source, offset, 30, target) for offset in (0, 30, 50)] == [30, 20, 0]
    for handle in (source, target):
        fs.close(handle)
    assert content(fs, top, "copy") == CONTENT
    fs.close(top)


def test_a_disk_that_is_full_during_a_copy_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another error of the kernel's copy is not answered with a second try."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    fs, top = real(folder)
    target = fs.create(top, "copy", 0o600)
    source = fs.open_file(top, "copy")
    with pytest.raises(OSError, match="No space"):
        fs.copy_range(source, 0, 30, target)
    for handle in (source, target, top):
        fs.close(handle)


def test_the_free_space_is_that_of_the_disk(place: tuple[Fs, Dir], folder: Path) -> None:
    fs, top = place
    found = os.statvfs(folder)
    expected = 5 << 30 if isinstance(fs, SimFs) else found.f_bavail * found.f_frsize
    # Other programs write to the real disk meanwhile.
    assert abs(fs.free_bytes(top) - expected) < 1 << 30
