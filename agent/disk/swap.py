"""Putting a new file where another stands, and finding out what it was only once it is out of the user's reach.

Nothing here unlinks bytes that could be a user's: what comes out goes to the trash, or back to where it stood.
"""

from __future__ import annotations

import contextlib

from msgspec import Struct

from agent.core.model import Intent, Landing
from agent.disk.fs import UNSUPPORTED, Dir, Fs
from agent.disk.slots import Slots, Stage, file_hash


class Spot(Struct, frozen=True):
    """Where an intent lands: its folder, open, and the last part of its path."""

    folder: Dir
    name: str


class Swapper:
    """The ways a file comes to a path and leaves it.

    Each returns the landing. An OSError means that the path is as it was, or holds something newer of the user's.
    """

    def __init__(self, fs: Fs, slots: Slots) -> None:
        self._fs = fs
        self._slots = slots

    def create(self, intent: Intent, spot: Spot) -> Landing:
        """Puts ``ID.part``, durable and marked, where nothing stands."""
        try:
            self._fs.rename_noreplace(self._slots.handle, intent.id + Stage.PART, spot.folder, spot.name)
        except FileExistsError:
            return Landing.CHANGED
        return Landing.DONE

    def replace(self, intent: Intent, spot: Spot, now: float) -> Landing:
        """Puts ``ID.new`` in the place of the expected file."""
        try:
            self._fs.exchange(self._slots.handle, intent.id + Stage.NEW, spot.folder, spot.name)
        except FileNotFoundError:
            return Landing.CHANGED
        except OSError as failure:
            if failure.errno not in UNSUPPORTED:
                raise
            return self._take_and_place(intent, spot, now)
        came_out = self._slots.hash_of(intent.id, Stage.NEW)
        if came_out is None or came_out != intent.expected:
            self.put_back(intent, spot, now)
            return Landing.CHANGED
        try:
            self._slots.to_trash(intent, Stage.NEW, came_out, now)
        except OSError:
            self.put_back(intent, spot, now)
            raise
        return Landing.DONE

    def remove(self, intent: Intent, spot: Spot, now: float) -> Landing:
        """Takes the expected file away from its path and into the trash."""
        if not self._take(intent, spot, now):
            return Landing.CHANGED
        try:
            self._slots.to_trash(intent, Stage.OLD, intent.expected, now)
        except OSError:
            self.return_old(intent, spot, now)
            raise
        return Landing.DONE

    def put_back(self, intent: Intent, spot: Spot, now: float) -> None:
        """Undoes an exchange whose catch was not the expected one. Afterwards ``ID.new`` is ours, or gone.

        The user may save between the exchange and this: then what comes out now is newer than what was put back, so
        the two change places once more and the older of them goes to the trash.
        """
        slot = intent.id + Stage.NEW
        try:
            self._fs.exchange(self._slots.handle, slot, spot.folder, spot.name)
        except FileNotFoundError:
            self._back_or_trash(intent, Stage.NEW, spot, now)
            return
        if self._slots.hash_of(intent.id, Stage.NEW) == intent.new:
            return
        with contextlib.suppress(FileNotFoundError):
            self._fs.exchange(self._slots.handle, slot, spot.folder, spot.name)
        self._slots.to_trash(intent, Stage.NEW, self._slots.hash_of(intent.id, Stage.NEW), now)

    def return_old(self, intent: Intent, spot: Spot, now: float) -> None:
        """Undoes a take: ``ID.old`` goes back, or to the trash if something stands there by now."""
        self._back_or_trash(intent, Stage.OLD, spot, now)

    def _back_or_trash(self, intent: Intent, stage: Stage, spot: Spot, now: float) -> None:
        try:
            self._fs.rename_noreplace(self._slots.handle, intent.id + stage, spot.folder, spot.name)
        except FileExistsError:
            self._slots.to_trash(intent, stage, self._slots.hash_of(intent.id, stage), now)

    def _take(self, intent: Intent, spot: Spot, now: float) -> bool:
        """Renames the file away to ``ID.old``; False if it was not the expected one and went back."""
        try:
            self._fs.rename(spot.folder, spot.name, self._slots.handle, intent.id + Stage.OLD)
        except FileNotFoundError:
            return False
        taken = self._slots.hash_of(intent.id, Stage.OLD)
        if taken is not None and taken == intent.expected:
            return True
        self.return_old(intent, spot, now)
        return False

    def _take_and_place(self, intent: Intent, spot: Spot, now: float) -> Landing:
        """The swap where names cannot be exchanged: for a moment the path is empty, and the journal knows."""
        if not self._take(intent, spot, now):
            return Landing.CHANGED
        try:
            landing = self.place(intent, spot)
            self._slots.to_trash(intent, Stage.OLD, intent.expected, now)
        except OSError:
            if file_missing(self._fs, spot):
                self.return_old(intent, spot, now)
            raise
        return landing

    def place(self, intent: Intent, spot: Spot) -> Landing:
        """Puts ``ID.new`` where the old file was just taken away, unless the user was quicker with other bytes."""
        try:
            self._fs.rename_noreplace(self._slots.handle, intent.id + Stage.NEW, spot.folder, spot.name)
        except FileExistsError:
            if hash_at(self._fs, spot) != intent.new:
                return Landing.CHANGED
            # Without an exchange ID.new never holds a user's bytes.
            self._slots.drop(intent.id, Stage.NEW)
        return Landing.DONE


def file_missing(fs: Fs, spot: Spot) -> bool:
    """Whether nothing stands at the spot."""
    try:
        fs.stat(spot.folder, spot.name)
    except FileNotFoundError:
        return True
    return False


def hash_at(fs: Fs, spot: Spot) -> str | None:
    """sha256 of the file at the spot; None for no file, or one whose bytes cannot be told."""
    try:
        return file_hash(fs, spot.folder, spot.name)
    except FileNotFoundError:
        return None
