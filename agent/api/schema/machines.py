"""The machines of sources, as the servers know them."""

from __future__ import annotations

from msgspec import Struct


class MachineDocument(Struct, frozen=True, kw_only=True):
    """One machine of a source, as the server knows it.

    Attributes:
        id: of its connector or device on the server.
        this_machine: it is the machine that answers.
        state: up_to_date, behind, or unknown where the server does not tell.
        behind: changes of the source that it has not applied yet; null if the server does not count them. A conflict
            that waits there counts as applied.
        seen_at: time at which the server last heard of it.
        reached_at: time at which it reached its position.
    """

    id: str
    name: str
    platform: str | None
    version: str | None
    this_machine: bool
    state: str
    behind: int | None
    seen_at: str | None
    reached_at: str | None


class SourceMachinesDocument(Struct, frozen=True, kw_only=True):
    """The machines of one source.

    Attributes:
        known: the server lists its machines.
        message: the reason in words why they are not known; null if they are.
    """

    source_id: str
    name: str
    root: str
    server: str
    known: bool
    message: str | None
    machines: list[MachineDocument]
