"""The watch backend outside Linux: the observer that ``watchdog`` selects for the platform (FSEvents on macOS)."""

from __future__ import annotations

import os

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agent.disk.watch.events import ChangedPaths, Degrade, PostChanges, ScopeFilter


class FseventsBackend(FileSystemEventHandler):
    """A ``WatchBackend`` over one recursive ``watchdog`` observer. Names out of scope are dropped here."""

    def __init__(self, root_path: str, names: ScopeFilter, post: PostChanges, degrade: Degrade) -> None:
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
        """Post one event. An event for a folder asks for a rescan, so events made up for its files are dropped.

        ``watchdog`` lists a moved folder some time later. The events it makes up can name old paths that no file had.
        """
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
            elif event.is_synthetic:
                continue
            elif event.is_directory:
                rescan = rescan or (event.event_type != "modified" and self._names.enters(path))
            elif (wanted := self._names.wanted(path)) is not None:
                paths.add(wanted)
        if paths or rescan:
            self._post(ChangedPaths(frozenset(paths), rescan))
        self._names.release()
