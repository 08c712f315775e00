"""The state of a folder at an earlier time, decided from its versions, its activity and its trash. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from msgspec import Struct


class KnownVersion(Struct, frozen=True):
    """One version of a file that can be brought back.

    Attributes:
        hash: sha256.
        at: seconds since the epoch at which the server recorded it.
    """

    hash: str
    at: float


class KnownChange(Struct, frozen=True):
    """One line of the activity log about a file.

    Attributes:
        at: seconds since the epoch.
        deleted: True if the file was deleted then, False if it was written.
    """

    at: float
    deleted: bool


class TrashedVersion(Struct, frozen=True):
    """A version that the agent replaced or removed. ``at``: seconds since the epoch of its move into the trash."""

    hash: str
    at: float


class RewindStep(enum.StrEnum):
    """The change that brings one file to its earlier state. The values are public."""

    KEEP = "keep"
    """The file is now as it was then."""
    RESTORE = "restore"
    REMOVE = "remove"
    """There was no such file."""
    UNKNOWN = "unknown"
    """No version of that time is known, so the file stays as it is."""


class RewindDecision(Struct, frozen=True):
    """A step, and the sha256 of the text to bring back; None unless the step is RESTORE."""

    step: RewindStep
    hash: str | None = None


def decide_rewind(
    at: float,
    present: str | None,
    versions: Iterable[KnownVersion],
    changes: Iterable[KnownChange],
    trashed: Iterable[TrashedVersion],
) -> RewindDecision:
    """Return the step that brings one file to its state at a time.

    Args:
        at: the time, in seconds since the epoch.
        present: sha256 of the file now; None if there is none.
        versions: versions on the server.
        changes: what this machine recorded about the file.
        trashed: versions in this machine's trash.
    """
    ordered = sorted(changes, key=lambda change: change.at)
    before = [change for change in ordered if change.at <= at]
    after = [change for change in ordered if change.at > at]
    recorded = max((v for v in versions if v.at <= at), key=lambda v: v.at, default=None)
    if before and before[-1].deleted and (recorded is None or recorded.at <= before[-1].at):
        # The last thing that happened until then was a delete, so there was no file.
        return _absent(present)
    if recorded is not None:
        return _present(recorded.hash, present)
    replaced = _first_replaced(at, after, trashed)
    if replaced is not None:
        return _present(replaced.hash, present)
    if before:
        # The file was there, and no copy of that text is known. Removing it would lose what is there now.
        return RewindDecision(RewindStep.UNKNOWN)
    if after and not after[0].deleted:
        # Nothing is known of the file until then, and the first thing known is its first text.
        return _absent(present)
    return RewindDecision(RewindStep.UNKNOWN)


def _first_replaced(
    at: float, after: Sequence[KnownChange], trashed: Iterable[TrashedVersion]
) -> TrashedVersion | None:
    """Return the version that was replaced or removed by the first change after ``at``; None if it is not sure."""
    found = min((v for v in trashed if v.at > at), key=lambda v: v.at, default=None)
    # A change between the two times may have made that version, so it proves nothing about the time before.
    if found is None or (after and not after[0].deleted and after[0].at < found.at):
        return None
    return found


def _present(wanted: str, present: str | None) -> RewindDecision:
    if wanted == present:
        return RewindDecision(RewindStep.KEEP)
    return RewindDecision(RewindStep.RESTORE, wanted)


def _absent(present: str | None) -> RewindDecision:
    return RewindDecision(RewindStep.KEEP if present is None else RewindStep.REMOVE)
