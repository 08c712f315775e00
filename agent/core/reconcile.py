"""The work at one path, derived from what base, local and remote hold. Total and pure; nothing else decides it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from msgspec.structs import replace

from agent.core.model import ABSENT, ConflictKind, Mode, Presence, Side


class Step(enum.IntEnum):
    """The work a path's three trees ask for. The index stores it as a cache; each change of a side derives it again."""

    NOTHING = 0
    PUSH = 1
    PUSH_DELETE = 2
    PULL = 3
    PULL_DELETE = 4
    PARK = 5
    """Both sides changed since the base: a conflict."""
    SKIP = 6
    """There is something to send, and it cannot be sent."""
    UNKNOWN = 7
    """A side could not be read, so nothing may be concluded."""


class Decision(NamedTuple):
    """Result of ``reconcile``.

    Attributes:
        step: the work.
        base: the base from now on: the agreed side if both became equal, ABSENT if the path left the selection, else
            the newest known revision of its content.
        kind: the way the sides differ; only with PARK.
    """

    step: Step
    base: Side
    kind: ConflictKind | None = None


def reconcile(base: Side, local: Side, remote: Side, mode: Mode) -> Decision:
    """Decide the work at one path. ``base`` must be a file or absent."""
    if local.presence is Presence.OUT_OF_SCOPE:
        # The rules do not select the path, so neither side is touched. Without a base, a later return into the
        # selection is a union of both sides: nothing is deleted because it was away.
        return Decision(Step.NOTHING, ABSENT)
    if local.presence is Presence.UNKNOWN or remote.presence is Presence.UNKNOWN:
        # One side could not be read. "Could not read" never means "not there".
        return Decision(Step.UNKNOWN, _newest(base, remote) if remote.same_content(base) else base)
    if local.same_content(remote):
        # Both sides agree, so what they hold is the new base, whatever each of them did since the old one.
        return Decision(Step.NOTHING, remote if remote.is_file else ABSENT)
    if not local.is_file and base.is_file and mode is Mode.IMPORT_ONLY:
        # This mode sends files and never deletes. The deleted file is forgotten here and stays on the server.
        return Decision(Step.NOTHING, ABSENT)
    if remote.same_content(base):
        # Only the local side changed since the base.
        return _outgoing(_newest(base, remote), local)
    if local.same_content(base):
        # Only the remote side changed since the base.
        return _incoming(base, remote, mode)
    # Both sides changed since the base, to different contents. A person decides.
    return Decision(Step.PARK, base, disagreement(base.is_file, local.is_file, remote.is_file))


def _newest(base: Side, remote: Side) -> Side:
    """Return the base, whose content the remote has too, with the remote's revision and id.

    The server left the content and came back to it. It refuses a push that names the older visit.
    """
    if base.rev == remote.rev and base.remote_id == remote.remote_id:
        return base
    return remote if remote.size is not None else replace(remote, size=base.size)


def _outgoing(base: Side, local: Side) -> Decision:
    if not local.is_file:
        return Decision(Step.PUSH_DELETE, base)
    if local.reason is not None:
        # The content is known and cannot be sent. It still counts as an edit against a later change of the server.
        return Decision(Step.SKIP, base)
    return Decision(Step.PUSH, base)


def _incoming(base: Side, remote: Side, mode: Mode) -> Decision:
    if mode is not Mode.BIDIRECTIONAL:
        # Nothing comes down in this mode. The base stays behind the remote on purpose: a later local edit then
        # disagrees with it and is parked, and does not overwrite it.
        return Decision(Step.NOTHING, base)
    return Decision(Step.PULL if remote.is_file else Step.PULL_DELETE, base)


def disagreement(base: bool, local: bool, remote: bool) -> ConflictKind:
    """Return the way in which two different sides disagree.

    Args:
        base, local, remote: True if there is a file on that side; one of ``local`` and ``remote`` must be True.
    """
    if not remote:
        return ConflictKind.EDIT_DELETE
    if not local:
        return ConflictKind.DELETE_EDIT
    return ConflictKind.EDIT_EDIT if base else ConflictKind.NO_BASE
