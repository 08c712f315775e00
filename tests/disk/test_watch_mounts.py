"""FD2, FD4: the watcher notices mounts, and dropped events cost one renewal, not an endless one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from agent.disk.root import Root
from agent.disk.selection.rules import Rules, Selection
from agent.disk.watch import losses
from agent.disk.watch.events import ScopeFilter
from agent.disk.watch.inotify import InotifyBackend
from agent.disk.watch.losses import LossResponse, LossTracker
from agent.disk.watch.mounts import mounts_of
from agent.disk.watch.watcher import Watcher
from disk.fixtures import Room
from disk.watching import Notices, descriptors, opened_since, watches
from support.eventually import eventually
from support.mounts import bind_mounted, image_mounted, tmpfs_mounted, unmount

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def notices() -> Notices:
    return Notices()


@contextlib.contextmanager
def watching(room: Room, notices: Notices) -> Iterator[Watcher]:
    watcher = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def test_fd2_a_vanished_bind_mount_asks_for_a_scan(room: Room, notices: Notices, tmp_path: Path) -> None:
    """FD2: inotify reports nothing of it; the poll of mountinfo does, and the folder beneath is watched."""
    (tmp_path / "source").mkdir()
    point = room.folder / "d/bound"
    point.mkdir(parents=True)
    with bind_mounted(tmp_path / "source", point), watching(room, notices):
        (point / "x.md").write_text("x")
        eventually(partial(notices.hold, "d/bound/x.md"))
        assert notices.rescans() == 0
        unmount(point)
        eventually(lambda: notices.rescans() > 0, 5)
        notices.forget()
        (tmp_path / "source/x.md").write_text("y")
        (point / "z.md").write_text("z")
        eventually(partial(notices.hold, "d/bound/z.md"))
        assert notices.paths() == {"d/bound/z.md"}


@pytest.mark.parametrize("kind", ["bind", "tmpfs", "image"])
def test_fd2_a_new_mount_is_watched(room: Room, notices: Notices, tmp_path: Path, kind: str) -> None:
    """FD2: of whatever kind it is, and again after it was unmounted and mounted again."""
    (tmp_path / "source").mkdir()
    point = room.folder / "d"
    point.mkdir()
    with watching(room, notices):
        for _ in range(2):
            with (
                bind_mounted(tmp_path / "source", point) if kind == "bind"
                else tmpfs_mounted(point) if kind == "tmpfs"
                else image_mounted(point, tmp_path / "image")
            ):  # fmt: skip
                eventually(lambda: notices.rescans() > 0, 5)
                notices.forget()
                eventually(lambda: _written_and_noticed(point / "x.md", "d/x.md", notices))


def _written_and_noticed(path: Path, name: str, notices: Notices) -> bool:
    path.write_text("x")
    return name in notices.paths()


def test_fd2_mounts_elsewhere_ask_for_nothing(room: Room, notices: Notices, tmp_path: Path) -> None:
    """FD2: neither beside the root nor in a folder out of scope."""
    (tmp_path / "other").mkdir()
    (room.folder / "node_modules/x").mkdir(parents=True)
    with watching(room, notices):
        with tmpfs_mounted(tmp_path / "other"), tmpfs_mounted(room.folder / "node_modules/x"):
            (room.folder / "a.md").write_text("x")
            eventually(partial(notices.hold, "a.md"))
        (room.folder / "b.md").write_text("x")
        eventually(partial(notices.hold, "b.md"))
        assert notices.rescans() == 0


def test_fd7_a_watcher_holds_no_handle_and_is_unmounted(room: Room, notices: Notices) -> None:
    """FD7: the root's own file system can be unmounted under the watcher; mounted again, it is watched again."""
    before_all = descriptors()
    with tmpfs_mounted(room.folder):
        watcher = Watcher(str(room.folder), _selection(room), notices, backend=InotifyBackend)
        watcher.start()
        (room.folder / "a.md").write_text("x")
        eventually(partial(notices.hold, "a.md"))
        (room.folder / ".gitignore").write_text("b.md")
        eventually(lambda: notices.rescans() > 0)
        eventually(lambda: _unmounted(room.folder))
        before = notices.rescans()
        with tmpfs_mounted(room.folder):
            eventually(lambda: notices.rescans() > before)
            notices.forget()
            eventually(lambda: _written_and_noticed(room.folder / "c.md", "c.md", notices))
        watcher.stop()
    # The library's own observer, which other tests use, keeps its descriptors for the life of the process.
    assert opened_since(before_all) == []


