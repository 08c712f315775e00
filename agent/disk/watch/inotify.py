"""The watch backend on Linux: one inotify watch for each folder that can hold a selected file, none for the others.

The reading thread, its descriptors and the parsing are ``watchdog``'s. Its ``Observer`` is not used: it watches every
folder, ``node_modules`` too, and delays a moved file by half a second to pair both events of the move.
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

from agent.disk.watch.events import ChangedPaths, PostChanges, ScopeFilter

_LIMIT_REACHED: Final = (
    "there are more folders than inotify watches (fs.inotify.max_user_watches), so some changes are noticed late"
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
    """``watchdog``'s reader, with a callback after each batch of events that was read at once."""

    def __init__(self, after_batch: Callable[[], None], degrade: Callable[[str], None]) -> None:
        super().__init__()
        self.name = "watch"
        self._after_batch = after_batch
        self._degrade = degrade

    def run(self) -> None:
        """Read and handle events until the reader is stopped."""
        try:
            while self.should_keep_running():
                for event in self.read_events():
                    self.handle_event(event)
                self._after_batch()
        except Exception as error:
            log.exception("watching ended")
            self._degrade(f"watching ended with an error: {error!r}")


class InotifyBackend:
    """A ``WatchBackend``, and the ``WatchCallback`` of ``watchdog``'s reader.

    Until ``start`` returns only the calling thread adds watches and collects changes; afterwards only the reader's.

    Args:
        root_path: absolute path of the root.
        names: the filter for names in scope.
        post: receiver of the notifications.
        degrade: receiver of the reason, in words for a person, why some changes are not reported.
        watch_limit: largest number of watches to use.
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
        """As in ``WatchBackend``."""
        reader = self._reader = _Reader(self._post_collected, self._degrade)
        try:
            for _ in self._walk(reader, ""):
                pass  # the first scan, which comes later, observes the files
        finally:
            # Start it even if the root cannot be watched: a reader that never ran does not close its descriptors.
            reader.start()
        return None

    def stop(self) -> None:
        """As in ``WatchBackend``."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Collect one event; ``_post_collected`` posts the result after the batch."""
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
        """Forget a watch that the kernel ended (folder deleted or unmounted), or that ``stop`` ended."""
        folder = self._folders.pop(wd, None)
        if folder is not None:
            self._watches.pop(folder, None)
            self._rescan = self._rescan or not folder

    def on_queue_overflow(self) -> None:
        """Renew all watches: after dropped events a watched path may be another folder than the watched one."""
        self._scope_changed = True
        # If the root was moved away it cannot be watched again, so its watches are kept until it is back.
        if self._reader is not None and os.path.isdir(self._root):
            self._unwatch(self._reader, "")

    def _on_folder(self, reader: _Reader, event: InotifyEvent, path: str) -> None:
        """Collect an event of a folder in scope. On a delete there is nothing to do: the kernel ends its watch."""
        if event.is_create or event.is_moved_to:
            if path in self._watches:
                # The watch is of a former folder at this path, or of this one, found by a walk before this event.
                self._unwatch(reader, path)
            self._paths |= self._watch(reader, path)
        elif event.is_moved_from:
            self._unwatch(reader, path)
            self._rescan = True
        elif event.is_attrib:
            # Changed permissions can hide or show everything below.
            self._paths |= self._watch(reader, path)
            self._rescan = True

    def _post_collected(self) -> None:
        """Post what was collected. New watches are added first, so the requested scan covers their folders' past."""
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
        """Watch a folder and everything below it. Return the files found, which may be older than their watches.

        Raises:
            OSError: only for the root.
        """
        found: set[str] = set()
        for below, names in self._walk(reader, folder):
            prefix = f"{below}/" if below else ""
            found.update(wanted for name in names if (wanted := self._names.wanted(prefix + name)) is not None)
        return found

    def _walk(self, reader: _Reader, folder: str) -> Iterator[tuple[str, list[str]]]:
        """Watch a folder and everything below it, each folder before it is listed. Yield each with its file names.

        Raises:
            OSError: only for the root.
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
                # Deleted meanwhile, or unreadable: the scan reports which.
                continue
            self._names.lists(below, names)
            prefix = f"{below}/" if below else ""
            pending.extend(prefix + name for name in folders if self._names.enters(prefix + name))
            yield below, names

    def _add(self, reader: _Reader, folder: str) -> bool:
        """Watch one folder. Return False if it cannot be listed. Over the watch limit it is still listed."""
        if self._limit is not None and len(self._watches) >= self._limit:
            self._degrade(_LIMIT_REACHED)
            return True
        path = os.fsencode(os.path.join(self._root, folder))
        try:
            watch = reader.add_callback(path, _BELOW if folder else _AT_ROOT, self, _id_of(folder))
            if watch < 0:
                # watchdog reports a folder without read permission in this way.
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
        """End the watches of a folder and everything below it: they would report events under a former path."""
        inside = f"{folder}/" if folder else ""
        for path, watch in list(self._watches.items()):
            if path == folder or path.startswith(inside):
                self._watches.pop(path, None)
                if self._folders.get(watch) == path:
                    self._folders.pop(watch, None)
                reader.remove_callbacks([(watch, _id_of(path))])


def _classify(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    """Return the names of everything else and the names of the folders."""
    found = list(entries)
    folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    inside = set(folders)
    return [entry.name for entry in found if entry.name not in inside], folders


def _id_of(folder: str) -> CallbackId:
    """Return an identifier of the path. A folder just renamed can be found under both names and has one watch."""
    return CallbackId(hash(folder))
