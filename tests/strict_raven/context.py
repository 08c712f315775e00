"""Dependencies of every endpoint: state, clock, ids, random chances, and the two ways to write to the feed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strict_raven.columns import document, uuid_key
from strict_raven.races import Dice
from strict_raven.state import JSON, Conflict, Event, Source, State
from strict_raven.wire import HttpError, sha256


@dataclass(frozen=True, slots=True)
class Caller:
    """The user and workspace of a token."""

    user: str
    workspace: str


@dataclass(slots=True)
class Context:
    """The server's insides.

    Attributes:
        texts: sha256 of every text any event, version or conflict ever held, over restores too.
        conflicts_ever: every conflict ever opened, the wiped ones too, over restores too.
    """

    state: State
    clock: Callable[[], float]
    new_id: Callable[[], str]
    dice: Dice
    texts: set[str]
    conflicts_ever: dict[str, Conflict]

    def source(self, caller: Caller, source_id: str) -> Source:
        """The caller's source of that id.

        Raises:
            HttpError: 404.
        """
        source = self.state.sources.get(uuid_key(source_id))
        if source is None or source.workspace != caller.workspace:
            raise HttpError(404, "Local sync source not found")
        return source

    def append(self, source: Source, kind: str, path: str | None, payload: JSON) -> Event:
        """Write an event; its number comes from the one sequence of all sources.

        Raises:
            DatabaseError: the payload holds what a JSON column cannot; no number is taken.
        """
        document(payload)
        now = self.clock()
        self.state.sequence += 1
        event = Event(self.new_id(), source.id, self.state.sequence, kind, path, payload, now)
        source.events.append(event)
        if "content" in payload:
            self.texts.add(sha256(payload["content"]))
        self.dice.maybe_hide(source, event, now)
        return event

    def keep(self, source: Source, conflict: Conflict) -> None:
        """Store a new conflict."""
        source.conflicts[conflict.id] = conflict
        self.conflicts_ever[conflict.id] = conflict
        self.texts |= {sha256(conflict.local_content), sha256(conflict.remote_content)}
