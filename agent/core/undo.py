"""Undo of deletes: the files to bring back, and the next step towards each of them. Pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from agent.core.model import ABSENT, Mode, Presence, Side
from agent.core.reconcile import Step

_DELETES = (Step.PUSH_DELETE, Step.PULL_DELETE)
_UNKNOWN = Presence.UNKNOWN


class UndoPlan(Struct, frozen=True):
    """The deletes that an undo takes back, as (path, hash).

    Attributes:
        held: those that wait for a person.
        before: carried-out ones of the time shortly before, which count towards the held ones.
    """

    held: frozenset[tuple[str, str]]
    before: frozenset[tuple[str, str]]


def without_renames(gone: Iterable[tuple[str, str]], arrivals: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the deletes (path, hash) that an undo takes back.

    Each arrival of a text makes one delete of it a rename: the text is there under a new name, and the old name is not
    made again. Which of several equal files was renamed cannot be known; the first ones count as renamed.

    Args:
        gone: carried-out deletes whose path is still empty.
        arrivals: as in ``DeleteEvidence``.
    """
    left = Counter(arrivals)
    lost = []
    for path, digest in gone:
        if left[digest] > 0:
            left[digest] -= 1
        else:
            lost.append((path, digest))
    return lost


class UndonePath(Struct, frozen=True):
    """A path whose delete was undone.

    Attributes:
        hash: the text that belongs there.
        mode: mode of the source.
        local, remote: sides of the path.
        step: the work that its three sides ask for.
        busy: an operation on it has no known outcome, or the folder is being changed there.
        parked: a conflict parks it.
    """

    hash: str
    mode: Mode = Mode.BIDIRECTIONAL
    local: Side = ABSENT
    remote: Side = ABSENT
    step: Step = Step.NOTHING
    busy: bool = False
    parked: bool = False


class UndoStep(enum.Enum):
    """The next step towards a file whose delete was undone."""

    KEEP = "keep"
    """The delete is due: without a base, the file of the other side is new and comes back."""
    FETCH = "fetch"
    """Neither side will bring the text: it is fetched from the trash or the server's history."""
    WAIT = "wait"
    """The work under way, or the next scan, comes first."""
    BACK = "back"
    """The folder holds a file there."""
    GIVE_UP = "give_up"
    """The path is out of the selection, in conflict, or another version is on the server and stays there."""


def next_undo_step(path: UndonePath) -> UndoStep:
    """Return the next step. Total: every state of the path has one."""
    if path.parked:
        return UndoStep.GIVE_UP
    if path.busy:
        return UndoStep.WAIT
    if path.step in _DELETES:
        return UndoStep.KEEP
    if path.local.presence is Presence.OUT_OF_SCOPE:
        return UndoStep.GIVE_UP
    if path.local.is_file:
        return UndoStep.BACK
    if path.local.presence is _UNKNOWN or path.remote.presence is _UNKNOWN:
        return UndoStep.WAIT
    if not path.remote.is_file:
        return UndoStep.FETCH
    if path.mode is Mode.BIDIRECTIONAL:
        # The pull of the server's file is due.
        return UndoStep.WAIT
    # Nothing comes down in this mode but what a person asks for, and they asked for this text only.
    return UndoStep.FETCH if path.remote.hash == path.hash else UndoStep.GIVE_UP
