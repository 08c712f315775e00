"""The folder in which files stand on their way in or out, one name a stage, each named by its intent.

==============  =====================================================================================
``ID.part``     a new file of the agent's own: being written, then, once durable, waiting to be put where nothing
                stands. It never holds a user's bytes, so it may always be removed
``ID.new``      a whole, durable new file waiting for its swap; after an exchange, what stood at the path
``ID.old``      what was renamed away from the path: a removal, or a swap where names cannot be exchanged
``GROUP.made``  an empty mark: every ``ID.part`` of the group was durable and is or was about to be put in place. With
                the mark and without ``ID.part``, it was put there, whatever the user did to the file since
``ID.void``     an empty mark: this one of the group was not carried out, whatever stands here or not
==============  =====================================================================================
"""

from __future__ import annotations

import contextlib
import enum
import errno
from collections.abc import Iterable
from typing import Final

from agent.core.model import SENTINEL_BASE, Intent
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import Dir, File, FileType, Fs, Stat
from agent.disk.scan.digest import digest

_TEMPORARY_MODE: Final = 0o666


class StagingMark(enum.StrEnum):
    """The endings of the names in the staging."""

    PART = ".part"
    NEW = ".new"
    OLD = ".old"
    COMMITTED = ".made"
    CANCELLED = ".void"


def group_of(intent_id: str) -> str:
    """The group an intent is carried out with, which its id begins with; one without is a group of its own."""
    return intent_id.partition("_")[0]


_STAGES: Final = frozenset(StagingMark)
_MARKS: Final = frozenset({StagingMark.COMMITTED, StagingMark.CANCELLED})


class StagingArea:
    """The stages of the intents of one source."""

    def __init__(self, fs: Fs, trash: Trash) -> None:
        self._fs = fs
        self._trash = trash

    @property
    def handle(self) -> Dir:
        """The open folder."""
        return self._trash.staging

    def found(self) -> dict[str, set[StagingMark]]:
        """What stands in the staging, by intent id, or group for ``MADE``; names of another form are passed over."""
        held: dict[str, set[StagingMark]] = {}
        for entry in self._fs.entries(self.handle):
            identifier, dot, ending = entry.name.rpartition(".")
            if dot and entry.kind is FileType.FILE and dot + ending in _STAGES:
                held.setdefault(identifier, set()).add(StagingMark(dot + ending))
        return held

    def holds(self, intent_id: str, stage: StagingMark) -> bool:
        """Whether anything stands there."""
        try:
            self._fs.stat(self.handle, intent_id + stage)
        except FileNotFoundError:
            return False
        return True

    def write(self, intent_id: str, content: bytes, model: tuple[Dir, str] | None) -> Stat:
        """Writes a new file as ``ID.part`` with the attributes of ``model``; returns its stat. Not yet durable."""
        file = self._created(intent_id + StagingMark.PART)
        try:
            self._fs.write(file, content)
            if model is not None:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.clone_attributes(*model, file)
            return self._fs.fstat(file)
        finally:
            self._fs.close(file)

    def _created(self, name: str) -> File:
        try:
            return self._fs.create(self.handle, name, _TEMPORARY_MODE)
        except FileExistsError:
            self._fs.unlink(self.handle, name)
            return self._fs.create(self.handle, name, _TEMPORARY_MODE)

    def settle(self, intent_id: str) -> None:
        """Makes the bytes of ``ID.part`` durable."""
        file = self._fs.open_file(self.handle, intent_id + StagingMark.PART)
        try:
            self._fs.fsync(file)
        finally:
            self._fs.close(file)

    def ready(self, intent_id: str) -> None:
        """The durable ``ID.part`` becomes ``ID.new``: from here on an exchange may have taken place."""
        self._fs.rename_noreplace(self.handle, intent_id + StagingMark.PART, self.handle, intent_id + StagingMark.NEW)

    def mark(self, group: str) -> None:
        """Leaves ``GROUP.made``; it comes before the first file of the group is put where nothing stands."""
        self._leave(group + StagingMark.COMMITTED)

    def cancel(self, intent_id: str) -> None:
        """From here on it does not mean that it was put in place that ``ID.part`` is missing."""
        group = group_of(intent_id)
        if group == intent_id:
            self.drop(group, StagingMark.COMMITTED)
        else:
            self._leave(intent_id + StagingMark.CANCELLED)

    def _leave(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            self._fs.close(self._fs.create(self.handle, name, 0o600))

    def forget(self, intent_ids: Iterable[str]) -> None:
        """Removes the marks of intents whose results are committed; those of a group are committed together."""
        wanted = set(intent_ids)
        wanted.update({group_of(intent_id) for intent_id in wanted})
        for identifier, stages in self.found().items():
            for stage in stages & _MARKS if identifier in wanted else ():
                self.drop(identifier, stage)

    def drop(self, intent_id: str, stage: StagingMark) -> None:
        """Removes a file of the agent's own; that there is none is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self.handle, intent_id + stage)

    def hash_of(self, intent_id: str, stage: StagingMark) -> str | None:
        """sha256 of what stands there; None for what is no file, cannot be read, or changes while it is read."""
        return file_hash(self._fs, self.handle, intent_id + stage)

    def adopt(self, orphan: str, stage: StagingMark, now: float) -> None:
        """Moves what no journalled intent names to the trash: it may be a user's, and its path is not known."""
        self._trash.absorb(
            orphan + stage,
            f"recovered/{orphan}",
            sha256=self.hash_of(orphan, stage) or SENTINEL_BASE,
            reason="recovered",
            entry_id=f"{orphan}{stage}",
            now=now,
        )

    def to_trash(self, intent: Intent, stage: StagingMark, sha256: str | None, now: float) -> None:
        """Moves what stands there to the trash. Bytes that were not expected get an entry id of their own."""
        suffix = "" if sha256 is not None and sha256 == intent.expected else ".found"
        try:
            self._trash.absorb(
                intent.id + stage,
                intent.path,
                sha256=sha256 or SENTINEL_BASE,
                reason=intent.purpose.value,
                entry_id=intent.id + suffix,
                now=now,
            )
        except FileExistsError:
            # A crash between the link and the unlink that stand for a rename: the same bytes are there already.
            if sha256 is None:
                raise
            self.drop(intent.id, stage)


def file_hash(fs: Fs, folder: Dir, name: str) -> str | None:
    """sha256 of a regular file's bytes; None for what is none, cannot be read, or changes while it is read."""
    try:
        if fs.stat(folder, name).kind is not FileType.FILE:
            return None
        file = fs.open_file(folder, name)
        try:
            before = fs.fstat(file)
            found = digest(fs, file, before.size)
            after = fs.fstat(file)
        finally:
            fs.close(file)
    except OSError as failure:
        if failure.errno == errno.ENOENT:
            raise
        return None
    same = found.size == before.size and (before.size, before.mtime_ns, before.ctime_ns) == (
        after.size,
        after.mtime_ns,
        after.ctime_ns,
    )
    return found.sha256 if same and before.kind is FileType.FILE else None