def _selection(room: Room) -> Selection:
    return Selection(Root(room.fs, str(room.folder)), Rules())


def _unmounted(folder: Path) -> bool:
    return subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0


def test_fd2_mountinfo_is_read_by_its_mount_points() -> None:
    """FD2: points below the root, the root itself, and those above it, with escaped characters."""
    text = (
        b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        b"30 21 0:4 / /proc rw - proc proc rw\n"
        b"40 21 8:1 /x /home/me/my\\040notes rw - ext4 /dev/sda1 rw\n"
        b"41 40 8:1 /y /home/me/my\\040notes/a\\134b rw - ext4 /dev/sda1 rw\n"
        b"42 21 8:1 /y /home/me/my\\040notes2 rw - ext4 /dev/sda1 rw\n"
        b"broken\n"
    )
    root = b"/home/me/my notes"
    assert mounts_of(text, root) == {(b"21", root), (b"40", root), (b"41", root + b"/a\\b")}


# Dropped events


def test_fd4_a_renewal_keeps_the_watches_and_makes_no_events(room: Room, notices: Notices) -> None:
    """FD4: no watch is removed after an overflow unless its folder went; the removals would fill the queue again."""
    for number in range(100):
        (room.folder / f"{number}/deep").mkdir(parents=True)
    with watching(room, notices) as watcher:
        backend = watcher._backend
        assert isinstance(backend, InotifyBackend) and backend._reader is not None
        before = dict(backend._folders)
        removed: list[object] = []
        backend.on_watch_deleted = removed.append  # type: ignore[method-assign, assignment]
        backend.on_queue_overflow()
        (room.folder / "1/a.md").write_text("x")
        eventually(lambda: notices.rescans() == 1)
        eventually(partial(notices.hold, "1/a.md"))
        assert (backend._folders, removed) == (before, [])
        (room.folder / "2/deep/b.md").write_text("x")
        eventually(partial(notices.hold, "2/deep/b.md"))
        assert notices.rescans() == 1


def test_fd4_an_overflow_costs_one_scan_then_it_is_quiet(room: Room, notices: Notices) -> None:
    """FD4: 100 folders, a queue of 16 events: one scan is asked for, and afterwards every change is noticed."""
    for number in range(100):
        (room.folder / str(number)).mkdir()
    with short_queue(16), watching(room, notices) as watcher:
        (room.folder / "1/a.md").write_text("x")
        eventually(partial(notices.hold, "1/a.md"))
        for number in range(200):
            (room.folder / f"{number % 100}/b.md").write_text(f"{number}")
        eventually(lambda: notices.rescans() > 0)
        eventually(lambda: _written_and_noticed(room.folder / "50/c.md", "50/c.md", notices))
        asked = notices.rescans()
        for number in range(20):
            eventually(partial(_written_and_noticed, room.folder / f"{number}/d.md", f"{number}/d.md", notices))
        assert notices.rescans() == asked
        assert watcher.degraded is None


@contextlib.contextmanager
def short_queue(length: int) -> Iterator[None]:
    """Instances of our reader have a queue of this length. The system's setting is changed only while one is made."""
    make = InotifyFD._create_inotify_fd

    def make_short() -> int:
        before = _QUEUE.read_text()
        try:
            _QUEUE.write_text(f"{length}")
        except OSError:
            pytest.skip("only root can shorten the queue")
        try:
            return make()
        finally:
            _QUEUE.write_text(before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InotifyFD, "_create_inotify_fd", staticmethod(make_short))
        yield


