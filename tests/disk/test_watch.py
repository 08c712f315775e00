"""The watcher points at every change in scope, and at nothing out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import DirMovedEvent, FileMovedEvent

from agent.disk.watch.events import ScopeFilter
from agent.disk.watch.fsevents import FseventsBackend
from agent.disk.watch.inotify import InotifyBackend
from agent.disk.watch.watcher import Watcher
from disk.fixtures import Room
from disk.watching import Notices
from support.eventually import eventually


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture(params=[InotifyBackend, FseventsBackend])
def watcher(request: pytest.FixtureRequest, room: Room, notices: Notices) -> Iterator[Watcher]:
    (room.folder / "d").mkdir()
    (room.folder / "node_modules").mkdir()
    watching = Watcher(str(room.folder), room.selection, notices, backend=request.param)
    watching.start()
    yield watching
    watching.stop()


def save_in_place(path: Path) -> None:
    path.write_text("new")


def save_like_vim(path: Path) -> None:
    (path.parent / "4913").write_text("")
    (path.parent / "4913").unlink()
    (path.parent / f".{path.name}.swp").write_text("swap")
    path.rename(f"{path}~")
    path.write_text("new")
    Path(f"{path}~").unlink()


def save_like_gedit(path: Path) -> None:
    temporary = path.parent / ".goutputstream-ABC123"
    temporary.write_text("new")
    temporary.rename(path)


def save_like_emacs(path: Path) -> None:
    (path.parent / f".#{path.name}").symlink_to("user@host.1:1")
    (path.parent / f"#{path.name}#").write_text("auto")
    path.rename(f"{path}~")
    path.write_text("new")
    (path.parent / f"#{path.name}#").unlink()
    (path.parent / f".#{path.name}").unlink()


def save_like_office(path: Path) -> None:
    (path.parent / f"~${path.name}").write_text("owner")
    (path.parent / "~WRD0001.tmp").write_text("new")
    path.rename(path.parent / "~WRL0002.tmp")
    (path.parent / "~WRD0001.tmp").rename(path)
    (path.parent / "~WRL0002.tmp").unlink()
    (path.parent / f"~${path.name}").unlink()


@pytest.mark.parametrize("save", [save_in_place, save_like_vim, save_like_gedit, save_like_emacs, save_like_office])
def test_an_editors_save_is_reported_by_its_file_name_alone(
    room: Room, watcher: Watcher, notices: Notices, save: Callable[[Path], None]
) -> None:
    """An editor that saves is noticed by the name of its file alone."""
    (room.folder / "d/first.md").write_text("old")
    save(room.folder / "d/first.md")
    (room.folder / "d/last.md").write_text("x")
    eventually(lambda: "d/last.md" in notices.paths())
    assert notices.paths() == {"d/first.md", "d/last.md"}
    assert watcher.degraded is None


def test_what_is_out_of_scope_is_not_posted(room: Room, watcher: Watcher, notices: Notices) -> None:
    (room.folder / "node_modules/x.md").write_text("x")
    (room.folder / "photo.png").write_text("x")
    (room.folder / "end.md").write_text("x")
    eventually(lambda: "end.md" in notices.paths())
    assert notices.paths() == {"end.md"}
    assert notices.rescans() == 0


def test_a_deleted_and_a_renamed_file_are_noticed(room: Room, watcher: Watcher, notices: Notices) -> None:
    for name in ("a.md", "b.md"):
        (room.folder / name).write_text("x")
    eventually(lambda: notices.paths() >= {"a.md", "b.md"})
    notices.forget()
    (room.folder / "a.md").unlink()
    (room.folder / "b.md").rename(room.folder / "d/c.md")
    eventually(lambda: notices.paths() >= {"a.md", "b.md", "d/c.md"})


def test_a_renamed_folder_asks_for_a_scan_and_stays_watched(room: Room, watcher: Watcher, notices: Notices) -> None:
    """A renamed folder asks for a look at everything and is watched under its new name."""
    (room.folder / "d").rename(room.folder / "e")
    eventually(lambda: notices.rescans() > 0)
    (room.folder / "e/x.md").write_text("x")
    eventually(lambda: "e/x.md" in notices.paths())
    assert "d/x.md" not in notices.paths()


def test_files_listed_in_a_moved_folder_are_not_named(room: Room, notices: Notices) -> None:
    """The moved folder asks for a look at everything; a path that no file had is not posted."""
    backend = FseventsBackend(str(room.folder), ScopeFilter(room.selection), notices, lambda gap, reason: None)
    old, new = str(room.folder / "d"), str(room.folder / "e")
    backend.on_any_event(DirMovedEvent(old, new))
    backend.on_any_event(FileMovedEvent(f"{old}/x.md", f"{new}/x.md", is_synthetic=True))
    assert (notices.rescans(), notices.paths()) == (1, set())


@pytest.mark.parametrize("name", [".gitignore", "d/.ravenignore"])
def test_an_edited_ignore_file_asks_for_a_scan_and_applies_now(
    room: Room, watcher: Watcher, notices: Notices, name: str
) -> None:
    """An edited ignore file asks for a look at everything and counts at once."""
    assert room.selection.verdict("d/x.md").selected
    (room.folder / name).write_text("x.md\n")
    eventually(lambda: notices.rescans() > 0 and not room.selection.verdict("d/x.md").selected)


def test_rules_are_read_while_another_thread_releases(room: Room) -> None:
    """The watcher releases the root after each event, also while another thread reads an ignore file through it."""
    (room.folder / "d").mkdir()
    (room.folder / "d/.gitignore").write_text("x.md\n")
    over = threading.Event()

    def release() -> None:
        while not over.is_set():
            room.selection.release()

    releasing = threading.Thread(target=release)
    releasing.start()
    try:
        for _ in range(2000):
            room.selection.refresh()
            assert not room.selection.verdict("d/x.md").selected
    finally:
        over.set()
        releasing.join()


def test_nothing_is_posted_after_the_stop(room: Room, notices: Notices) -> None:
    watching = Watcher(str(room.folder), room.selection, notices)
    watching.start()
    watching.stop()
    (room.folder / "a.md").write_text("x")
    assert notices.paths() == set()
