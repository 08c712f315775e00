"""The staging folder: files on their way in or out of the linked folder, each named by its intent.

==============  =====================================================================================
``ID.part``     a new file of the agent: first being written, then durable and waiting for a path where no file is.
                It never holds a user's bytes, so it may always be removed
``ID.new``      a complete, durable new file that waits for its swap; after an exchange, the file that was at the path
``ID.old``      the file renamed away from the path: a removal, a move, or a swap on a disk that cannot exchange names
``GROUP.made``  an empty mark: every ``ID.part`` of the group was durable, and was or is about to be installed. With
                this mark and without ``ID.part``, the file was installed, whatever the user did to it since
``ID.moved``    an empty mark of a move: ``ID.old`` has the expected bytes, and was or is about to be renamed to its
                new path. With this mark and without ``ID.old``, the move was made, whatever the user did since
``ID.void``     an empty mark: this intent of the group was not carried out, whatever the staging holds
``ID.down``     a download, named by its ``Transfer``: as much of a new file as has arrived. Only the agent writes it.
                An intent that installs it renames it to ``ID.part``, and back if it is not carried out
``ID.watch``    written by ``agent.disk.apply.watch_records``; it names a trash entry that a process may still change
==============  =====================================================================================
"""

from __future__ import annotations

import contextlib
import enum
import errno
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from agent.core.model import SENTINEL_BASE, Intent
from agent.disk.apply.trash import Trash
from agent.disk.fs.attributes import NEW_FILE, CreationDefaults
from agent.disk.fs.protocol import Dir, File, FileType, Fs, Stat
from agent.disk.scan.digest import Digest, ReadInterrupted, digest, never


class StagingMark(enum.StrEnum):
    """The endings of the names in the staging folder."""

    PART = ".part"
    NEW = ".new"
    OLD = ".old"
    COMMITTED = ".made"
    CANCELLED = ".void"
    MOVED = ".moved"
    DOWN = ".down"


def group_of(intent_id: str) -> str:
    """Return the group of an intent: the part of its id before '_'. An id without '_' is a group of its own."""
    return intent_id.partition("_")[0]


_ENDINGS: Final = frozenset(StagingMark)
_FROM_FOLDER: Final = frozenset({StagingMark.NEW, StagingMark.OLD})
"""The names under which something may have come out of the linked folder."""
_EMPTY_MARKS: Final = frozenset({StagingMark.COMMITTED, StagingMark.CANCELLED, StagingMark.MOVED})


Model = tuple[Dir, str] | CreationDefaults | None
"""A file whose attributes a new one takes over, or what the target folder gives to new files. None if the target folder
is not known.
"""
COPIED_AT_ONCE: Final = 64 << 20
"""Bytes that one call copies, so that a stop is noticed. A multiple of every block size."""


