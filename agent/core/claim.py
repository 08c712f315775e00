"""Whose conflict the server shows, and which conflicts a resolution closes. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from msgspec import Struct

from agent.core.conflict import Conflict, ConflictOrigin
from agent.core.remote_records import RemoteConflict
from agent.core.version import Version, is_base, version_of


class OwnPush(Struct, frozen=True):
    """A push of this machine, as far as ``claim`` needs it.

    Attributes:
        hash: sha256 of the pushed text; None for a delete.
        base: the base it named; None for "must not exist".
        in_doubt: its outcome is not known.
        abandoned: it was judged as never applied, and may still arrive late.
        base_rev: the server's revision of ``base``; None if not known.
    """

    hash: str | None
    base: str | None
    in_doubt: bool = False
    abandoned: bool = False
    base_rev: str | None = None

    @property
    def base_version(self) -> Version | None:
        """The base it named."""
        return version_of(self.base, self.base_rev)


class ConflictEvidence(Struct, frozen=True):
    """A conflict as the feed or the list of conflicts shows it.

    Attributes:
        id: the server's id.
        local_hash, remote_hash: see ``RemoteConflict``.
        by_server_edit: an edit made on the server was refused, not a push.
        base_hash: the base of the refused text.
        base_known: False from the feed, which does not say the base.
        base_rev, local_rev, remote_rev: see ``RemoteConflict``.
    """

    id: str
    local_hash: str | None
    remote_hash: str | None
    by_server_edit: bool = False
    base_hash: str | None = None
    base_known: bool = False
    base_rev: str | None = None
    local_rev: str | None = None
    remote_rev: str | None = None

    @property
    def base_version(self) -> Version | None:
        """The version on which the refused text was made."""
        return version_of(self.base_hash, self.base_rev)

    @property
    def local_version(self) -> Version | None:
        """The local side: a refused push, or the head beside a refused server edit."""
        return version_of(self.local_hash, self.local_rev)

    @property
    def remote_version(self) -> Version | None:
        """The remote side."""
        return version_of(self.remote_hash, self.remote_rev)


class Claim(enum.Enum):
    """Whose conflict the server shows."""

    SERVER_EDIT = "server_edit"
    """Everybody's: an edit made on the server was refused."""
    IN_DOUBT = "in_doubt"
    """Perhaps the answer to a push of ours whose outcome is not known: the outcome decides."""
    OURS = "ours"
    """It is about the disagreement that parks the path."""
    RESOLVED = "resolved"
    """The same disagreement as one that was resolved here; what was decided then is the head."""
    STALE_OWN = "stale_own"
    """A late old push of ours."""
    OVER = "over"
    """A push of ours that is over, or its equal, was refused, and its text is the head: nothing differs."""
    UNSURE = "unsure"
    """Perhaps ours; its base decides, and the feed does not say it. The list of conflicts does."""
    FOREIGN = "foreign"
    """Another machine's."""


def claim(
    found: ConflictEvidence,
    own: Sequence[OwnPush],
    parked: Conflict | None,
    resolved: Sequence[Conflict],
    head: str | None,
) -> Claim:
    """Say whose conflict this is.

    A conflict is ours if its base and its refused text are those of a push of ours. Two machines that push the same
    text on the same base open two such conflicts. Each shows the same disagreement, so the machine that resolves it
    closes both.

    Args:
        found: the conflict.
        own: this machine's pushes to the path.
        parked: the conflict that parks the path.
        resolved: conflicts of the path that were resolved here.
        head: the server's head now.
    """
    if found.by_server_edit:
        return Claim.SERVER_EDIT
    same_text = [push for push in own if push.hash == found.local_hash]
    if any(push.in_doubt for push in same_text):
        return Claim.IN_DOUBT
    mine = [p for p in same_text if not found.base_known or is_base(p.base_version, found.base_hash, found.base_rev)]
    if not mine:
        # No push of ours carried this text on this base, so another machine's did.
        return Claim.FOREIGN
    if parked is not None and is_same_disagreement(parked, found):
        # The parked conflict shows this very pair of base and refused text.
        return Claim.OURS if found.base_known else Claim.UNSURE
    if any(push.abandoned for push in mine) and parked is None:
        # It was given up and arrived late; a newer text of ours has taken its place.
        return Claim.STALE_OWN if found.base_known else Claim.UNSURE
    if any(_was_decided(past, found, head) for past in resolved):
        return Claim.RESOLVED if found.base_known else Claim.UNSURE
    if parked is None and _is_head(found, head):
        # It may be the late second copy of our own push, which no other evidence names.
        return Claim.OVER
    # A push of ours carried this text and was applied or resolved. This refusal is another machine's.
    return Claim.FOREIGN


def _is_head(found: ConflictEvidence, head: str | None) -> bool:
    """Return True if the head is what was refused. A text of unknown hash has a revision, which a delete has not."""
    is_known = found.local_hash is not None or found.local_rev is None
    return found.base_known and is_known and found.local_hash == head


def is_same_disagreement(conflict: Conflict, found: ConflictEvidence | RemoteConflict) -> bool:
    """True if a conflict on the server refuses the text that ``conflict`` shows, on the same base.

    A base that the feed does not say counts as equal.
    """
    if conflict.origin is not ConflictOrigin.TREES or found.local_hash != conflict.local_hash:
        return False
    base_known = found.base_known if isinstance(found, ConflictEvidence) else True
    return not base_known or is_base(conflict.base_version, found.base_hash, found.base_rev)


def _was_decided(past: Conflict, found: ConflictEvidence, head: str | None) -> bool:
    """True if ``past`` was resolved here on the same three texts, and what was decided is still the head."""
    same = is_same_disagreement(past, found) and past.remote_hash == found.remote_hash
    return same and past.choice is not None and past.wanted_hash == head


def to_close(
    conflict: Conflict, listed: Sequence[RemoteConflict], own: Sequence[OwnPush], foreign: Iterable[str]
) -> list[RemoteConflict]:
    """Return the open conflicts on the server that a resolution of ``conflict`` closes, the wanted text first.

    Those are the ones of its own record, their equals from other machines, and late pushes of ours that were
    judged as never applied. Another machine's conflict with another text or on another base is never closed.

    Args:
        conflict: the conflict with its decision.
        listed: the server's open conflicts.
        own: this machine's pushes to the path.
        foreign: ids of conflicts that are known to be another machine's or to wait for their turn.
    """
    others = frozenset(foreign)
    late = [push for push in own if push.abandoned]
    found = [
        c
        for c in listed
        if c.path == conflict.path
        and (
            c.id in conflict.server_ids
            or is_same_disagreement(conflict, c)
            or (c.id not in others and any(_is_refusal_of(push, c) for push in late))
        )
    ]
    wanted = conflict.wanted_hash
    return sorted(found, key=lambda c: (wanted not in (c.local_hash, c.remote_hash), c.id))


def _is_refusal_of(push: OwnPush, found: RemoteConflict) -> bool:
    return push.hash == found.local_hash and is_base(push.base_version, found.base_hash, found.base_rev)
