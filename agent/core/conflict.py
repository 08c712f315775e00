"""The record of a conflict, and the places from which conflicts come.

``core/conflict_verdict.py`` says what happens to one next, ``core/claim.py`` whose conflict the server shows.
"""

from __future__ import annotations

import enum
from typing import Final

from msgspec import Struct

from agent.core.model import ConflictKind, Resolution
from agent.core.version import Version, version_of


class ConflictOrigin(enum.StrEnum):
    """Origin of a conflict. It decides what the two sides of the record are."""

    TREES = "trees"
    """The folder and the server differ. The remote side is the server's head."""
    LOST_UPDATE = "lost_update"
    """Our push replaced a version we had not seen. The local side is the head, the remote side that version."""
    SERVER_EDIT = "server_edit"
    """The server refused an edit made on the server. The local side is the head, the remote side the refused edit."""
    OVERTAKEN_EDIT = "overtaken_edit"
    """A refused server edit whose head has moved; the remote side is the head. Only releases before 0.2 wrote it."""
    STALE_OWN = "stale_own"
    """The server refused an old push of ours, and a newer version of ours is in its place. Closed without asking."""
    FOREIGN = "foreign"
    """Another machine's conflict. It is listed and never touched."""


class ConflictState(enum.StrEnum):
    """State of a conflict."""

    OPEN = "open"
    RESOLVING = "resolving"
    """A decision was made and is being carried out."""
    CLOSED = "closed"


HEAD_IS_LOCAL: Final = frozenset({ConflictOrigin.LOST_UPDATE, ConflictOrigin.SERVER_EDIT})
"""Origins with a text *beside* the server's head: the local side is the head, the remote side that text."""
BETWEEN_TREES: Final = frozenset({ConflictOrigin.TREES, ConflictOrigin.OVERTAKEN_EDIT})
"""Origins whose local side is the folder's text and whose remote side is the server's head."""
SWAPPED: Final = frozenset({ConflictOrigin.SERVER_EDIT, ConflictOrigin.OVERTAKEN_EDIT})
"""Origins whose two sides the server has the other way round: its ``local`` is the head."""


class Conflict(Struct, frozen=True, gc=False):
    """One disagreement about one path.

    Attributes:
        id: number in the index.
        generation: rises each time a side moves, so that a decision names the texts it was made on.
        path: relative path.
        kind: the way in which the sides differ.
        origin: see ``ConflictOrigin``.
        base_hash: sha256 of the common ancestor of the two sides; None if there is none or it is not known. A merge is
            proposed on this text or not at all.
        local_hash, remote_hash: the two sides as they are shown; None is "no file".
        head_hash: the server's head when the conflict was shown. A resolution is refused if the head has moved.
        server_ids: the server's open conflicts about this disagreement.
        opened_at: seconds since the epoch.
        state: see ``ConflictState``.
        mine: True if this machine resolves it. A conflict that waits for its head (``is_waiting``) is not ``mine`` yet.
        choice, wanted_hash: the decision and the text the path shall hold (None: no file), while it is carried out.
        note: a sentence for people, or None.
        base_rev, local_rev, remote_rev: the server's revisions of the three texts; None if not known. ``local_rev`` is
            the server's own copy of the local side, if it refused that text.
    """

    id: int
    generation: int
    path: str
    kind: ConflictKind
    origin: ConflictOrigin
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    head_hash: str | None
    server_ids: tuple[str, ...]
    opened_at: float
    state: ConflictState
    mine: bool
    choice: Resolution | None = None
    wanted_hash: str | None = None
    note: str | None = None
    base_rev: str | None = None
    local_rev: str | None = None
    remote_rev: str | None = None

    @property
    def base_version(self) -> Version | None:
        """The common ancestor."""
        return version_of(self.base_hash, self.base_rev)

    @property
    def local_version(self) -> Version | None:
        """The local side, with the revision of the server's own copy."""
        return version_of(self.local_hash, self.local_rev)

    @property
    def key(self) -> str:
        """The id people use: ``id.generation``."""
        return f"{self.id}.{self.generation}"

    @property
    def parks(self) -> bool:
        """True if nothing is sent or installed for its path."""
        return self.mine and self.state is not ConflictState.CLOSED

    @property
    def is_waiting(self) -> bool:
        """True if it cannot be shown yet: the folder must first receive the head, or another conflict comes first."""
        return not self.mine and self.origin in HEAD_IS_LOCAL and self.state is not ConflictState.CLOSED
