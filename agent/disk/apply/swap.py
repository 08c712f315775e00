"""Exchange a new file with the one at a path, then check the file that came out, out of the user's reach.

No call here unlinks bytes that could be a user's: the file that came out goes to the trash, or back to its path.
"""

from __future__ import annotations

import contextlib

from agent.core.model import ApplyOutcome, Intent
from agent.disk.apply.staging import FileHash, StagingArea, StagingMark, matches
from agent.disk.apply.target import Target, file_missing, hash_at
from agent.disk.fs.protocol import UNSUPPORTED, Fs


class Swapper:
    """The ways to put a file at a path and to take one away.

    Each returns the outcome. An OSError means that the path is unchanged, or holds a newer file of the user.
    """

    def __init__(self, fs: Fs, staging: StagingArea) -> None:
        self._fs = fs
        self._staging = staging

    def create(self, intent: Intent, target: Target) -> ApplyOutcome:
        """Move ``ID.part``, durable and marked, to a path where no file is."""
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + StagingMark.PART, target.folder, target.name)
        except FileExistsError:
            return ApplyOutcome.CHANGED
        return ApplyOutcome.DONE

    def replace(self, intent: Intent, target: Target, now: float) -> ApplyOutcome:
        """Exchange ``ID.new`` with the expected file."""
        try:
            self._fs.exchange(self._staging.handle, intent.id + StagingMark.NEW, target.folder, target.name)
        except FileNotFoundError:
            return ApplyOutcome.CHANGED
        except OSError as failure:
            if failure.errno not in UNSUPPORTED:
                raise
            return self._take_and_place(intent, target, now)
        came_out = self._staging.hash_of(intent.id, StagingMark.NEW)
        if not matches(came_out, intent.expected):
            self.put_back(intent, target, now)
            return ApplyOutcome.CHANGED
        try:
            self._staging.to_trash(intent, StagingMark.NEW, came_out, now)
        except OSError:
            self.put_back(intent, target, now)
            raise
        return ApplyOutcome.DONE

    def remove(self, intent: Intent, target: Target, now: float) -> ApplyOutcome:
        """Move the expected file from its path to the trash."""
        taken = self._take(intent, target, now)
        if taken is None:
            return ApplyOutcome.CHANGED
        try:
            self._staging.to_trash(intent, StagingMark.OLD, taken, now)
        except OSError:
            self.return_old(intent, target, now)
            raise
        return ApplyOutcome.DONE

    def put_back(self, intent: Intent, target: Target, now: float) -> None:
        """Undo an exchange that brought out an unexpected file. Afterwards ``ID.new`` is our file, or missing.

        The user may save between the exchange and this call. Then the file that comes out now is newer than the one
        put back: exchange the two again, and move the older one to the trash.
        """
        name = intent.id + StagingMark.NEW
        try:
            self._fs.exchange(self._staging.handle, name, target.folder, target.name)
        except FileNotFoundError:
            self._back_or_trash(intent, StagingMark.NEW, target, now)
            return
        if matches(self._staging.hash_of(intent.id, StagingMark.NEW), intent.new):
            return
        with contextlib.suppress(FileNotFoundError):
            self._fs.exchange(self._staging.handle, name, target.folder, target.name)
        self._staging.to_trash(intent, StagingMark.NEW, self._staging.hash_of(intent.id, StagingMark.NEW), now)

    def return_old(self, intent: Intent, target: Target, now: float) -> None:
        """Undo a take: move ``ID.old`` back, or to the trash if another file is at the path by now."""
        self._back_or_trash(intent, StagingMark.OLD, target, now)

    def _back_or_trash(self, intent: Intent, mark: StagingMark, target: Target, now: float) -> None:
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + mark, target.folder, target.name)
        except FileExistsError:
            self._staging.to_trash(intent, mark, self._staging.hash_of(intent.id, mark), now)

    def _take(self, intent: Intent, target: Target, now: float) -> FileHash | None:
        """Rename the file to ``ID.old``; None if it was not the expected one and went back."""
        try:
            self._fs.rename(target.folder, target.name, self._staging.handle, intent.id + StagingMark.OLD)
        except FileNotFoundError:
            return None
        taken = self._staging.hash_of(intent.id, StagingMark.OLD)
        if matches(taken, intent.expected):
            return taken
        self.return_old(intent, target, now)
        return None

    def _take_and_place(self, intent: Intent, target: Target, now: float) -> ApplyOutcome:
        """Swap on a disk that cannot exchange names: for a moment the path is empty, and the journal knows it."""
        taken = self._take(intent, target, now)
        if taken is None:
            return ApplyOutcome.CHANGED
        try:
            outcome = self.place(intent, target)
            self._staging.to_trash(intent, StagingMark.OLD, taken, now)
        except OSError:
            if file_missing(self._fs, target):
                self.return_old(intent, target, now)
            raise
        return outcome

    def place(self, intent: Intent, target: Target) -> ApplyOutcome:
        """Move ``ID.new`` to the path whose file was just taken away; CHANGED if the user saved other bytes first."""
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + StagingMark.NEW, target.folder, target.name)
        except FileExistsError:
            if hash_at(self._fs, target, self._staging.interrupted) != intent.new:
                return ApplyOutcome.CHANGED
            # On a disk without an exchange, ID.new never holds a user's bytes.
            self._staging.drop(intent.id, StagingMark.NEW)
        return ApplyOutcome.DONE
