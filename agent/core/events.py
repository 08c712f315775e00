"""Events of a source's feed in one form for all servers, in the server's order."""

from __future__ import annotations

import enum
from typing import ClassVar, NamedTuple

from msgspec import Struct

from agent.core.remote_records import RemoteFolder
from agent.core.version import Version
from agent.core.without_texts import WithoutTexts


class Upsert(Struct, frozen=True, gc=False):
    """A path now holds these bytes.

    Attributes:
        path: as the server sent it; not checked.
        hash: sha256 the server states. The dialect has verified it if ``content`` is there.
        position: rises along the feed; comparable within one source only.
        content: the bytes; None if the server left them out or sends them apart.
        operation_id: the operation this event is the echo of; None if the server does not say.
        rev, remote_id: the server's own revision and file id, opaque.
        latest: True if the server says that no later event concerns this path; False if it does not say.
        size: bytes; None if the server does not say.
    """

    path: str
    hash: str
    position: int
    content: bytes | None = None
    operation_id: str | None = None
    rev: str | None = None
    remote_id: str | None = None
    latest: bool = False
    size: int | None = None

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"Upsert({self.path!r}, {self.hash!r}, {self.position!r}, operation_id={self.operation_id!r})"

    @property
    def version(self) -> Version:
        """The version that the path holds now."""
        return Version(self.hash, self.size, self.rev, self.remote_id)


class Delete(Struct, frozen=True, gc=False):
    """A path now holds nothing. ``remote_id``: the server's id of the file that was there."""

    path: str
    position: int
    operation_id: str | None = None
    remote_id: str | None = None


class Move(Struct, frozen=True, gc=False):
    """The file at ``old_path`` is at ``path`` now. It says all that an ``Upsert`` of ``path`` would say.

    The other fields are those of ``Upsert``.
    """

    old_path: str
    path: str
    hash: str
    position: int
    operation_id: str | None = None
    rev: str | None = None
    remote_id: str | None = None
    size: int | None = None

    @property
    def version(self) -> Version:
        """The version that ``path`` holds now."""
        return Version(self.hash, self.size, self.rev, self.remote_id)


class Superseded(WithoutTexts, frozen=True):
    """A version that another writer replaced without having seen it. Its text may exist nowhere else."""

    TEXTS: ClassVar = ("text",)

    path: str
    hash: str
    position: int
    text: bytes | None = None
    rev: str | None = None


class ConflictOpened(Struct, frozen=True, gc=False):
    """The server refused a change and opened a conflict.

    Attributes:
        local_hash: sha256 of the refused text; None for a refused delete.
        remote_hash: sha256 of the head at that time; None if there was no file.
        by_server_edit: True if an edit made on the server was refused, not a push. Then ``local_hash`` is the head and
            ``remote_hash`` the refused edit.
        local_rev, remote_rev: the server's revisions of these two.
    """

    path: str
    conflict_id: str
    position: int
    local_hash: str | None
    remote_hash: str | None
    by_server_edit: bool = False
    local_rev: str | None = None
    remote_rev: str | None = None


class ConflictClosed(Struct, frozen=True, gc=False):
    """A conflict was resolved.

    Attributes:
        hash: the content that the path holds afterwards; None is "no file".
        rev, remote_id: its revision and the file's id.
    """

    path: str
    conflict_id: str
    position: int
    hash: str | None
    rev: str | None = None
    remote_id: str | None = None

    @property
    def version(self) -> Version | None:
        """The version that the path holds afterwards."""
        return None if self.hash is None else Version(self.hash, None, self.rev, self.remote_id)


class Unreadable(Struct, frozen=True, gc=False):
    """An event that cannot be decoded, at a position that can.

    Attributes:
        path: as the server sent it; None if it named none.
        reason: what is wrong with it, for people.
    """

    path: str | None
    position: int
    reason: str


class ControlSignal(enum.StrEnum):
    """State of the whole source on the server."""

    PAUSED = "paused"
    RESUMED = "resumed"


class ControlEvent(Struct, frozen=True, gc=False):
    """The whole source was paused or resumed on the server."""

    signal: ControlSignal
    position: int


FeedEvent = Upsert | Delete | Move | Superseded | ConflictOpened | ConflictClosed | Unreadable | ControlEvent


class Span(NamedTuple):
    """Positions from ``first`` to ``last``, both included."""

    first: int
    last: int


class Page(Struct, frozen=True, gc=False):
    """One page of the feed.

    Attributes:
        events: in the server's order.
        state: the dialect's own position (JSON text). It is committed together with the events and never interpreted.
        more: True if the server has more events now.
        cursor: the position for people, as ``status`` shows it.
        past: the events up to this position that were already acknowledged are left out; 0 if none was left out.
        folders: folders of the server that the page created, moved or listed, in the order of their events.
        folders_gone: ids of folders that it deleted, with everything below them.
        barrier: True if the next page must not be read before these events are committed, because the dialect
            translates it with what the index then knows.
    """

    events: tuple[FeedEvent, ...]
    state: str
    more: bool
    cursor: str
    past: int = 0
    folders: tuple[RemoteFolder, ...] = ()
    folders_gone: tuple[str, ...] = ()
    barrier: bool = False

    @property
    def size(self) -> int:
        """Size of the contents in this page, in bytes."""
        return sum(len(event.content) for event in self.events if isinstance(event, Upsert) and event.content)
