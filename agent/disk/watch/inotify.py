"""The watch backend on Linux: one inotify watch for each folder that can hold a selected file, none for the others.

The reading thread, its descriptors and the parsing are ``watchdog``'s. Its ``Observer`` is not used: it watches every
folder, ``node_modules`` too, and delays a moved file by half a second to pair both events of the move.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from operator import or_
from typing import Final, NamedTuple

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from agent.disk.watch.events import ChangedPaths, Degrade, PostChanges, ScopeFilter, WatchGap
from agent.disk.watch.finished import FinishedFiles
from agent.disk.watch.losses import LossResponse, LossTracker
from agent.disk.watch.mounts import MountTable

_LIMIT_REACHED: Final = (
    "there are more folders than inotify watches (fs.inotify.max_user_watches), so some changes are noticed late"
)
_EVENTS_LOST: Final = (
    "changes come faster than they can be read, and the kernel drops notifications (fs.inotify.max_queued_events),"
    " so some changes are noticed late"
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


class _Watch(NamedTuple):
    """One watch: its descriptor, and the id of our callback at it."""

    descriptor: WatchDescriptor
    callback: CallbackId


class _Reader(InotifyFD):
    """``watchdog``'s reader, which also waits for changes of the mounts.

    Args:
        mounts: the mounts to wait for; None if the system does not report them.
        after_batch: called after each batch of events that was read at once, and after each wait that timed out.
    """

    def __init__(self, mounts: MountTable | None, after_batch: Callable[[], None], degrade: Degrade) -> None:
        super().__init__()
        self.name = "watch"
        self.wait_seconds: float | None = None
        self.mounts_changed = False
        self._mounts = mounts
        self._after_batch = after_batch
        self._degrade = degrade
        if mounts is not None and self._poller is not None:
            self._poller.register(mounts.descriptor, select.POLLPRI)

    def run(self) -> None:
        """Read and handle events until the reader is stopped."""
        try:
            while self.should_keep_running():
                for event in self.read_events():
                    self.handle_event(event)
                self._after_batch()
        except Exception as error:
            log.exception("watching ended")
            self._degrade(WatchGap.ENDED, f"watching ended with an error: {error!r}")
        finally:
            if self._mounts is not None:
                self._mounts.close()

    def _check_inotify_fd(self) -> bool:
        """Wait as ``watchdog`` does, but for the mounts too. Return True if there are events to read."""
        if self._poller is None:
            return super()._check_inotify_fd()
        ready = {descriptor for descriptor, _ in self._poller.poll(self._timeout())}
        self.mounts_changed |= self._mounts is not None and self._mounts.descriptor in ready
        return self._inotify_fd in ready

    def _timeout(self) -> float | None:
        return None if self.wait_seconds is None else 1000 * self.wait_seconds + 1


class InotifyBackend:
    """A ``WatchBackend``, and the ``WatchCallback`` of ``watchdog``'s reader.

    Until ``start`` returns only the calling thread adds watches and collects changes; afterwards only the reader's.

    Args:
        root_path: absolute path of the root.
        names: the filter for names in scope.
        post: receiver of the notifications.
        degrade: receiver of the reason why some changes are not reported.
        watch_limit: largest number of watches to use.
    """

    def __init__(
        self,
        root_path: str,
        names: ScopeFilter,
        post: PostChanges,
        degrade: Degrade,
        watch_limit: int | None = None,
    ) -> None:
        self._root = root_path
        self._names = names
        self._post = post
        self._degrade = degrade
        self._limit = watch_limit
        self._reader: _Reader | None = None
        self._mounts: MountTable | None = None
        self._folders: dict[WatchDescriptor, str] = {}
        self._watches: dict[str, _Watch] = {}
        self._walks = 0
        self._losses = LossTracker()
        self._paths: set[str] = set()
        self._finished = FinishedFiles()
        self._rescan = False
        self._scope_changed = False
        self._renewals: set[str] = set()
        """Folders whose watches, with all below them, may be of former folders at their paths."""

    def start(self) -> str | None:
        """As in ``WatchBackend``."""
        with contextlib.suppress(OSError):
            self._mounts = MountTable(self._root)
        reader = self._reader = _Reader(self._mounts, self._after_batch, self._degrade)
        try:
            for _ in self._walk(reader, ""):
                pass  # the first scan, which comes later, observes the files
        finally:
            self._names.release()
            # Start it even if the root cannot be watched: a reader that never ran does not close its descriptors.
            reader.start()
        return None

    def stop(self) -> None:
        """As in ``WatchBackend``."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Collect one event; ``_after_batch`` posts the result."""
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
            self._finished.record(wanted, event.mask, event.cookie)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a watch that the kernel ended (folder deleted or unmounted), or that ``stop`` ended."""
        folder = self._folders.pop(wd, None)
        if folder is not None:
            watch = self._watches.get(folder)
            if watch is not None and watch.descriptor == wd:
                del self._watches[folder]
            self._rescan = self._rescan or not folder

    def on_queue_overflow(self) -> None:
        """Record that the kernel dropped events. A watched path may now be another folder than the watched one."""
        self._losses.lost(time.monotonic())

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

    def _after_batch(self) -> None:
        """Post what was collected. New watches are added first, so the requested scan covers their folders' past."""
        reader = self._reader
        if reader is None or not reader.should_keep_running():
            return
        if reader.mounts_changed and self._mounts is not None:
            reader.mounts_changed = False
            self._renewals.update(filter(self._names.enters, self._mounts.changes()))
        self._respond_to_losses(reader, time.monotonic())
        self._rewatch(reader)
        paths, rescan = frozenset(self._paths), self._rescan or self._scope_changed
        self._paths.clear()
        self._rescan = self._scope_changed = False
        if paths or rescan:
            self._post(ChangedPaths(paths, rescan, self._finished.among(paths)))
        self._names.release()

    def _respond_to_losses(self, reader: _Reader, now: float) -> None:
        response = self._losses.response(now)
        if response is LossResponse.FALL_BACK:
            self._degrade(WatchGap.LOST_EVENTS, _EVENTS_LOST)
        elif response is not None:
            self._degrade(WatchGap.LOST_EVENTS, None)
            self._renewals.add("")
        reader.wait_seconds = self._losses.seconds_to_response(now)

    def _rewatch(self, reader: _Reader) -> None:
        """Renew watches that may be outdated, and add those that a changed scope needs."""
        # Below a missing root nothing can be watched again. Its watches are kept: it may have been moved, and return.
        renewals = sorted(self._renewals) if os.path.isdir(self._root) else []
        self._rescan |= bool(self._renewals)
        self._renewals.clear()
        try:
            for folder in renewals if "" not in renewals else [""]:
                self._renew(reader, folder)
            if self._scope_changed:
                self._watch(reader, "")
            if "" in renewals:
                self._degrade(WatchGap.ROOT, None)
        except OSError as failure:
            self._degrade(WatchGap.ROOT, f"the folder can no longer be watched: {failure.strerror or failure}")

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

    def _renew(self, reader: _Reader, folder: str) -> None:
        """Compare the watches of a folder and everything below it with the folders that are there now.

        The kernel returns the old descriptor for a folder that is watched already. So only outdated watches are
        removed: each removal is an event, and the removal of all would fill the queue again.

        Raises:
            OSError: only for the root.
        """
        former = self._at_or_below(folder)
        for path in former:
            del self._watches[path]
        for _ in self._walk(reader, folder):
            pass  # the scan that is requested with a renewal observes the files
        for path, watch in former.items():
            kept = self._watches.get(path)
            if kept is None or kept.descriptor != watch.descriptor:
                self._forget(path, watch)
            reader.remove_callbacks([watch])

    def _walk(self, reader: _Reader, folder: str) -> Iterator[tuple[str, list[str]]]:
        """Watch a folder and everything below it, each folder before it is listed. Yield each with its file names.

        Raises:
            OSError: only for the root.
        """
        self._walks += 1
        pending = [folder]
        while pending and not reader.stopped_event.is_set():
            below = pending.pop()
            if not self._ensure(reader, below):
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

    def _ensure(self, reader: _Reader, folder: str) -> bool:
        """Watch one folder if it is not. Return False if it cannot be listed. Over the limit it is still listed."""
        if folder in self._watches:
            return True
        if self._limit is not None and len(self._watches) >= self._limit:
            self._degrade(WatchGap.LIMIT, _LIMIT_REACHED)
            return True
        path = os.fsencode(os.path.join(self._root, folder))
        # One id for a path and a walk: a folder just renamed is found under both names and has one watch.
        callback = CallbackId(hash((folder, self._walks)))
        try:
            descriptor = reader.add_callback(path, _BELOW if folder else _AT_ROOT, self, callback)
            if descriptor < 0:
                # watchdog reports a folder without read permission in this way.
                reader.remove_callbacks([(descriptor, callback)])
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        except OSError as failure:
            if failure.errno == errno.ENOSPC:
                self._degrade(WatchGap.LIMIT, _LIMIT_REACHED)
                return True
            if not folder:
                raise
            return False
        self._folders[descriptor] = folder
        self._watches[folder] = _Watch(descriptor, callback)
        return True

    def _unwatch(self, reader: _Reader, folder: str) -> None:
        """End the watches of a folder and everything below it: they would report events under a former path."""
        for path, watch in self._at_or_below(folder).items():
            self._watches.pop(path, None)
            self._forget(path, watch)
            reader.remove_callbacks([watch])

    def _at_or_below(self, folder: str) -> dict[str, _Watch]:
        inside = f"{folder}/" if folder else ""
        return {path: watch for path, watch in self._watches.items() if path == folder or path.startswith(inside)}

    def _forget(self, path: str, watch: _Watch) -> None:
        """Forget the path of a descriptor, unless it is already the descriptor of another path."""
        if self._folders.get(watch.descriptor) == path:
            del self._folders[watch.descriptor]


def _classify(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    """Return the names of everything else and the names of the folders."""
    found = list(entries)
    folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    inside = set(folders)
    return [entry.name for entry in found if entry.name not in inside], folders
