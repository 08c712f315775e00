"""The real server's races, as dice: it checks and writes in separate steps, so that two requests can pass each other.

Requests reach this server one after another. Two are taken to be at the same time when the second comes within
`window` seconds of the first and nobody has read the first one's outcome yet; the dice decide whether they passed each
other. With every chance 0, the default, nothing is rolled.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from strict_raven.state import Conflict, Event, File, Hidden, Source


@dataclass(frozen=True, slots=True)
class Races:
    """Chances that concurrent requests pass each other.

    Attributes:
        seed: makes the same requests at the same times race in the same way.
        overwrite: chance that a push, update or delete whose base was the head within the window is applied as
            though it were fresh; the version it replaces is then in no history, only in its event.
        skip: chance that an event can be read only after a later-numbered one has been.
        twice: chance that an operation id repeated within the window is applied again.
        resolve: chance that a conflict resolved within the window can be resolved again.
        window: seconds within which two requests are at the same time.
        hold: seconds after which a skipped event can be read at the latest.
        reads: the most reads that pass a skipped event by.
    """

    seed: int = 0
    overwrite: float = 0.0
    skip: float = 0.0
    twice: float = 0.0
    resolve: float = 0.0
    window: float = 0.25
    hold: float = 5.0
    reads: int = 3


class Dice:
    """Rolls for the races. A chance of 0 is not rolled, so that it leaves the other rolls as they are."""

    def __init__(self, races: Races) -> None:
        self._races = races
        self._random = random.Random(races.seed)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def overwrites(self, file: File, base: str, now: float) -> bool:
        """Return True if a request on a stale base passes the check, because the base was the head a moment ago."""
        lately = any(left == base and now - at <= self._races.window for left, at in file.left)
        return lately and self._happens(self._races.overwrite)

    def applies_twice(self, source: Source, operation: str, now: float) -> bool:
        """Return True if a repeated operation passes the check for repeats."""
        return now - source.operations[operation] <= self._races.window and self._happens(self._races.twice)

    def resolves_again(self, conflict: Conflict, now: float) -> bool:
        """Return True if a resolved conflict passes the check for open ones."""
        return now - conflict.resolved_at <= self._races.window and self._happens(self._races.resolve)

    def leave(self, file: File, now: float) -> None:
        """Remember that the file's head is being replaced now."""
        file.left = [(left, at) for left, at in file.left if now - at <= self._races.window]
        file.left.append((file.hash, now))

    def seen(self, file: File) -> None:
        """The head has been read: a request from now on may know it, so it no longer races with its writer."""
        file.left.clear()

    def maybe_hide(self, source: Source, event: Event, now: float) -> None:
        """Roll whether the new event is late for its readers."""
        if self._happens(self._races.skip):
            source.hidden[event.cursor] = Hidden(self._random.randint(1, self._races.reads), now + self._races.hold)


def readable(source: Source, event: Event, now: float) -> bool:
    """Return True if a poll sees the event now."""
    hidden = source.hidden.get(event.cursor)
    if hidden is None:
        return True
    if now < hidden.until:
        return False
    del source.hidden[event.cursor]
    return True


def count_read(source: Source, delivered: int) -> None:
    """A poll has read up to cursor `delivered`: the events it passed by come one read closer."""
    for cursor, hidden in list(source.hidden.items()):
        if cursor >= delivered:
            continue
        if hidden.reads == 0:
            del source.hidden[cursor]
        else:
            hidden.reads -= 1
