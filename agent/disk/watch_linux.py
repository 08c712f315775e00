"""The Linux watcher: an inotify watch for each folder that can hold a selected file, and none for the others."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from agent.disk import inotify
from agent.disk.inotify import Inotify, RawEvent
from agent.disk.watch import Filter, Noticed, Post

_LIMIT_REACHED: Final = (
    "there are more folders than inotify watches (fs.inotify.max_user_watches), so changes in some are noticed late"
)
_FOLDER_CAME: Final = inotify.CREATE | inotify.MOVED_TO


class LinuxEyes:
    """See ``Eyes``. ``watch_limit`` bounds the watches it takes, for systems shared with others."""

    def __init__(
        self,
        root_path: str,
        names: Filter,
        post: Post,
        degrade: Callable[[str], None],
        watch_limit: int | None = None,
    ) -> None:
        self._root = root_path
        self._names = names
        self._post = post
        self._degrade = degrade
        self._limit = watch_limit
        self._inotify: Inotify | None = None
        self._folders: dict[int, str] = {}
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe()

    def start(self) -> str | None:
        """As in ``Eyes``."""
        self._inotify = Inotify()
        self._watch(self._inotify, "", set())
        self._thread = threading.Thread(target=self._run, args=(self._inotify,), name="watch", daemon=True)
        self._thread.start()
        return None

    def stop(self) -> None:
        """As in ``Eyes``."""
        os.close(self._wake_write)
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_read)
        if self._inotify is not None:
            self._inotify.close()

    def _run(self, events: Inotify) -> None:
        while True:
            ready, _, _ = select.select([events.descriptor, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            paths: set[str] = set()
            rescan = False
            for event in events.read():
                rescan = self._take(events, event, paths) or rescan
            if rescan:
                # Ignore files or an overflow may have changed which folders are to be watched. A root that has gone
                # is found by the look that the notice asks for.
                with contextlib.suppress(OSError):
                    self._watch(events, "", set())
            if paths or rescan:
                self._post(Noticed(frozenset(paths), rescan))

    def _take(self, events: Inotify, event: RawEvent, paths: set[str]) -> bool:
        """Adds what one event names to ``paths``; True if it takes a look at everything."""
        if event.mask & inotify.OVERFLOW:
            return True
        folder = self._folders.get(event.watch)
        if folder is None:
            return False
        if event.mask & inotify.IGNORED:
            del self._folders[event.watch]
            return False
        if not event.name:
            return not folder and bool(event.mask & (inotify.MOVE_SELF | inotify.DELETE_SELF))
        path = f"{folder}/{event.name}" if folder else event.name
        if self._names.changes_scope(path):
            return True
        if not event.mask & inotify.IS_FOLDER:
            wanted = self._names.wanted(path)
            if wanted is not None:
                paths.add(wanted)
            return False
        if not self._names.enters(path):
            return False
        if event.mask & _FOLDER_CAME:
            self._watch(events, path, paths)
            return False
        if event.mask & inotify.MOVED_FROM:
            self._unwatch(events, path)
            return True
        # A folder whose permissions changed hides or shows everything below it.
        return bool(event.mask & inotify.ATTRIB)

    def _watch(self, events: Inotify, folder: str, paths: set[str]) -> None:
        """Watches a folder and all below it, and adds the files already there: they came before the watch did."""
        pending = [folder]
        while pending:
            below = pending.pop()
            if not self._add(events, below):
                continue
            try:
                with os.scandir(os.path.join(self._root, below)) as entries:
                    for entry in entries:
                        path = f"{below}/{entry.name}" if below else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if self._names.enters(path):
                                pending.append(path)
                        elif (wanted := self._names.wanted(path)) is not None:
                            paths.add(wanted)
            except OSError:
                # Gone again, or unreadable: a look will say which.
                continue

    def _add(self, events: Inotify, folder: str) -> bool:
        """Watches one folder; False if there is nothing to list there. Over the limit it is listed all the same."""
        if self._limit is not None and len(self._folders) >= self._limit and folder not in self._folders.values():
            self._degrade(_LIMIT_REACHED)
            return True
        try:
            watch = events.add(os.path.join(self._root, folder), follow=not folder)
        except OSError as failure:
            if failure.errno == errno.ENOSPC:
                self._degrade(_LIMIT_REACHED)
                return True
            if not folder:
                raise
            return False
        self._folders[watch] = folder
        return True

    def _unwatch(self, events: Inotify, folder: str) -> None:
        """A folder was moved away: its watches would go on under a path that is no longer theirs."""
        gone = [w for w, path in self._folders.items() if path == folder or path.startswith(folder + "/")]
        for watch in gone:
            events.remove(watch)
            del self._folders[watch]
