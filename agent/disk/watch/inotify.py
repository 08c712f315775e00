"""The Linux watcher: an inotify watch for each folder that can hold a selected file, and none for the others.

The reading thread, its descriptors and the parsing are ``watchdog``'s. Its ``Observer`` is not used here: it watches
every folder, ``node_modules`` too, and holds a file that was moved away for half a second to pair it with its arrival.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from operator import or_
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from agent.disk.watch.watcher import ChangedPaths, PostChanges, ScopeFilter

_LIMIT_REACHED: Final = (
    "there are more folders than inotify watches (fs.inotify.max_user_watches), so changes in some are noticed late"
)
_CHANGES: Final = reduce(
    or_,
    (
        InotifyConstants.IN_MODIFY,
        InotifyConstants.IN_ATTRIB,
        InotifyConstants.IN_CLOSE_WRITE,
        InotifyConstants.IN_MOVE,
        InotifyConstants.IN_CREATE,
        InotifyConstants.IN_DELETE,
        InotifyConstants.IN_MOVE_SELF,
        InotifyConstants.IN_ONLYDIR,
    ),
)
_AT_ROOT: Final = Mask(_CHANGES)
_BELOW: Final = Mask(_CHANGES | InotifyConstants.IN_DONT_FOLLOW)
log = logging.getLogger(__name__)


class _Reader(InotifyFD):
    """``watchdog``'s reader, which also tells when everything that was read at once has been handled."""

    def __init__(self, handled: Callable[[], None], degrade: Callable[[str], None]) -> None:
        super().__init__()
        self.name = "watch"
        self._handled = handled
        self._degrade = degrade

    def run(self) -> None:
        """Reads until it is stopped."""
        try:
            while self.should_keep_running():
                for event in self.read_events():
                    self.handle_event(event)
                self._handled()
        except Exception as error:
            log.exception("watching ended")
            self._degrade(f"watching ended with an error: {error!r}")


