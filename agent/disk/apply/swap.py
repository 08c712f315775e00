"""Putting a new file where another stands, and finding out what it was only once it is out of the user's reach.

Nothing here unlinks bytes that could be a user's: what comes out goes to the trash, or back to where it stood.
"""

from __future__ import annotations

import contextlib

from msgspec import Struct

from agent.core.model import ApplyOutcome, Intent
from agent.disk.apply.staging import StagingArea, StagingMark, file_hash
from agent.disk.fs.protocol import UNSUPPORTED, Dir, Fs


class Target(Struct, frozen=True):
    """Where an intent lands: its folder, open, and the last part of its path."""

    folder: Dir
    name: str


class Swapper:
    """The ways a file comes to a path and leaves it.

    Each returns the landing. An OSError means that the path is as it was, or holds something newer of the user's.
    """

    def __init__(self, fs: Fs, staging: StagingArea) -> None:
        self._fs = fs
        self._staging = staging

    def create(self, intent: Intent, spot: Target) -> ApplyOutcome:
        """Puts ``ID.part``, durable and marked, where nothing stands."""
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + StagingMark.PART, spot.folder, spot.name)
        except FileExistsError:
            return ApplyOutcome.CHANGED
        return ApplyOutcome.DONE

    def replace(self, intent: Intent, spot: Target, now: float) -> ApplyOutcome:
        """Puts ``ID.new`` in the place of the expected file."""
        try:
            self._fs.exchange(self._staging.handle, intent.id + StagingMark.NEW, spot.folder, spot.name)
        except FileNotFoundError:
            return ApplyOutcome.CHANGED
        except OSError as failure:
            if failure.errno not in UNSUPPORTED:
                raise
            return self._take_and_place(intent, spot, now)
        came_out = self._staging.hash_of(intent.id, StagingMark.NEW)
        if came_out is None or came_out != intent.expected:
            self.put_back(intent, spot, now)
            return ApplyOutcome.CHANGED
        try:
            self._staging.to_trash(intent, StagingMark.NEW, came_out, now)
        except OSError:
            self.put_back(intent, spot, now)
            raise
        return ApplyOutcome.DONE

    def remove(self, intent: Intent, spot: Target, now: float) -> ApplyOutcome:
        """Takes the expected file away from its path and into the trash."""
        if not self._take(intent, spot, now):
            return ApplyOutcome.CHANGED
        try:
            self._staging.to_trash(intent, StagingMark.OLD, intent.expected, now)
        except OSError:
            self.return_old(intent, spot, now)
            raise
        return ApplyOutcome.DONE

    def put_back(self, intent: Intent, spot: Target, now: float) -> None:
        """Undoes an exchange whose catch was not the expected one. Afterwards ``ID.new`` is ours, or gone.

        The user may save between the exchange and this: then what comes out now is newer than what was put back, so
        the two change places once more and the older of them goes to the trash.
        """
        slot = intent.id + StagingMark.NEW
        try:
            self._fs.exchange(self._staging.handle, slot, spot.folder, spot.name)
        except FileNotFoundError:
            self._back_or_trash(intent, StagingMark.NEW, spot, now)
            return
        if self._staging.hash_of(intent.id, StagingMark.NEW) == intent.new:
            return
        with contextlib.suppress(FileNotFoundError):
            self._fs.exchange(self._staging.handle, slot, spot.folder, spot.name)
        self._staging.to_trash(intent, StagingMark.NEW, self._staging.hash_of(intent.id, StagingMark.NEW), now)

    def return_old(self, intent: Intent, spot: Target, now: float) -> None:
        """Undoes a take: ``ID.old`` goes back, or to the trash if something stands there by now."""
        self._back_or_trash(intent, StagingMark.OLD, spot, now)

    def _back_or_trash(self, intent: Intent, stage: StagingMark, spot: Target, now: float) -> None:
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + stage, spot.folder, spot.name)
        except FileExistsError:
            self._staging.to_trash(intent, stage, self._staging.hash_of(intent.id, stage), now)

    def _take(self, intent: Intent, spot: Target, now: float) -> bool:
        """Renames the file away to ``ID.old``; False if it was not the expected one and went back."""
        try:
            self._fs.rename(spot.folder, spot.name, self._staging.handle, intent.id + StagingMark.OLD)
        except FileNotFoundError:
            return False
        taken = self._staging.hash_of(intent.id, StagingMark.OLD)
        if taken is not None and taken == intent.expected:
            return True
        self.return_old(intent, spot, now)
        return False

    def _take_and_place(self, intent: Intent, spot: Target, now: float) -> ApplyOutcome:
        """The swap where names cannot be exchanged: for a moment the path is empty, and the journal knows."""
        if not self._take(intent, spot, now):
            return ApplyOutcome.CHANGED
        try:
            landing = self.place(intent, spot)
            self._staging.to_trash(intent, StagingMark.OLD, intent.expected, now)
        except OSError:
            if file_missing(self._fs, spot):
                self.return_old(intent, spot, now)
            raise
        return landing

    def place(self, intent: Intent, spot: Target) -> ApplyOutcome:
        """Puts ``ID.new`` where the old file was just taken away, unless the user was quicker with other bytes."""
        try:
            self._fs.rename_noreplace(self._staging.handle, intent.id + StagingMark.NEW, spot.folder, spot.name)
        except FileExistsError:
            if hash_at(self._fs, spot) != intent.new:
                return ApplyOutcome.CHANGED
            # Without an exchange ID.new never holds a user's bytes.
            self._staging.drop(intent.id, StagingMark.NEW)
        return ApplyOutcome.DONE


def file_missing(fs: Fs, spot: Target) -> bool:
    """Whether nothing stands at the spot."""
    try:
        fs.stat(spot.folder, spot.name)
    except FileNotFoundError:
        return True
    return False


def hash_at(fs: Fs, spot: Target) -> str | None:
    """sha256 of the file at the spot; None for no file, or one whose bytes cannot be told."""
    try:
        return file_hash(fs, spot.folder, spot.name)
    except FileNotFoundError:
        return None
