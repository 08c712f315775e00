"""The adapter's own state: the cursor, and the number of events delivered so far."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct


class AccountPosition(Struct):
    """A place in the changes of the account, for one source. Changed during one pull.

    Attributes:
        cursor: the server's position; the changes before it were delivered.
        count: events delivered so far. Events are numbered here, as changes of other sources lie between them.
        done: changes behind ``cursor`` that were delivered already, when a page ended early.
        newest: id of the last of these changes.
        before, first, last, length: an earlier cursor, the ids of the first and the last change behind it that were
            read, and their number. A server that was restored from an older copy has other changes there, or none.
        ended: no change was left behind the cursor when it was read last.
    """

    cursor: int = 0
    count: int = 0
    done: int = 0
    newest: str = ""
    before: int | None = None
    first: str | None = None
    last: str | None = None
    length: int = 0
    ended: bool = False

    @classmethod
    def from_json(cls, state: str | None) -> AccountPosition:
        """Return the position of a stored state; the beginning without one, or if it cannot be read."""
        if state is None:
            return cls()
        try:
            return _DECODER.decode(state)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return cls()

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

    def skip(self, cursor: int, *, ended: bool) -> None:
        """Record that every change before a newer cursor was delivered."""
        self.cursor, self.done, self.newest, self.ended = max(cursor, self.cursor), 0, "", ended


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(AccountPosition)
