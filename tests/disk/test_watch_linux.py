"""On Linux exactly the folders in scope are watched, whatever comes, goes and is renamed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.disk.watch.events import ChangedPaths, Degrade, PostChanges, ScopeFilter
from agent.disk.watch.inotify import InotifyBackend
from agent.disk.watch.watcher import Watcher
from disk.fixtures import Room, needs_root
from disk.watching import Notices, descriptors, opened_since, watches
from support.eventually import eventually, patience
from support.network_paths import open_the_way_to


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def linux(room: Room, notices: Notices) -> Iterator[Watcher]:
    watching = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend)
    watching.start()
    yield watching
    watching.stop()


def test_a_file_moved_away_is_reported_at_once_and_delays_none(
    room: Room, linux: Watcher, notices: Notices, tmp_path: Path
) -> None:
    """watchdog's own observer holds the first for half a second, which a busy machine does not reach five times."""
    fastest = 10.0
    for number in range(5):
        away, other = f"away{number}.md", f"other{number}.md"
        (room.folder / away).write_text("x")
        eventually(partial(notices.hold, away))
        notices.forget()
        began = time.monotonic()
        (room.folder / away).rename(tmp_path / away)
        (room.folder / other).write_text("x")
        eventually(partial(notices.hold, away, other))
        fastest = min(fastest, time.monotonic() - began)
    assert fastest < 0.3


def test_files_in_folders_made_a_moment_ago_are_all_found(room: Room, linux: Watcher, notices: Notices) -> None:
    wanted = set()
    for number in range(200):
        path = f"{number}/a/b/c/file.md"
        os.makedirs((room.folder / path).parent)
        (room.folder / path).write_text("x")
        wanted.add(path)
    eventually(lambda: notices.paths() >= wanted)


def test_a_folder_made_again_under_its_name_is_watched(room: Room, linux: Watcher, notices: Notices) -> None:
    for number in range(20):
        (room.folder / "d").mkdir()
        path = f"d/{number}.md"
        (room.folder / path).write_text("x")
        eventually(partial(notices.hold, path))
        notices.forget()
        (room.folder / path).unlink()
        (room.folder / "d").rmdir()


def test_a_recreated_folder_is_watched_while_the_old_is_open(room: Room, linux: Watcher, notices: Notices) -> None:
    """A folder made again is watched though somebody still holds the old one open."""
    (room.folder / "d").mkdir()
    (room.folder / "d/first.md").write_text("x")
    eventually(lambda: "d/first.md" in notices.paths())
    held = os.open(room.folder / "d", os.O_RDONLY)
    (room.folder / "d/first.md").unlink()
    (room.folder / "d").rmdir()
    (room.folder / "d").mkdir()
    eventually(lambda: _written_and_noticed(room.folder / "d/x.md", "d/x.md", notices))
    os.close(held)


def test_folders_that_come_and_go_leave_no_watches_behind(room: Room, notices: Notices) -> None:
    watching = Watcher(str(room.folder), room.selection, notices, backend=partial(InotifyBackend, watch_limit=2))
    watching.start()
    before = watches()
    for number in range(10):
        (room.folder / str(number)).mkdir()
        eventually(lambda: watches() == before + 1)
        (room.folder / str(number)).rmdir()
        (room.folder / f"{number}.md").write_text("x")
        eventually(partial(notices.hold, f"{number}.md"))
    assert watches() == before
    assert watching.degraded is None
    watching.stop()


def test_a_folder_renamed_during_rule_loading_is_watched(room: Room, notices: Notices) -> None:
    """A folder renamed while the rules are read is watched under its last name."""

    class Meddling(ScopeFilter):
        def changes_scope(self, path: str) -> bool:
            if path == ".gitignore" and (room.folder / "d").exists():
                (room.folder / "d").rename(room.folder / "e")
            return super().changes_scope(path)

    def backend(root: str, names: ScopeFilter, post: PostChanges, degrade: Degrade) -> InotifyBackend:
        return InotifyBackend(root, Meddling(room.selection), post, degrade)

    (room.folder / "d/deep").mkdir(parents=True)
    watching = Watcher(str(room.folder), room.selection, notices, backend=backend)
    watching.start()
    (room.folder / ".gitignore").write_text("# nothing")
    eventually((room.folder / "e").is_dir)
    eventually(lambda: _written_and_noticed(room.folder / "e/deep/x.md", "e/deep/x.md", notices))
    eventually(lambda: watches() == 3)
    assert watching.degraded is None
    watching.stop()


