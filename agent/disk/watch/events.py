"""The nouns of watching: a change notification, its receiver, a watch backend, and the filter for names in scope."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Collection
from typing import Protocol

from msgspec import Struct

from agent.disk.scan.observe import placeholder_target
from agent.disk.selection.rules import IGNORE_FILES, Selection


class ChangedPaths(Struct, frozen=True):
    """One notification: something may have changed.

    Attributes:
        paths: selected paths, relative to the root, that must be observed again.
        rescan: True if the changed paths cannot all be named, so the whole folder must be scanned.
        finished: those of ``paths`` that their writer closed or renamed into place, without a later change.
    """

    paths: frozenset[str]
    rescan: bool = False
    finished: frozenset[str] = frozenset()


class WatchGap(enum.Enum):
    """The cause of changes that are not reported. Whole scans at intervals find them instead."""

    LIMIT = "limit"
    """There are more folders than watches."""
    LOST_EVENTS = "lost_events"
    """The kernel drops events."""
    ROOT = "root"
    """The root cannot be watched."""
    ENDED = "ended"
    """The watching thread failed."""


Degrade = Callable[[WatchGap, str | None], None]
"""Receiver of a gap and its reason, in words for a person; None as the reason: the gap is closed."""


class PostChanges(Protocol):
    """Receiver of notifications. It is called on the watcher's thread and must not block."""

    def __call__(self, changes: ChangedPaths, /) -> None: ...


class WatchBackend(Protocol):
    """A platform's mechanism for change notifications."""

    def start(self) -> str | None:
        """Start watching. Every change after the return is reported.

        Returns:
            The reason why some changes are not reported, in words for a person; None if all are.

        Raises:
            OSError: the root cannot be watched.
        """
        ...

    def stop(self) -> None:
        """Stop watching. Nothing is posted after the return."""
        ...


class ScopeFilter:
    """Filter from changed names to notifications: drop names out of scope, detect names that change the scope."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def release(self) -> None:
        """Close the handle that the rules were read through, so that the file system can be unmounted."""
        self._selection.release()

    def changes_scope(self, path: str) -> bool:
        """Return True if ``path`` is an ignore file. The selection then reads its rules again."""
        if path.rpartition("/")[2] not in IGNORE_FILES:
            return False
        self._selection.refresh()
        return True

    def wanted(self, path: str) -> str | None:
        """Return the path to observe after a change at ``path``; None if it is out of scope or is not valid UTF-8."""
        folder, slash, name = path.rpartition("/")
        shown = folder + slash + (placeholder_target(name) or name)
        try:
            shown.encode()
            return shown if self._selection.verdict(shown).selected else None
        except UnicodeEncodeError:
            return None
        except OSError:
            # An ignore file cannot be read, so the scope is unknown. The observation will report that.
            return shown

    def lists(self, folder: str, names: Collection[str]) -> None:
        """Record the file names of a listed folder. Without an ignore file among them, none is searched there later."""
        with contextlib.suppress(OSError):
            self._selection.learn_folder(folder, names)

    def enters(self, folder: str) -> bool:
        """Return True if ``folder`` can hold a selected file, so that it must be watched."""
        try:
            return self._selection.may_contain(folder)
        except OSError:
            return True


MakeBackend = Callable[[str, ScopeFilter, PostChanges, Degrade], WatchBackend]
"""Constructor of a backend: root path, filter, receiver of notifications, receiver of gaps."""
