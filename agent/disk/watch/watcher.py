"""Noticing that something changed, so that it can be looked at: a watcher proves nothing, it only points.

``watchdog`` watches. On Linux its reader is given each folder that can hold a selected file and no other; elsewhere its
observer watches the tree, and what is out of scope is dropped here. Where either cannot see everything, the watcher
says that it is ``degraded`` and asks for a look at the whole folder at intervals.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Collection
from typing import Final, Protocol

from msgspec import Struct
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agent.disk.scan.observe import placeholder_of
from agent.disk.selection.rules import IGNORE_FILES, Selection

DEGRADED_RESCAN_SECONDS: Final = 30.0


class ChangedPaths(Struct, frozen=True):
    """Something may have changed.

    Attributes:
        paths: selected paths, relative to the root, to be looked at.
        rescan: the paths cannot all be named: the whole folder is to be looked at.
    """

    paths: frozenset[str]
    rescan: bool = False


class PostChanges(Protocol):
    """Takes a notice; called from the watcher's thread, and must not block."""

    def __call__(self, noticed: ChangedPaths, /) -> None: ...


class WatchBackend(Protocol):
    """What a platform offers to see changes with."""

    def start(self) -> str | None:
        """Begins to watch; what happens after it has returned is seen. Returns why it sees less than all, or None."""
        ...

    def stop(self) -> None:
        """Ends; nothing is posted after it has returned."""
        ...


class ScopeFilter:
    """Turns changed names into notices: drops what is out of scope, and knows the names that change the scope."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def changes_scope(self, path: str) -> bool:
        """Whether ``path`` is an ignore file. If so the rules are read again."""
        if path.rpartition("/")[2] not in IGNORE_FILES:
            return False
        self._selection.renew()
        return True

    def wanted(self, path: str) -> str | None:
        """The path to be looked at for a change at ``path``; None if it is out of scope or has no place in an index."""
        folder, slash, name = path.rpartition("/")
        shown = folder + slash + (placeholder_of(name) or name)
        try:
            shown.encode()
            return shown if self._selection.verdict(shown).selected else None
        except UnicodeEncodeError:
            return None
        except OSError:
            # Nobody can say; a look will, or will say that it cannot.
            return shown

    def lists(self, folder: str, names: Collection[str]) -> None:
        """These are the files in a folder: unless one of them is an ignore file, none need be looked for there."""
        with contextlib.suppress(OSError):
            self._selection.enter(folder, names)

    def enters(self, folder: str) -> bool:
        """Whether a folder is watched at all."""
        try:
            return self._selection.may_hold(folder)
        except OSError:
            return True


class Watcher:
    """Watches one root from a thread of its own.

    Args:
        root_path: absolute path of the root.
        selection: its rules.
        post: takes what was noticed.
        eyes: what to watch with; by default what the platform is best at.
        rescan_seconds: how often the whole folder is to be looked at while ``degraded``.
    """

    def __init__(
        self,
        root_path: str,
        selection: Selection,
        post: PostChanges,
        *,
        eyes: Callable[[str, ScopeFilter, PostChanges, Callable[[str], None]], WatchBackend] | None = None,
        rescan_seconds: float = DEGRADED_RESCAN_SECONDS,
    ) -> None:
        self._post = post
        self._rescan_seconds = rescan_seconds
        self._degraded: str | None = None
        self._stopped = threading.Event()
        self._rescans: threading.Thread | None = None
        self._lock = threading.Lock()
        self._eyes = (eyes or default_backend())(root_path, ScopeFilter(selection), post, self._degrade)

    @property
    def degraded(self) -> str | None:
        """Why changes may be noticed late, in words for a person; None if all is well."""
        return self._degraded

    def start(self) -> None:
        """Begins to watch. Every change made after it has returned is noticed, or covered by a rescan."""
        try:
            reason = self._eyes.start()
        except OSError as failure:
            reason = f"the folder cannot be watched: {failure.strerror or failure}"
        if reason is not None:
            self._degrade(reason)

    def stop(self) -> None:
        """Ends; nothing is posted afterwards."""
        self._stopped.set()
        self._eyes.stop()
        if self._rescans is not None:
            self._rescans.join()

    def _degrade(self, reason: str) -> None:
        with self._lock:
            self._degraded = reason
            if self._rescans is None and not self._stopped.is_set():
                self._rescans = threading.Thread(target=self._rescan, name="rescan", daemon=True)
                self._rescans.start()

    def _rescan(self) -> None:
        while not self._stopped.wait(self._rescan_seconds):
            self._post(ChangedPaths(frozenset(), rescan=True))


def default_backend() -> Callable[[str, ScopeFilter, PostChanges, Callable[[str], None]], WatchBackend]:
    """What this platform sees changes best with."""
    if sys.platform == "linux":
        from agent.disk.watch.inotify import InotifyBackend

        return InotifyBackend
    return FseventsBackend


class FseventsBackend(FileSystemEventHandler):
    """The observer ``watchdog`` picks for the platform: FSEvents on macOS."""

    def __init__(self, root_path: str, names: ScopeFilter, post: PostChanges, degrade: Callable[[str], None]) -> None:
        self._root = os.path.realpath(root_path)
        self._names = names
        self._post = post
        self._observer = Observer()

    def start(self) -> str | None:
        """As in ``WatchBackend``."""
        self._observer.schedule(self, self._root, recursive=True)
        self._observer.start()
        return None

    def stop(self) -> None:
        """As in ``WatchBackend``."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Posts one event. A folder that comes or goes takes names with it that nobody lists, hence the rescan."""
        if event.event_type in {"opened", "closed_no_write"}:
            return
        paths: set[str] = set()
        rescan = False
        for raw in (event.src_path, event.dest_path):
            path = os.path.relpath(os.fsdecode(raw), self._root) if raw else ""
            if not path or path.startswith(".."):
                continue
            if path == ".":
                rescan = rescan or event.event_type in {"deleted", "moved"}
            elif self._names.changes_scope(path):
                rescan = True
            elif event.is_directory:
                rescan = rescan or (event.event_type != "modified" and self._names.enters(path))
            elif (wanted := self._names.wanted(path)) is not None:
                paths.add(wanted)
        if paths or rescan:
            self._post(ChangedPaths(frozenset(paths), rescan))