def test_a_folder_moved_out_of_the_root_is_no_longer_watched(
    room: Room, linux: Watcher, notices: Notices, tmp_path: Path
) -> None:
    (room.folder / "d/deep").mkdir(parents=True)
    (room.folder / "d/deep/first.md").write_text("x")
    eventually(lambda: "d/deep/first.md" in notices.paths())
    before = watches()
    (room.folder / "d").rename(tmp_path / "out")
    eventually(lambda: notices.rescans() > 0 and watches() == before - 2)
    (tmp_path / "out/deep/x.md").write_text("x")
    (room.folder / "last.md").write_text("x")
    eventually(lambda: "last.md" in notices.paths())
    assert "d/deep/x.md" not in notices.paths()


def test_renames_with_an_ignore_edit_are_watched_by_last_name(room: Room, linux: Watcher, notices: Notices) -> None:
    """Folders renamed and an ignore file edited at once are watched under their last names."""
    for number in range(30):
        (room.folder / f"{number}/deep").mkdir(parents=True)
        (room.folder / ".gitignore").write_text(f"# {number}\n")
        (room.folder / str(number)).rename(room.folder / f"new{number}")
    wanted = {f"new{number}/deep/x.md" for number in range(30)}
    (room.folder / "settled.md").write_text("x")
    eventually(lambda: "settled.md" in notices.paths())
    notices.forget()
    for path in wanted:
        (room.folder / path).write_text("x")
    eventually(lambda: notices.paths() >= wanted)
    assert linux.degraded is None


def test_dropped_kernel_events_cause_a_scan_and_new_watches(
    room: Room, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    """Dropped kernel events cause a scan and new watches."""
    blocked, proceed = threading.Event(), threading.Event()

    def post(noticed: ChangedPaths, /) -> None:
        blocked.set()
        proceed.wait(patience(30))
        notices(noticed)

    (room.folder / "old").mkdir()
    files = [room.folder / name for name in ("a.md", "b.md")]
    for file in files:
        file.write_text("x")
    watching = Watcher(str(room.folder), room.selection, post, backend=InotifyBackend)
    watching.start()
    files[0].touch()
    assert blocked.wait(patience(10))
    for _ in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())):
        for file in files:
            file.chmod(0o644)
    (room.folder / "old").rename(room.folder / "new")
    (room.folder / "old").mkdir()
    assert notices.rescans() == 0
    proceed.set()
    eventually(lambda: notices.rescans() > 0)
    assert "queue overflowed" in caplog.text
    notices.forget()
    (room.folder / "old/x.md").write_text("x")
    (room.folder / "new/y.md").write_text("x")
    eventually(lambda: notices.paths() >= {"old/x.md", "new/y.md"})
    assert notices.paths() == {"old/x.md", "new/y.md"}
    assert watching.degraded is None
    watching.stop()


@needs_root
def test_an_unreadable_folder_is_skipped_and_watched_later(room: Room, notices: Notices, tmp_path: Path) -> None:
    """A folder that may not be read is passed over and watched when it may."""
    open_the_way_to(tmp_path / "root")
    for name in ("shut", "shut_too", "open"):
        (room.folder / name).mkdir()
        (room.folder / name).chmod(0o700 if name != "open" else 0o755)
    watching = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend)
    before = watches()
    os.seteuid(65534)
    try:
        watching.start()
        assert watches() - before == 2
        assert watching.degraded is None
    finally:
        os.seteuid(0)
    (room.folder / "shut").chmod(0o755)
    eventually(lambda: notices.rescans() > 0)
    (room.folder / "shut/x.md").write_text("x")
    (room.folder / "open/x.md").write_text("x")
    eventually(lambda: notices.paths() >= {"shut/x.md", "open/x.md"})
    watching.stop()


def test_an_error_that_ends_watching_is_told(room: Room) -> None:
    def post(_: ChangedPaths, /) -> None:
        raise ValueError("not taken")

    watching = Watcher(str(room.folder), room.selection, post, backend=InotifyBackend)
    watching.start()
    (room.folder / "a.md").write_text("x")
    eventually(lambda: "not taken" in (watching.degraded or ""))
    watching.stop()


def test_a_folder_that_enters_the_scope_is_watched(room: Room, linux: Watcher, notices: Notices) -> None:
    (room.folder / ".gitignore").write_text("d/\n")
    eventually(lambda: notices.rescans() > 0)
    (room.folder / "d").mkdir()
    (room.folder / ".gitignore").write_text("\n")
    eventually(lambda: room.selection.verdict("d/x.md").selected)
    eventually(lambda: _written_and_noticed(room.folder / "d/x.md", "d/x.md", notices))


def _written_and_noticed(path: Path, name: str, notices: Notices) -> bool:
    path.write_text("x")
    return name in notices.paths()


def test_a_moved_root_asks_for_a_look(room: Room, linux: Watcher, notices: Notices, tmp_path: Path) -> None:
    room.folder.rename(tmp_path / "moved")
    eventually(lambda: notices.rescans() > 0)


