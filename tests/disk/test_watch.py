"""The watcher points at every change in scope, and at nothing out of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.disk.watch import Noticed, WatchdogEyes, Watcher
from agent.disk.watch_linux import LinuxEyes
from disk.kit import Room, eventually


class Notices:
    """Collects what is posted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._rescans = 0

    def __call__(self, noticed: Noticed, /) -> None:
        with self._lock:
            self._paths |= noticed.paths
            self._rescans += noticed.rescan

    def paths(self) -> set[str]:
        with self._lock:
            return set(self._paths)

    def rescans(self) -> int:
        with self._lock:
            return self._rescans


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture(params=[LinuxEyes, WatchdogEyes])
def watcher(request: pytest.FixtureRequest, room: Room, notices: Notices) -> Iterator[Watcher]:
    (room.folder / "d").mkdir()
    (room.folder / "node_modules").mkdir()
    watching = Watcher(str(room.folder), room.selection, notices, eyes=request.param)
    watching.start()
    yield watching
    watching.stop()


@pytest.fixture
def linux(room: Room, notices: Notices) -> Iterator[Watcher]:
    watching = Watcher(str(room.folder), room.selection, notices, eyes=LinuxEyes)
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
def test_an_editor_that_saves_is_noticed_by_the_name_of_its_file_alone(
    room: Room, watcher: Watcher, notices: Notices, save: Callable[[Path], None]
) -> None:
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
    notices._paths.clear()
    (room.folder / "a.md").unlink()
    (room.folder / "b.md").rename(room.folder / "d/c.md")
    eventually(lambda: notices.paths() >= {"a.md", "b.md", "d/c.md"})


def test_files_in_folders_made_a_moment_ago_are_all_found(room: Room, linux: Watcher, notices: Notices) -> None:
    wanted = set()
    for number in range(200):
        path = f"{number}/a/b/c/file.md"
        os.makedirs((room.folder / path).parent)
        (room.folder / path).write_text("x")
        wanted.add(path)
    eventually(lambda: notices.paths() >= wanted)


def test_a_renamed_folder_asks_for_a_look_at_everything_and_is_watched_under_its_new_name(
    room: Room, watcher: Watcher, notices: Notices
) -> None:
    (room.folder / "d").rename(room.folder / "e")
    eventually(lambda: notices.rescans() > 0)
    (room.folder / "e/x.md").write_text("x")
    eventually(lambda: "e/x.md" in notices.paths())
    assert "d/x.md" not in notices.paths()


@pytest.mark.parametrize("name", [".gitignore", "d/.ravenignore"])
def test_an_edited_ignore_file_asks_for_a_look_at_everything_and_counts_at_once(
    room: Room, watcher: Watcher, notices: Notices, name: str
) -> None:
    assert room.selection.verdict("d/x.md").selected
    (room.folder / name).write_text("x.md\n")
    eventually(lambda: notices.rescans() > 0 and not room.selection.verdict("d/x.md").selected)


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


def test_more_folders_than_watches_is_degraded_and_looks_at_intervals(room: Room, notices: Notices) -> None:
    for number in range(5):
        (room.folder / str(number)).mkdir()
    watching = Watcher(
        str(room.folder), room.selection, notices, eyes=partial(LinuxEyes, watch_limit=3), rescan_seconds=0.05
    )
    watching.start()
    assert watching.degraded is not None
    assert "max_user_watches" in watching.degraded
    eventually(lambda: notices.rescans() >= 2)
    (room.folder / "top.md").write_text("x")
    eventually(lambda: "top.md" in notices.paths())
    watching.stop()


def test_folders_out_of_scope_take_no_watches(room: Room, notices: Notices) -> None:
    for number in range(50):
        (room.folder / f"node_modules/{number}").mkdir(parents=True)
    (room.folder / "a").mkdir()
    watching = Watcher(str(room.folder), room.selection, notices, eyes=partial(LinuxEyes, watch_limit=2))
    watching.start()
    assert watching.degraded is None
    watching.stop()


def test_a_root_that_cannot_be_watched_is_degraded_and_still_looked_at(room: Room, notices: Notices) -> None:
    watching = Watcher(str(room.folder / "gone"), room.selection, notices, eyes=LinuxEyes, rescan_seconds=0.05)
    watching.start()
    assert watching.degraded is not None
    eventually(lambda: notices.rescans() > 0)
    watching.stop()


def test_nothing_is_posted_after_the_stop(room: Room, notices: Notices) -> None:
    watching = Watcher(str(room.folder), room.selection, notices)
    watching.start()
    watching.stop()
    (room.folder / "a.md").write_text("x")
    assert notices.paths() == set()
