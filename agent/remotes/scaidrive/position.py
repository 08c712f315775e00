"""The adapter's own state: the cursor, the folders still to walk, and the number of events delivered so far."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from agent.remotes.scaidrive.places import DoubtfulFile


class Walked(Struct):
    """A folder that is still to be walked.

    Attributes:
        folder: its id; None is the top of the share.
        path: its relative path.
        after: id of its last file that was delivered; "" if none was.
    """

    folder: str | None
    path: str
    after: str = ""


class ChangePosition(Struct):
    """A place in the changes of one share. Changed during one pull.

    Attributes:
        cursor: the server's opaque position; the changes before it were delivered.
        count: events delivered so far. The server has no positions of events, so they are numbered.
        walk: folders to walk. While there are any, no change is read.
        done: changes behind ``cursor`` that were delivered already, when a page ended early.
        newest: id of the last of these changes.
        before, first, last, length: an earlier cursor, the ids of the first and the last change behind it that were
            read, and their number. A server that was restored from an older copy has other changes there, or none.
        ended: no change was left behind the cursor when it was read last.
        settled: the book holds everything that was delivered.
        doubtful: files whose places are compared with the server once every change was read.
    """

    cursor: str
    count: int
    walk: list[Walked]
    done: int = 0
    newest: str = ""
    before: str | None = None
    first: str | None = None
    settled: bool = False
    last: str | None = None
    length: int = 0
    doubtful: list[DoubtfulFile] = []
    ended: bool = False

    @classmethod
    def from_json(cls, state: str | None) -> ChangePosition | None:
        """Return the position of a stored state; None for the beginning, or if it cannot be read."""
        if state is None:
            return None
        try:
            return _DECODER.decode(state)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def to_json(self) -> str:
        """Return the state to store."""
        return _ENCODER.encode(self).decode()

    def next(self) -> int:
        """Return the position of the next event."""
        self.count += 1
        return self.count

    def begin(self, first: str) -> None:
        """Record the first change behind the cursor, before it is delivered."""
        self.ended = False
        self.before, self.first = self.cursor, first
        self.length, self.last = 1, first

    def delivered(self, number: int, change: str) -> None:
        """Record that this many changes behind the cursor were delivered, the newest of them with this id."""
        self.done, self.newest = number, change
        self.length, self.last = number, change

    def skip(self, cursor: str, *, ended: bool) -> None:
        """Record that every change before a newer cursor was delivered."""
        self.cursor, self.done, self.newest, self.ended = cursor, 0, "", ended


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ChangePosition)
