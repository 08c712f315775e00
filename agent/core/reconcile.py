"""What to do at one path, given what base, local and remote hold. Total, pure, and the only place that decides it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from agent.core.model import ABSENT, ConflictKind, Mode, Presence, Side


class Step(enum.IntEnum):
    """The work a path's three trees ask for. Stored beside them as a cache; derived afresh with every change."""

    NOTHING = 0
    PUSH = 1
    PUSH_DELETE = 2
    PULL = 3
    PULL_DELETE = 4
    PARK = 5
    SKIP = 6
    """There is something to send, and it cannot be sent."""
    UNKNOWN = 7
    """A side could not be looked at; nothing may be concluded."""


class Decision(NamedTuple):
    """What to do, the base it is done on, and how the sides disagree where it is PARK.

    Attributes:
        step: the work.
        base: the base to keep: moved where both sides turned out equal (adopted), dropped where the path left the
            selection or was detached.
        kind: set with PARK only.
    """

    step: Step
    base: Side
    kind: ConflictKind | None = None


def reconcile(base: Side, local: Side, remote: Side, mode: Mode) -> Decision:
    """Decide one path. ``base`` must be a file or absent."""
    if local.presence is Presence.OUT_OF_SCOPE:
        # Dropping the base makes a later return into the selection a union: nothing is deleted for having been away.
        return Decision(Step.NOTHING, ABSENT)
    if local.presence is Presence.UNKNOWN or remote.presence is Presence.UNKNOWN:
        return Decision(Step.UNKNOWN, base)
    if local.same_content(remote):
        return Decision(Step.NOTHING, remote if remote.is_file else ABSENT)
    if not local.is_file and base.is_file and mode is Mode.IMPORT_ONLY:
        return Decision(Step.NOTHING, ABSENT)
    if remote.same_content(base):
        return _outgoing(base, local)
    if local.same_content(base):
        return _incoming(base, remote, mode)
    return Decision(Step.PARK, base, disagreement(base, local, remote))


def _outgoing(base: Side, local: Side) -> Decision:
    if not local.is_file:
        return Decision(Step.PUSH_DELETE, base)
    if local.reason is not None:
        return Decision(Step.SKIP, base)
    return Decision(Step.PUSH, base)


def _incoming(base: Side, remote: Side, mode: Mode) -> Decision:
    if mode is not Mode.BIDIRECTIONAL:
        # The base stays behind the remote on purpose: a later local edit then disagrees and is parked, not pushed over.
        return Decision(Step.NOTHING, base)
    return Decision(Step.PULL if remote.is_file else Step.PULL_DELETE, base)


def disagreement(base: Side, local: Side, remote: Side) -> ConflictKind:
    """How two differing sides disagree; at least one of them holds a file."""
    if not remote.is_file:
        return ConflictKind.EDIT_DELETE
    if not local.is_file:
        return ConflictKind.DELETE_EDIT
    return ConflictKind.EDIT_EDIT if base.is_file else ConflictKind.NO_BASE
