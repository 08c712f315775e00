"""The position in one source's feed, with the memory that finds events which the feed skipped.

The released server numbers an event before the event can be read. A reader can therefore pass a number whose event
appears a moment later. If the feed is not ordered, the last minute of events is read again 2, 10 and 60 seconds after
the last new event, and an event that was not seen before is delivered then. After a quiet minute nothing is remembered,
so an idle source stores one number.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any, Final

import orjson
from msgspec import Struct, field

from agent.core.events import Span

MINUTE: Final = 60.0
"""Seconds of events that are reread."""
SCHEDULE: Final = (2.0, 10.0, 60.0)
"""Seconds after the last new event at which each reread starts."""
MAX_REMEMBERED: Final = 5000
"""The most events that are remembered. The oldest are dropped, and then not reread."""
_SUFFIX_LENGTH: Final = 8
"""Characters of an event's id that are kept. Its number alone would not show that a server was restored."""


class SeenEvent(Struct, frozen=True, order=True, gc=False):
    """One event that was delivered.

    Attributes:
        cursor: its number.
        id_suffix: the end of its id.
        at: its time by the server's clock, seconds since the epoch.
    """

    cursor: int
    id_suffix: str
    at: float


class FeedPosition(Struct):
    """The position of a reader. Mutable; lives for one pull.

    Attributes:
        cursor: every event up to this number was read once.
        id_suffix: the end of the id of the event with that number; empty if it is not known.
        floor: no event up to this number is reread.
        marks: the delivered events after the floor, by number.
        quiet_since: our clock at the last new event, seconds; None if nothing is left to reread.
        passes: number of the rereads in ``SCHEDULE`` that are done or have begun.
        reread_at: the number that the current reread has reached; None if there is none.
    """

    cursor: int = 0
    id_suffix: str = ""
    floor: int = 0
    marks: list[SeenEvent] = field(default_factory=list)
    quiet_since: float | None = None
    passes: int = 0
    reread_at: int | None = None

    def place(self) -> FeedPosition | None:
        """Return a copy that only names the event of the position; None if its id is not known."""
        return FeedPosition(self.cursor, self.id_suffix) if self.id_suffix else None

    def unseen(self, cursor: int, event_id: str) -> bool:
        """Return True unless this event is remembered as delivered."""
        index = bisect_left(self.marks, cursor, key=lambda mark: mark.cursor)
        for mark in self.marks[index:]:
            if mark.cursor != cursor:
                break
            if mark.id_suffix == event_id[-_SUFFIX_LENGTH:]:
                return False
        return True

    def reach(self, cursor: int, event_id: str) -> None:
        """Move to the event with this number. The position never moves back."""
        if cursor > self.cursor or (not self.id_suffix and cursor == self.cursor):
            self.cursor, self.id_suffix = cursor, event_id[-_SUFFIX_LENGTH:]

    def skip_acknowledged(self, known: Iterable[Span]) -> int:
        """Move over acknowledged events of our own that come next. Returns the last number skipped, or 0.

        The last of them is read nevertheless: only its id reveals a server that was restored and went on.
        """
        end = self.cursor
        for first, last in known:
            if first <= end + 1 <= last:
                end = last
        if end - 1 <= self.cursor:
            return 0
        self.cursor, self.id_suffix = end - 1, ""
        return self.cursor

    def is_at(self, cursor: int, event_id: str) -> bool:
        """Return True if this is the event of the position, not another one that got its number after a restore.

        An event that was skipped has no known id; then only the number is compared.
        """
        return cursor == self.cursor and self.id_suffix in ("", event_id[-_SUFFIX_LENGTH:])

    def remember(self, delivered: Iterable[tuple[int, str, float]], now: float) -> None:
        """Remember new events (number, id, time), so that a reread does not deliver them again."""
        for cursor, event_id, at in delivered:
            insort(self.marks, SeenEvent(cursor, event_id[-_SUFFIX_LENGTH:], at))
            self.quiet_since = now
            self.passes = 0
        newest = max((mark.at for mark in self.marks), default=0.0)
        surplus = 0
        for index, mark in enumerate(self.marks):
            if mark.at >= newest - MINUTE and len(self.marks) - index <= MAX_REMEMBERED:
                break
            surplus = index + 1
        if surplus:
            self.floor = max(self.floor, self.marks[surplus - 1].cursor)
            del self.marks[:surplus]

    def reread_due(self, now: float) -> bool:
        """Return True if a reread should start now."""
        return self.reread_at is None and self.idle_for(now) <= 0

    def idle_for(self, now: float) -> float:
        """Return the seconds until the next reread is due; infinite if there is none."""
        if self.quiet_since is None:
            return math.inf
        # If the clock was set back, waiting for the old time could take years.
        self.quiet_since = min(self.quiet_since, now)
        return SCHEDULE[self.passes] - (now - self.quiet_since)

    def begin_reread(self, now: float) -> None:
        """Start a reread. A late one counts for all that were due before it."""
        elapsed = now - (now if self.quiet_since is None else self.quiet_since)
        self.passes = max(self.passes + 1, sum(1 for due in SCHEDULE if due <= elapsed))
        self.reread_at = self.floor

    def end_reread(self) -> None:
        """End the reread, as it has reached the newest event. After the last one nothing is remembered."""
        self.reread_at = None
        if self.passes >= len(SCHEDULE):
            self.forget()

    def forget(self) -> None:
        """Forget all events: nothing is left to reread."""
        self.marks.clear()
        self.floor = self.cursor
        self.quiet_since = None
        self.passes = 0
        self.reread_at = None

    def to_json(self) -> str:
        """Return the opaque state that the engine keeps."""
        state: dict[str, Any] = {"cursor": self.cursor, "tail": self.id_suffix}
        if self.quiet_since is not None:
            state |= {
                "floor": self.floor,
                "marks": [[mark.cursor, mark.id_suffix, round(mark.at)] for mark in self.marks],
                "quiet_since": self.quiet_since,
                "passes": self.passes,
                "again": self.reread_at,
            }
        return orjson.dumps(state).decode()

    @classmethod
    def from_json(cls, state: str | None) -> FeedPosition:
        """Return the position of a kept state; the beginning of the feed if there is none, or it cannot be read.

        To deliver an event twice is harmless, to leave one out is not.
        """
        if state is None:
            return cls()
        try:
            kept = orjson.loads(state)
            position = cls(int(kept["cursor"]), str(kept.get("tail", "")), floor=int(kept["cursor"]))
            if "quiet_since" in kept:
                position.floor = int(kept["floor"])
                position.marks = [SeenEvent(int(cursor), str(tail), float(at)) for cursor, tail, at in kept["marks"]]
                position.quiet_since = float(kept["quiet_since"])
                position.passes = min(int(kept["passes"]), len(SCHEDULE))
                position.reread_at = None if kept["again"] is None else int(kept["again"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return cls()
        return position