def test_too_few_watches_is_degraded_and_scans_at_intervals(room: Room, notices: Notices) -> None:
    """More folders than watches is degraded and looks at intervals."""
    for number in range(5):
        (room.folder / str(number)).mkdir()
    watching = Watcher(
        str(room.folder), room.selection, notices, backend=partial(InotifyBackend, watch_limit=3), rescan_seconds=0.05
    )
    watching.start()
    assert watching.degraded is not None
    assert "max_user_watches" in watching.degraded
    eventually(lambda: notices.rescans() >= 2)
    (room.folder / "top.md").write_text("x")
    eventually(lambda: "top.md" in notices.paths())
    watching.stop()


def test_folders_out_of_scope_take_no_watches(room: Room, notices: Notices) -> None:
    for number in range(200):
        (room.folder / f"node_modules/{number}").mkdir(parents=True)
    (room.folder / "a/b").mkdir(parents=True)
    before = watches()
    watching = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend)
    watching.start()
    assert watches() - before == 3
    for number in range(200):
        (room.folder / f"a/node_modules/{number}").mkdir(parents=True)
    (room.folder / "a/b/c").mkdir()
    (room.folder / "a/b/c/end.md").write_text("x")
    eventually(lambda: "a/b/c/end.md" in notices.paths())
    assert watches() - before == 4
    assert watching.degraded is None
    watching.stop()
    assert watches() == before


def test_an_unwatchable_root_is_degraded_and_still_scanned(room: Room, notices: Notices) -> None:
    """A root that cannot be watched is degraded and still scanned."""
    before = descriptors()
    watching = Watcher(str(room.folder / "gone"), room.selection, notices, backend=InotifyBackend, rescan_seconds=0.05)
    watching.start()
    assert watching.degraded is not None
    eventually(lambda: notices.rescans() > 0)
    watching.stop()
    assert opened_since(before) == []


def test_a_stop_amid_changes_is_prompt_and_releases_everything(room: Room, notices: Notices) -> None:
    """A stop amid changes is prompt final and gives everything back."""
    for number in range(500):
        (room.folder / str(number)).mkdir()
    before = descriptors()
    watching = Watcher(str(room.folder), room.selection, notices, backend=InotifyBackend)
    watching.start()
    busy = threading.Event()

    def write() -> None:
        for number in range(3000):
            (room.folder / f"{number % 500}/{number}.md").write_text("x")
            if number == 100:
                busy.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert busy.wait(patience(10))
    began = time.monotonic()
    watching.stop()
    assert time.monotonic() - began < patience(2)
    posted = notices.paths()
    writer.join()
    assert notices.paths() == posted
    assert notices.rescans() == 0
    assert opened_since(before) == []
    assert watches() == 0


def _pause(notices: Notices, room: Room) -> None:
    """Wait until the reader has posted everything of before."""
    (room.folder / "mark.md").write_text("x")
    eventually(lambda: "mark.md" in notices.paths())
    (room.folder / "mark.md").unlink()
    notices.forget()


def test_a_file_is_finished_when_its_writer_has_closed_it(room: Room, linux: Watcher, notices: Notices) -> None:
    """Closed after writing, or renamed into place; later permissions change nothing. An open file is not finished."""
    with open(room.folder / "open.md", "w") as still_written:
        still_written.write("half of a ")
        still_written.flush()
        (room.folder / "closed.md").write_text("x")
        (room.folder / "closed.md").chmod(0o600)
        (room.folder / ".new").write_text("x")
        (room.folder / ".new").rename(room.folder / "placed.md")
        (room.folder / "gone.md").write_text("x")
        (room.folder / "gone.md").unlink()
        (room.folder / "last.md").write_text("x")
        eventually(partial(notices.hold, "open.md", "closed.md", "placed.md", "gone.md", "last.md"))
        eventually(lambda: notices.finished() == {"closed.md", "placed.md", "last.md"})
    eventually(lambda: "open.md" in notices.finished())


def test_a_file_renamed_within_the_selection_is_not_finished(room: Room, linux: Watcher, notices: Notices) -> None:
    """Both its paths are scanned together. An editor that renames the old text away writes a file that is finished."""
    (room.folder / "old.md").write_text("x")
    (room.folder / "note.md").write_text("x")
    eventually(partial(notices.hold, "old.md", "note.md"))
    _pause(notices, room)
    (room.folder / "old.md").rename(room.folder / "new.md")
    (room.folder / "note.md").rename(room.folder / "note.md~")
    (room.folder / "note.md").write_text("y")
    eventually(partial(notices.hold, "old.md", "new.md"))
    eventually(lambda: notices.finished() == {"note.md"})
