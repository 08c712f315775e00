"""events: status, conflicts and activity as one stream with ids."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from agent.api.context import ApiContext
from agent.api.methods.files import activity
from agent.api.methods.status import status
from agent.api.schema.status import (
    ActivityParams,
    EventDocument,
    EventsParams,
    StatusDocument,
    StatusParams,
    StreamEventKind,
)
from agent.core.errors import UsageError

_AT_ONCE: Final = 1000
"""Entries of the activity log in one answer; the next one continues behind them."""


class _Position(Struct):
    """The part of the stream that a reader has seen.

    The position holds everything that decides the next events. So the agent keeps no events for its readers, and a
    stream continues after a restart.

    Attributes:
        entry: id of the newest entry of the activity log.
        status, conflicts: digests of the documents; empty for none.
    """

    entry: int = 0
    status: str = ""
    conflicts: str = ""

    @property
    def key(self) -> str:
        return f"{self.entry}.{self.status}.{self.conflicts}"


def events(context: ApiContext, params: EventsParams) -> list[EventDocument]:
    """List the changes behind an event: new entries of the activity log, and status and conflicts if they changed.

    Raises:
        UsageError: ``after`` is no id of an event.
    """
    agent = context.agent
    at = _position(params.after)
    found: list[EventDocument] = []
    # Read first, so that a change that follows is seen by the next call.
    report = status(context, StatusParams())
    newest = report.last_event.id if report.last_event is not None else 0
    if params.after is None or newest < at.entry:
        # The stream begins with the present state. An older newest entry is that of another index.
        at.entry = newest
    elif at.entry < newest:
        for line in activity(agent, ActivityParams(after=at.entry, limit=_AT_ONCE)):
            at.entry = line.id
            found.append(EventDocument(id=at.key, kind=StreamEventKind.ACTIVITY, activity=line))
    keys = [source.key for source in agent.registry.sources]
    ids = agent.control.call(lambda: [one for key in keys for one in agent.index.conflicts.parked_keys(key)])
    if (digest := _digest(ids)) != at.conflicts:
        at.conflicts = digest
        found.append(EventDocument(id=at.key, kind=StreamEventKind.CONFLICTS, conflicts=ids))
    if (digest := _status_digest(report)) != at.status:
        at.status = digest
        found.append(EventDocument(id=at.key, kind=StreamEventKind.STATUS, status=report))
    return found


def _position(key: str | None) -> _Position:
    if key is None:
        return _Position()
    try:
        entry, status_digest, conflicts_digest = key.split(".")
        return _Position(int(entry), status_digest, conflicts_digest)
    except ValueError:
        raise UsageError(f"{key!r} is no id of an event", "leave it out to begin with the present state") from None


def _status_digest(report: StatusDocument) -> str:
    """Return the digest of everything but the time of the report."""
    return _digest(msgspec.structs.replace(report, checked_at=""))


def _digest(document: object) -> str:
    return hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:12]
