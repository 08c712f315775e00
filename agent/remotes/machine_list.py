"""The port for the machines of a source, as a server knows them."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class RemoteMachine(Struct, frozen=True):
    """One machine that syncs a source.

    Attributes:
        id: of its connector or device on the server.
        platform, version: as the machine stated them; None if the server does not repeat them.
        seen_at: RFC 3339 time at which the server last heard of it; None if the server does not tell.
        reached_at: RFC 3339 time at which it reached its position; None if it never reported one.
        is_current: it has applied every change of the source; None if the server does not tell.
        behind: number of changes that it has not applied; None if the server does not count them.
        is_this: it is this machine.
    """

    id: str
    name: str
    platform: str | None = None
    version: str | None = None
    seen_at: str | None = None
    reached_at: str | None = None
    is_current: bool | None = None
    behind: int | None = None
    is_this: bool = False


class MachineList(Protocol):
    """The machines of the sources of one account."""

    def machines(self, source_id: str) -> list[RemoteMachine]:
        """List the machines that sync a source. Those that never synced it are left out.

        Raises:
            RemoteError: NOT_FOUND if the server does not know the call; any other failed call.
        """
        ...

    def leave(self, source_id: str) -> None:
        """Take this machine off the list of a source that it no longer syncs, where the server has such a call.

        Raises:
            RemoteError: NOT_FOUND if the server does not know the call; any other failed call.
        """
        ...
