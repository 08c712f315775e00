"""FD2: a mount below the root is known by its mount id, so a bind mount of the same file system counts too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.accepts import TEXT
from agent.core.model import ApplyOutcome, IndexedFile, Presence, Reason
from agent.disk.fs import syscalls
from agent.disk.scan.observe import observe_paths
from agent.disk.scan.walk import scan
from disk.fixtures import NOW, Room, age, inline, intent, remember
from support.mounts import bind_mounted, unmount


@pytest.fixture
def bound(room: Room, tmp_path: Path) -> Iterator[Path]:
    """A folder of the root where a folder of the same file system is mounted, with one file in it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.md").write_bytes(b"text")
    age(source / "a.md")
    point = room.folder / "bound"
    point.mkdir()
    with bind_mounted(source, point):
        assert point.stat().st_dev == room.folder.stat().st_dev
        yield point


def scanned(room: Room, known: list[IndexedFile]) -> tuple[dict[str, IndexedFile], frozenset[str], list[str]]:
    """What differs, the mounts that were found, and the entries that were skipped."""
    batches = list(scan(room.root, room.selection, known))
    seen = {one.path: remember(one) for batch in batches for one in batch.seen}
    skipped = [entry.raw_path for batch in batches for entry in batch.skipped]
    return seen, frozenset(mount for batch in batches for mount in batch.mounts), skipped


def test_fd2_an_unmounted_bind_mount_is_unknown(room: Room, bound: Path) -> None:
    """FD2: a scan and a single observation find its files unknown, not absent."""
    known, mounts, _ = scanned(room, [])
    assert (set(known), mounts) == ({"bound/a.md"}, frozenset({"bound"}))
    unmount(bound)
    room.root.mounts = mounts
    seen, mounts, skipped = scanned(room, list(known.values()))
    side = seen["bound/a.md"].side
    assert (side.presence, side.reason) == (Presence.UNKNOWN, Reason.UNMOUNTED)
    assert (mounts, skipped) == (frozenset(), ["bound"])
    (alone,) = observe_paths(room.root, room.selection, ["bound/a.md"], known, TEXT)
    assert alone.side.reason is Reason.UNMOUNTED


def test_fd2_nothing_is_written_below_a_bare_mount_point(room: Room, bound: Path) -> None:
    """FD2: neither a new file, nor a new folder, nor a removal."""
    unmount(bound)
    room.root.mounts = frozenset({"bound"})
    (bound / "other.md").write_bytes(b"of the folder beneath")
    jobs = [
        (intent("bound/new.md", b"new", None, 1), b"new"),
        (intent("bound/deep/new.md", b"new", None, 2), b"new"),
        (intent("bound/other.md", None, b"of the folder beneath", 3), b""),
    ]
    assert ApplyOutcome.DONE not in {one.landing for one in room.installer.apply(inline(jobs), NOW)}
    assert [entry.name for entry in bound.iterdir()] == ["other.md"]


def test_fd2_a_bind_mount_that_is_back_is_scanned(room: Room, bound: Path, tmp_path: Path) -> None:
    """FD2: mounted again, its files are as known, and a file deleted in it is absent."""
    known, mounts, _ = scanned(room, [])
    room.root.mounts = mounts
    unmount(bound)
    with bind_mounted(tmp_path / "source", bound):
        assert scanned(room, list(known.values())) == ({}, mounts, [])
        (bound / "a.md").unlink()
        assert scanned(room, list(known.values()))[0]["bound/a.md"].side.presence is Presence.ABSENT


def test_fd2_a_mount_is_known_without_statx(room: Room, bound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FD2: on a kernel before 5.8 the mount id comes from /proc/self/fdinfo."""
    monkeypatch.setattr(syscalls, "_statx", None)
    assert scanned(room, [])[1] == {"bound"}


def test_fd2_a_mount_within_a_bind_mount_is_missed_alone(room: Room, bound: Path, tmp_path: Path) -> None:
    """FD2: the outer mount proves nothing about the inner one."""
    inner = bound / "inner"
    inner.mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "second/b.md").write_bytes(b"text")
    with bind_mounted(tmp_path / "second", inner):
        known, mounts, _ = scanned(room, [])
        assert mounts == {"bound", "bound/inner"}
    room.root.mounts = mounts
    seen = scanned(room, [known[path] for path in sorted(known)])[0]
    assert {path: one.side.reason for path, one in seen.items()} == {"bound/inner/b.md": Reason.UNMOUNTED}