class StagingArea:
    """The staged files and marks of one source.

    Attributes:
        interrupted: True once the process stops; reads of large files then raise ReadInterrupted.
    """

    def __init__(self, fs: Fs, trash: Trash, interrupted: Callable[[], bool] = never) -> None:
        self.interrupted = interrupted
        self._fs = fs
        self._trash = trash
        self._own_defaults: CreationDefaults | None = None

    @property
    def handle(self) -> Dir:
        """The open staging folder."""
        return self._trash.staging

    def contents(self) -> dict[str, set[StagingMark]]:
        """Return the endings by intent id, or by group for ``COMMITTED``. Other names are ignored.

        ``NEW`` and ``OLD`` may be folders or links too: the user may have replaced the file by one before the swap.
        """
        held: dict[str, set[StagingMark]] = {}
        for entry in self._fs.entries(self.handle):
            identifier, dot, ending = entry.name.rpartition(".")
            if not dot or dot + ending not in _ENDINGS:
                continue
            if entry.kind is FileType.FILE or dot + ending in _FROM_FOLDER:
                held.setdefault(identifier, set()).add(StagingMark(dot + ending))
        return held

    def holds(self, intent_id: str, mark: StagingMark) -> bool:
        """Return True if the staging folder has this name."""
        try:
            self._fs.stat(self.handle, intent_id + mark)
        except FileNotFoundError:
            return False
        return True

    def write(self, intent_id: str, content: bytes, model: Model) -> Stat:
        """Write a new file as ``ID.part`` and return its stat. It is not yet durable."""
        file = self.create(intent_id + StagingMark.PART)
        try:
            self._fs.write(file, content)
            if model != self._defaults():
                self._give_attributes(file, model)
            return self._fs.fstat(file)
        finally:
            self._fs.close(file)

    def copy(self, intent_id: str, source: File, model: Model) -> tuple[Stat, Digest]:
        """Copy an open file to ``ID.part``. Return the stat of the copy and the digest of its bytes; not yet durable.

        The digest is that of the copy. So bytes that change while they are copied give another hash, or do no harm.

        Raises:
            ReadInterrupted: the process is stopping. The unfinished ``ID.part`` remains for the recovery.
        """
        name = intent_id + StagingMark.PART
        file = self.create(name)
        try:
            offset = 0
            while copied := self._fs.copy_range(source, offset, COPIED_AT_ONCE, file):
                offset += copied
                if self.interrupted():
                    raise ReadInterrupted
            self._give_attributes(file, model)
            found = self._fs.fstat(file)
        finally:
            self._fs.close(file)
        copy = self._fs.open_file(self.handle, name)
        try:
            return found, digest(self._fs, copy, found.size, interrupted=self.interrupted)
        finally:
            self._fs.close(copy)

    def adopt(self, transfer_id: str, intent_id: str, model: Model) -> Stat:
        """Turn the download ``TRANSFER.down`` into ``ID.part`` without a copy, and return its stat.

        Raises:
            FileNotFoundError: there is no such download.
        """
        name = transfer_id + StagingMark.DOWN
        file = self._fs.open_append(self.handle, name)
        try:
            # An intent that was not carried out may have left the attributes of another file.
            self._give_attributes(file, model)
            found = self._fs.fstat(file)
        finally:
            self._fs.close(file)
        self._fs.rename(self.handle, name, self.handle, intent_id + StagingMark.PART)
        return found

    def drop_new(self, intent_id: str, mark: StagingMark, transfer_id: str | None) -> None:
        """Remove a new file that is not installed, if it exists. One that was a download becomes that download again.

        Args:
            mark: ``PART`` or ``NEW``. ``NEW`` must hold the agent's own bytes.
            transfer_id: the download that the file was; None if it was none.
        """
        if transfer_id is not None:
            # If the download exists, it was not adopted, or a crash fell between the link and the unlink of this call.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                name = transfer_id + StagingMark.DOWN
                self._fs.rename_noreplace(self.handle, intent_id + mark, self.handle, name)
        self.drop(intent_id, mark)

    def _give_attributes(self, file: File, model: Model) -> None:
        if isinstance(model, CreationDefaults):
            self._fs.apply_creation_defaults(file, model)
        elif model is not None:
            with contextlib.suppress(FileNotFoundError):
                self._fs.clone_attributes(*model, file)

    def _defaults(self) -> CreationDefaults:
        """Return the defaults of the staging folder itself: inside a linked folder it may inherit an ACL."""
        if self._own_defaults is None:
            self._own_defaults = self._fs.creation_defaults(self.handle)
        return self._own_defaults

    def create(self, name: str) -> File:
        """Create a file of the agent's own, in the place of one that a crash left there."""
        try:
            return self._fs.create(self.handle, name, NEW_FILE)
        except FileExistsError:
            self._fs.unlink(self.handle, name)
            return self._fs.create(self.handle, name, NEW_FILE)

    def make_durable(self, intent_id: str) -> None:
        """Make the bytes of ``ID.part`` durable."""
        file = self._fs.open_file(self.handle, intent_id + StagingMark.PART)
        try:
            self._fs.fsync(file)
        finally:
            self._fs.close(file)

    def mark_ready(self, intent_id: str) -> None:
        """Rename the durable ``ID.part`` to ``ID.new``. From now on an exchange may have taken place."""
        self._fs.rename_noreplace(self.handle, intent_id + StagingMark.PART, self.handle, intent_id + StagingMark.NEW)

    def mark_group(self, group: str) -> None:
        """Create ``GROUP.made``, before the first file of the group is moved to a path where no file is."""
        self._leave(group + StagingMark.COMMITTED)

    def mark_moved(self, intent_id: str) -> None:
        """Create ``ID.moved``, before ``ID.old`` is renamed to its new path."""
        self._leave(intent_id + StagingMark.MOVED)

    def cancel(self, intent_id: str) -> None:
        """Cancel an intent: from now on a missing ``ID.part`` no longer proves that the file was installed."""
        group = group_of(intent_id)
        if group == intent_id:
            self.drop(group, StagingMark.COMMITTED)
        else:
            self._leave(intent_id + StagingMark.CANCELLED)

    def _leave(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            self._fs.close(self._fs.create(self.handle, name, 0o600))

    def release(self, intent_ids: Iterable[str]) -> None:
        """Remove the marks of intents whose results are committed; the intents of a group are committed together."""
        wanted = set(intent_ids)
        wanted.update({group_of(intent_id) for intent_id in wanted})
        for identifier, marks in self.contents().items():
            for mark in marks & _EMPTY_MARKS if identifier in wanted else ():
                self.drop(identifier, mark)

    def drop(self, intent_id: str, mark: StagingMark) -> None:
        """Remove a file of the agent's own, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self.handle, intent_id + mark)

    def hash_of(self, intent_id: str, mark: StagingMark) -> FileHash | None:
        """Return the hash of a staged file; None if it is no file, is unreadable, or changes during the read."""
        return file_hash(self._fs, self.handle, intent_id + mark, self.interrupted)

    def trash_orphan(self, orphan: str, mark: StagingMark, now: float) -> None:
        """Move a file that no journalled intent names to the trash: it may be a user's, and its path is not known."""
        found = self.hash_of(orphan, mark)
        self._trash.move_in(
            orphan + mark,
            f"recovered/{orphan}",
            sha256=SENTINEL_BASE if found is None else found.sha256,
            hashed=None if found is None else found.stat,
            reason="recovered",
            entry_id=f"{orphan}{mark}",
            now=now,
        )

    def to_trash(self, intent: Intent, mark: StagingMark, found: FileHash | None, now: float) -> None:
        """Move a staged file to the trash. Bytes other than the expected ones get an entry id of their own."""
        suffix = "" if matches(found, intent.expected) else ".found"
        try:
            self._trash.move_in(
                intent.id + mark,
                intent.path,
                sha256=SENTINEL_BASE if found is None else found.sha256,
                hashed=None if found is None else found.stat,
                reason=intent.purpose.value,
                entry_id=intent.id + suffix,
                now=now,
            )
        except FileExistsError:
            # The entry of this id, hash and time holds the same bytes.
            if found is None:
                raise
            self.drop(intent.id, mark)


class FileHash(Struct, frozen=True):
    """The hash of a file that did not change while it was read.

    Attributes:
        stat: of the bytes that were hashed. If it differs later, the bytes may be others.
        digest: all that the read found out about the bytes.
    """

    sha256: str
    stat: Stat
    digest: Digest | None = None


def matches(found: FileHash | None, sha256: str | None) -> bool:
    """Return True if the hash is known and is this one."""
    return found is not None and found.sha256 == sha256


def file_hash(fs: Fs, folder: Dir, name: str, interrupted: Callable[[], bool] = never) -> FileHash | None:
    """Return the hash of a regular file; None if it is none, is unreadable, or changes during the read."""
    try:
        if fs.stat(folder, name).kind is not FileType.FILE:
            return None
        file = fs.open_file(folder, name)
        try:
            before = fs.fstat(file)
            found = digest(fs, file, before.size, interrupted=interrupted)
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
    if found.sha256 is None or not same or before.kind is not FileType.FILE:
        return None
    return FileHash(found.sha256, after, found)
