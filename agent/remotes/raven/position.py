"""The position in one source's feed, and what is needed to find the events that the feed skipped.

The real server gives an event its number before the event can be read, so a reader may pass a number that appears
behind its back a moment later. Where the feed is not ordered, the last minute of events is therefore read again 2, 10
and 60 seconds after the last new one, and whatever was not seen the first time is told then. Once a minute is quiet
nothing is remembered, so an idle source costs a number.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from agent.core.events import Span

MINUTE: Final = 60.0
"""Seconds of events that are read again."""
SCHEDULE: Final = (2.0, 10.0, 60.0)
"""Seconds after the last new event at which they are."""
MAX_REMEMBERED: Final = 5000
"""Events remembered at most; the oldest give way, and are then not read again."""
_SUFFIX_LENGTH: Final = 8
"""Characters of an event's id that are kept: its number alone would not show that a server was restored."""


@dataclass(frozen=True, order=True, slots=True)
class SeenEvent:
    """One event that was told.

    Attributes:
        cursor: its number.
        id_suffix: the end of its id.
        at: when it happened by the server's clock, seconds.
    """

    cursor: int
    id_suffix: str
    at: float


@dataclass(slots=True)
class FeedPosition:
    """Where the reading of a feed stands. Mutable; lives for one pull.

    Attributes:
        cursor: everything up to here was read once.
        id_suffix: the end of the id of the event with that number; empty where it is not known.
        floor: nothing up to here is read again.
        marks: the events behind the floor that were told, by number.
        quiet_since: our clock at the last new event; None when nothing is left to read again.
        passes: how many of the re-readings in ``SCHEDULE`` are done or under way.
        again: where the re-reading under way stands; None when none is.
    """

    cursor: int = 0
    id_suffix: str = ""
    floor: int = 0
    marks: list[SeenEvent] = field(default_factory=list)
    quiet_since: float | None = None
    passes: int = 0
    again: int | None = None

    def unseen(self, cursor: int, event_id: str) -> bool:
        """Whether this event was not told yet, as far as is remembered."""
        index = bisect_left(self.marks, cursor, key=lambda mark: mark.cursor)
        for mark in self.marks[index:]:
            if mark.cursor != cursor:
                break
            if mark.id_suffix == event_id[-_SUFFIX_LENGTH:]:
                return False
        return True

    def reach(self, cursor: int, event_id: str) -> None:
        """The event with this number was read; the position never moves back."""
        if cursor > self.cursor or (not self.id_suffix and cursor == self.cursor):
            self.cursor, self.id_suffix = cursor, event_id[-_SUFFIX_LENGTH:]

    def pass_over(self, known: Iterable[Span]) -> int:
        """Move over what is known already, as far as nothing else stands between; the last position of it, or 0.

        The last event of all is read nevertheless: only its id shows a server that was restored and went on.
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
        """Whether this is the event the position stands at, and not another that was given its number: as far as that
        can be told, where the event was passed over and its id is not known.
        """
        return cursor == self.cursor and self.id_suffix in ("", event_id[-_SUFFIX_LENGTH:])

    def remember(self, told: Iterable[tuple[int, str, float]], now: float) -> None:
        """Note new events (number, id, time), so that a re-reading does not tell them again."""
        for cursor, event_id, at in told:
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

    def due(self, now: float) -> bool:
        """Whether a re-reading should start now."""
        return self.again is None and self.idle_for(now) <= 0

    def idle_for(self, now: float) -> float:
        """Seconds until a re-reading is due; infinite where none is."""
        if self.quiet_since is None:
            return math.inf
        # Where the clock was set back, waiting for the old time could take years.
        self.quiet_since = min(self.quiet_since, now)
        return SCHEDULE[self.passes] - (now - self.quiet_since)

    def begin_again(self, now: float) -> None:
        """Start a re-reading. One that comes late stands for all that were due before it."""
        elapsed = now - (now if self.quiet_since is None else self.quiet_since)
        self.passes = max(self.passes + 1, sum(1 for due in SCHEDULE if due <= elapsed))
        self.again = self.floor

    def end_again(self) -> None:
        """The re-reading has reached the present. After the last one nothing is remembered."""
        self.again = None
        if self.passes >= len(SCHEDULE):
            self.forget()

    def forget(self) -> None:
        """Nothing is left to read again."""
        self.marks.clear()
        self.floor = self.cursor
        self.quiet_since = None
        self.passes = 0
        self.again = None

    def to_json(self) -> str:
        """The state the engine keeps, unread."""
        state: dict[str, Any] = {"cursor": self.cursor, "tail": self.id_suffix}
        if self.quiet_since is not None:
            state |= {
                "floor": self.floor,
                "marks": [[mark.cursor, mark.id_suffix, round(mark.at)] for mark in self.marks],
                "quiet_since": self.quiet_since,
                "passes": self.passes,
                "again": self.again,
            }
        return orjson.dumps(state).decode()

    @classmethod
    def from_json(cls, state: str | None) -> FeedPosition:
        """The position that was kept; the beginning where none was, or where it cannot be read (telling an event
        twice is harmless, leaving one out is not).
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
                position.again = None if kept["again"] is None else int(kept["again"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return cls()
        return position