class InotifyBackend:
    """See ``Eyes``, and ``watchdog``'s ``WatchCallback``, which it is to its reader.

    Only the starting thread, and after ``start`` only the reader's, adds watches and gathers what changed.

    Args:
        root_path: absolute path of the root.
        names: what is in scope.
        post: takes what was noticed.
        degrade: takes the reason, in words for a person, why it sees less than all.
        watch_limit: the most watches to take, on systems shared with others.
    """

    def __init__(
        self,
        root_path: str,
        names: ScopeFilter,
        post: PostChanges,
        degrade: Callable[[str], None],
        watch_limit: int | None = None,
    ) -> None:
        self._root = root_path
        self._names = names
        self._post = post
        self._degrade = degrade
        self._limit = watch_limit
        self._reader: _Reader | None = None
        self._folders: dict[WatchDescriptor, str] = {}
        self._watches: dict[str, WatchDescriptor] = {}
        self._paths: set[str] = set()
        self._rescan = False
        self._scope_changed = False

    def start(self) -> str | None:
        """As in ``Eyes``. Raises OSError where the root cannot be watched."""
        reader = self._reader = _Reader(self._tell, self._degrade)
        try:
            for _ in self._walk(reader, ""):
                pass  # its files are met by the look that follows
        finally:
            # Also without a root to watch: a reader that never ran does not give its descriptors back.
            reader.start()
        return None

    def stop(self) -> None:
        """As in ``Eyes``."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Takes in one event; ``_tell`` posts what comes of it."""
        folder = self._folders.get(event.wd)
        if folder is None or self._reader is None:
            return
        if not event.name:
            self._rescan = self._rescan or (event.is_move_self and not folder)
            return
        name = os.fsdecode(event.name)
        path = f"{folder}/{name}" if folder else name
        if self._names.changes_scope(path):
            self._scope_changed = True
        elif event.is_directory:
            if self._names.enters(path):
                self._on_folder(self._reader, event, path)
        elif (wanted := self._names.wanted(path)) is not None:
            self._paths.add(wanted)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """A watched folder was deleted or unmounted; also called for each folder, by ``stop``, when watching ends."""
        folder = self._folders.pop(wd, None)
        if folder is not None:
            self._watches.pop(folder, None)
            self._rescan = self._rescan or not folder

    def on_queue_overflow(self) -> None:
        """The kernel dropped events, so a watched path may by now be another folder than the one that is watched."""
        self._scope_changed = True
        # Away from its path the root could not be watched again; with its watches kept, it is when it is put back.
        if self._reader is not None and os.path.isdir(self._root):
            self._unwatch(self._reader, "")

    def _on_folder(self, reader: _Reader, event: InotifyEvent, path: str) -> None:
        """What becomes of a folder in scope. When it is deleted, the kernel ends its watch."""
        if event.is_create or event.is_moved_to:
            if path in self._watches:
                # Of another folder, whose place this one took; or of this one, met by a walk before its event was read.
                self._unwatch(reader, path)
            self._paths |= self._watch(reader, path)
        elif event.is_moved_from:
            self._unwatch(reader, path)
            self._rescan = True
        elif event.is_attrib:
            # Changed permissions hide or show everything below.
            self._paths |= self._watch(reader, path)
            self._rescan = True

    def _tell(self) -> None:
        """Posts what was gathered. New watches come first: the look it asks for finds what they came too late for."""
        reader = self._reader
        if reader is None or not reader.should_keep_running():
            return
        if self._scope_changed:
            try:
                self._watch(reader, "")
            except OSError as failure:
                self._degrade(f"the folder can no longer be watched: {failure.strerror or failure}")
        paths, rescan = frozenset(self._paths), self._rescan or self._scope_changed
        self._paths.clear()
        self._rescan = self._scope_changed = False
        if paths or rescan:
            self._post(ChangedPaths(paths, rescan))

    def _watch(self, reader: _Reader, folder: str) -> set[str]:
        """Watches a folder and all below it that are not yet; returns the files there, for they may have come before.

        Raises OSError only for the root.
        """
        found: set[str] = set()
        for below, names in self._walk(reader, folder):
            prefix = f"{below}/" if below else ""
            found.update(wanted for name in names if (wanted := self._names.wanted(prefix + name)) is not None)
        return found

    def _walk(self, reader: _Reader, folder: str) -> Iterator[tuple[str, list[str]]]:
        """Watches a folder and all below it that are not yet, each before it is listed; tells each with its files.

        Raises OSError only for the root.
        """
        pending = [folder]
        while pending and not reader.stopped_event.is_set():
            below = pending.pop()
            if below not in self._watches and not self._add(reader, below):
                continue
            try:
                with os.scandir(os.path.join(self._root, below)) as entries:
                    names, folders = _classify(entries)
            except OSError:
                # Gone again, or unreadable: a look will say which.
                continue
            self._names.lists(below, names)
            prefix = f"{below}/" if below else ""
            pending.extend(prefix + name for name in folders if self._names.enters(prefix + name))
            yield below, names

    def _add(self, reader: _Reader, folder: str) -> bool:
        """Watches one folder; False if there is nothing to list there. Over the limit it is listed all the same."""
        if self._limit is not None and len(self._watches) >= self._limit:
            self._degrade(_LIMIT_REACHED)
            return True
        path = os.fsencode(os.path.join(self._root, folder))
        try:
            watch = reader.add_callback(path, _BELOW if folder else _AT_ROOT, self, _id_of(folder))
            if watch < 0:
                # So watchdog passes over a folder that may not be read.
                reader.remove_callbacks([(watch, _id_of(folder))])
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        except OSError as failure:
            if failure.errno == errno.ENOSPC:
                self._degrade(_LIMIT_REACHED)
                return True
            if not folder:
                raise
            return False
        self._folders[watch] = folder
        self._watches[folder] = watch
        return True

    def _unwatch(self, reader: _Reader, folder: str) -> None:
        """Ends the watches of a folder and all below it: they would go on under a path that is no longer theirs."""
        inside = f"{folder}/" if folder else ""
        for path, watch in list(self._watches.items()):
            if path == folder or path.startswith(inside):
                self._watches.pop(path, None)
                if self._folders.get(watch) == path:
                    self._folders.pop(watch, None)
                reader.remove_callbacks([(watch, _id_of(path))])


def _classify(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    """(names of what is no folder, names of folders)"""
    found = list(entries)
    folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    inside = set(folders)
    return [entry.name for entry in found if entry.name not in inside], folders


def _id_of(folder: str) -> CallbackId:
    """One for each path: a folder just renamed is met under both its names, and has one watch for both."""
    return CallbackId(hash(folder))