def responses(*losses_at: float, until: float) -> list[tuple[float, LossResponse]]:
    """The responses to losses at these seconds, when asked twice a second."""
    tracker, found = LossTracker(), []
    for half in range(int(2 * until)):
        now = half / 2
        if now in losses_at:
            tracker.lost(now)
        answer = tracker.response(now)
        assert tracker.response(now) is None, "each is given once"
        if answer is not None:
            found.append((now, answer))
    return found


def test_fd4_a_burst_of_losses_is_renewed_once() -> None:
    """FD4: one second after the last loss, or ten seconds after the first."""
    assert responses(0, 0.5, 1, until=30) == [(2.0, LossResponse.RENEW)]
    assert responses(*(half / 2 for half in range(20)), until=10.5) == [(10.0, LossResponse.RENEW)]


def test_fd4_frequent_losses_fall_back_to_intervals() -> None:
    """FD4: the third renewal within a minute becomes a fall-back; five minutes without a loss end it."""
    renew, fall_back, recover = LossResponse.RENEW, LossResponse.FALL_BACK, LossResponse.RECOVER
    found = responses(0, 10, 20, 30, 400, until=500)
    assert found == [(1.0, renew), (11.0, renew), (21.0, fall_back), (330.0, recover), (401.0, renew)]


def test_fd4_rare_losses_are_renewed_each() -> None:
    """FD4: one loss in two minutes never falls back."""
    found = responses(*range(0, 1200, 120), until=1210)
    assert [answer for _, answer in found] == [LossResponse.RENEW] * 10


def test_fd4_a_fall_back_is_reported_and_scans_at_intervals(
    room: Room, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FD4: ``degraded`` says so until it was quiet for long enough."""
    monkeypatch.setattr(losses, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(losses, "QUIET_SECONDS", 1.0)
    (room.folder / "d").mkdir()
    watcher = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend, rescan_seconds=0.05)
    watcher.start()
    backend = watcher._backend
    assert isinstance(backend, InotifyBackend)
    for number in range(3):
        backend.on_queue_overflow()
        eventually(partial(_written_and_noticed, room.folder / f"d/{number}.md", f"d/{number}.md", notices))
    eventually(lambda: "max_queued_events" in (watcher.degraded or ""))
    asked = notices.rescans()
    eventually(lambda: notices.rescans() >= asked + 3)
    eventually(lambda: watcher.degraded is None)
    watcher.stop()
    assert watches() == 0


def test_fd4_a_folder_replaced_unnoticed_is_watched(room: Room, notices: Notices, tmp_path: Path) -> None:
    """FD4: a renewal finds the new folder at the path and ends the watch of the former one."""
    (room.folder / "d/deep").mkdir(parents=True)

    class Deaf(InotifyBackend):
        """Misses every event of a folder, as if the kernel had dropped it."""

        def _on_folder(self, *_: object) -> None:
            return

    def backend(root: str, names: ScopeFilter, post: Notices, degrade: object) -> InotifyBackend:
        return Deaf(root, names, post, degrade)  # type: ignore[arg-type]

    watcher = Watcher(str(room.folder), room.selection, notices, backend=backend)  # type: ignore[arg-type]
    watcher.start()
    before = watches()
    (room.folder / "d").rename(tmp_path / "away")
    (room.folder / "d/deep").mkdir(parents=True)
    found = watcher._backend
    assert isinstance(found, InotifyBackend)
    found.on_queue_overflow()
    (room.folder / "top.md").write_text("x")
    eventually(lambda: notices.rescans() > 0)
    (tmp_path / "away/deep/x.md").write_text("x")
    (room.folder / "d/deep/y.md").write_text("x")
    eventually(partial(notices.hold, "d/deep/y.md"))
    assert "d/deep/x.md" not in notices.paths()
    assert watches() == before
    watcher.stop()
