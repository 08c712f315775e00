"""Limits on open connections, so that clients without a token cannot use up the process's descriptors."""

from __future__ import annotations

import resource
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

WANTED_DESCRIPTORS: Final = 16_384
RESERVED_DESCRIPTORS: Final = 128
"""Descriptors kept for the database, files and the process itself."""
UNAUTHENTICATED_EACH_ADDRESS: Final = 1024


class ConnectionStage(Enum):
    """Progress of a connection. Earlier stages are closed first when connections run out."""

    UNAUTHENTICATED = auto()
    IDLE = auto()
    """A request with a valid token was answered, and no request is being answered now."""
    BUSY = auto()
    """A request with a valid token is being answered."""


class TrackedConnection(Protocol):
    """A connection that the table may close."""

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Largest numbers of open connections.

    Attributes:
        total: of the whole process.
        unauthenticated: from one address, before a request with a valid token. None behind a proxy, whose address is
            the address of every client.
    """

    total: int
    unauthenticated: int | None


class ConnectionTable:
    """Open connections by stage, oldest first. Lives on one event loop.

    A new connection is always accepted while an idle one can be closed instead. So a client with a valid token gets in
    however many connections others hold open.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._stage: dict[TrackedConnection, ConnectionStage] = {}
        self._address: dict[TrackedConnection, str] = {}
        # Dictionaries keep insertion order, so the first key of each is the oldest connection.
        self._by_stage: dict[ConnectionStage, dict[TrackedConnection, None]] = {stage: {} for stage in ConnectionStage}
        self._unauthenticated: defaultdict[str, dict[TrackedConnection, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._stage)

    def add(self, connection: TrackedConnection, address: str) -> None:
        """Track a new connection, and close the connection that has to make room for it."""
        if self._is_full():
            victim = self._oldest()
            (victim or connection).abort()
            if victim is None:
                return
            self.remove(victim)
        limit = self.limits.unauthenticated
        waiting = self._unauthenticated.get(address, {})
        if limit is not None and len(waiting) >= limit:
            victim = next(iter(waiting))
            self.remove(victim)
            victim.abort()
        self._stage[connection] = ConnectionStage.UNAUTHENTICATED
        self._address[connection] = address
        self._by_stage[ConnectionStage.UNAUTHENTICATED][connection] = None
        self._unauthenticated[address][connection] = None

    def set_stage(self, connection: TrackedConnection, stage: ConnectionStage) -> None:
        """Record the progress of a tracked connection. It becomes the youngest of its stage."""
        before = self._stage.get(connection)
        if before is None:
            return
        del self._by_stage[before][connection]
        if before is ConnectionStage.UNAUTHENTICATED:
            self._forget_unauthenticated(connection)
        self._stage[connection] = stage
        self._by_stage[stage][connection] = None

    def remove(self, connection: TrackedConnection) -> None:
        """Stop tracking a connection."""
        stage = self._stage.pop(connection, None)
        if stage is None:
            return
        del self._by_stage[stage][connection]
        if stage is ConnectionStage.UNAUTHENTICATED:
            self._forget_unauthenticated(connection)
        del self._address[connection]

    def _is_full(self) -> bool:
        return len(self._stage) >= self.limits.total

    def _oldest(self) -> TrackedConnection | None:
        for stage in (ConnectionStage.UNAUTHENTICATED, ConnectionStage.IDLE):
            if self._by_stage[stage]:
                return next(iter(self._by_stage[stage]))
        return None

    def _forget_unauthenticated(self, connection: TrackedConnection) -> None:
        address = self._address[connection]
        waiting = self._unauthenticated[address]
        del waiting[connection]
        if not waiting:
            del self._unauthenticated[address]


def connection_limits(*, behind_proxy: bool) -> ConnectionLimits:
    """Raise this process's descriptor limit as far as the system allows, and derive the limits on connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    descriptors = WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, WANTED_DESCRIPTORS)
    total = max(descriptors - RESERVED_DESCRIPTORS, RESERVED_DESCRIPTORS)
    return ConnectionLimits(total, None if behind_proxy else min(UNAUTHENTICATED_EACH_ADDRESS, total // 2))
