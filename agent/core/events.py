"""The normalised stream: what any server tells about a source, in its order, whatever the dialect leaves out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct


class Upsert(Struct, frozen=True, gc=False):
    """A path now holds these bytes.

    Attributes:
        path: as the server sent it; unchecked.
        hash: sha256 the server states; verified by the dialect against ``content`` where that came along.
        content: the bytes, or None where they were left out (superseded, or a dialect that sends them apart).
        position: rises along the stream; comparable within one source only.
        operation_id: whose operation this is the echo of, where the server says.
        rev, remote_id: the server's own, opaque.
        latest: the server says that nothing has come after it at this path; where it does not say, nobody knows.
    """

    path: str
    hash: str
    position: int
    content: bytes | None = None
    operation_id: str | None = None
    rev: str | None = None
    remote_id: str | None = None
    latest: bool = False

    def __repr__(self) -> str:
        # A log is no place for a file's text.
        return f"Upsert({self.path!r}, {self.hash!r}, {self.position!r}, operation_id={self.operation_id!r})"


class Delete(Struct, frozen=True, gc=False):
    """A path now holds nothing."""

    path: str
    position: int
    operation_id: str | None = None


class Move(Struct, frozen=True, gc=False):
    """What stood at ``old_path`` now stands at ``path``, unchanged."""

    old_path: str
    path: str
    hash: str
    position: int
    operation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Superseded:
    """A version another writer replaced without having seen it; its text may stand nowhere else."""

    path: str
    hash: str
    position: int
    text: bytes | None = field(default=None, repr=False)


class ConflictOpened(Struct, frozen=True, gc=False):
    """The server parked a disagreement.

    Attributes:
        local_hash: the text that was refused; None for a refused delete.
        remote_hash: what the server held; None where it held nothing.
        by_server_edit: an edit made on the server itself was refused, not a connector's push; then ``local_hash`` is
            the server's head and ``remote_hash`` the refused edit.
    """

    path: str
    conflict_id: str
    position: int
    local_hash: str | None
    remote_hash: str | None
    by_server_edit: bool = False


class ConflictClosed(Struct, frozen=True, gc=False):
    """Somebody resolved a conflict; ``hash`` is what the path then holds."""

    path: str
    conflict_id: str
    position: int
    hash: str | None


class Unreadable(Struct, frozen=True, gc=False):
    """The server told something that cannot be understood, at a position that can.

    Attributes:
        path: as the server sent it; None where it named none.
        reason: what is wrong with it, for people.
    """

    path: str | None
    position: int
    reason: str


class ControlSignal(enum.StrEnum):
    """What a control event says."""

    PAUSED = "paused"
    RESUMED = "resumed"


class ControlEvent(Struct, frozen=True, gc=False):
    """Something about the whole source."""

    signal: ControlSignal
    position: int


FeedEvent = Upsert | Delete | Move | Superseded | ConflictOpened | ConflictClosed | Unreadable | ControlEvent


class Span(NamedTuple):
    """Positions from ``first`` to ``last``, both included."""

    first: int
    last: int


class Page(Struct, frozen=True, gc=False):
    """One answer to a pull.

    Attributes:
        events: in the server's order.
        state: the dialect's own opaque position (JSON text); committed with what the events told, given back unread.
        more: whether the server has more right now.
        cursor: the position for people, as ``status`` shows it.
        past: what was known beforehand up to this position is not told again; 0 where nothing was left out.
    """

    events: tuple[FeedEvent, ...]
    state: str
    more: bool
    cursor: str
    past: int = 0

    @property
    def size(self) -> int:
        """Bytes of the texts that came along."""
        return sum(len(event.content) for event in self.events if isinstance(event, Upsert) and event.content)
