"""The life cycle of a conflict: the one function that says what happens to it next.

``judge`` is total and pure: from a conflict and what is now known of its path it derives a ``Verdict``. The engine
carries verdicts out and decides nothing itself. ``core/claim.py`` says whose conflict the server shows.

Three properties hold for every verdict, and a test enumerates them:

- A resolution replaces only a server version (the *head*) that the person was shown or that was in the folder.
- Each text of a conflict stays on the disk, on the server, in its history, in a draft or in the trash.
- A conflict whose two texts have become equal is closed or on its way to be closed.

Texts are compared by their hash: a head that the server left and came back to is the text that the person was shown.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.conflict import HEAD_IS_LOCAL, Conflict, ConflictOrigin, ConflictState
from agent.core.model import ABSENT, Mode, Presence, Resolution, Side
from agent.core.reconcile import Step, disagreement, reconcile
from agent.core.version import Version

LOOK_AGAIN: Final = "the file or the server's version changed; please look again"
EXCLUDED: Final = "the rules exclude this file; the file in the folder stays as it is, whatever is decided"


class Ended(Struct, frozen=True):
    """The last of a conflict's open conflicts on the server is gone.

    Attributes:
        decided: True if somebody resolved it; False if a delete wiped it without an event.
        held: the version that the path holds after the resolution; None is "no file".
    """

    decided: bool
    held: Version | None = None

    @property
    def hash(self) -> str | None:
        """The hash of ``held``."""
        return None if self.held is None else self.held.hash


class UserDecision(Struct, frozen=True):
    """A person's decision.

    Attributes:
        generation: the generation the person saw.
        choice: the side to keep, or MANUAL_MERGE.
        merged_hash: sha256 of the merged text, for MANUAL_MERGE.
    """

    generation: int
    choice: Resolution
    merged_hash: str | None = None


class Knowledge(Struct, frozen=True):
    """The present knowledge about a conflict's path.

    Attributes:
        base, local, remote: the three trees.
        mode: direction of the source.
        busy: an operation of ours has an unknown outcome here, or the folder is being changed here.
        occupied: another conflict parks this path.
        refused_here: the folder's text reached the server as a push it refused.
        other_text: the index holds the text of the remote side.
        ended: how the conflicts on the server ended, if they did since the last look.
        decision: a decision of a person.
        refusal: why the decision that is being carried out cannot be; a sentence for people.
    """

    base: Side = ABSENT
    local: Side = ABSENT
    remote: Side = ABSENT
    mode: Mode = Mode.BIDIRECTIONAL
    busy: bool = False
    occupied: bool = False
    refused_here: bool = False
    other_text: bool = True
    ended: Ended | None = None
    decision: UserDecision | None = None
    refusal: str | None = None

    @property
    def step(self) -> Step:
        """The work the three trees ask for."""
        return reconcile(self.base, self.local, self.remote, self.mode).step

    @property
    def head_is_known_here(self) -> bool:
        """True if the server's head is in the folder, or the folder's text was made on it."""
        return self.remote.hash in (self.local.hash, self.base.hash)


class Action(enum.Enum):
    """The action of the engine on a conflict."""

    KEEP = "keep"
    """Nothing, but for writing the record if it changed."""
    WAIT = "wait"
    """Release the path, so that the folder can receive the server's head; the conflict is shown afterwards."""
    SHOW = "show"
    """Park the path and show the record to the person."""
    CARRY_OUT = "carry_out"
    """Carry the record's decision out."""
    CLOSE = "close"
    """The disagreement is over."""
    CLOSE_AND_FOLLOW = "close_and_follow"
    """It was resolved elsewhere with the folder's text in view: the folder takes the result (``Verdict.follow``)."""


class Verdict(Struct, frozen=True):
    """The next state of a conflict and the action that leads there.

    Attributes:
        action: what to do.
        conflict: the record afterwards.
        to_trash: hashes of texts to put into the trash, as far as the index holds them.
        reason: why it is closed, for the activity log.
        follow: with CLOSE_AND_FOLLOW, the version the path holds on the server (None: no file).
    """

    action: Action
    conflict: Conflict
    to_trash: tuple[str, ...] = ()
    reason: str = ""
    follow: Version | None = None


def judge(conflict: Conflict, known: Knowledge) -> Verdict:
    """Say what happens next to a conflict, from what is known of its path now. Total and pure."""
    if conflict.state is ConflictState.CLOSED:
        return Verdict(Action.KEEP, conflict)
    if conflict.origin is ConflictOrigin.FOREIGN:
        # Another machine shows, resolves and closes it. Here it is only a line in a list.
        return _close(conflict, "resolved on the server") if known.ended else Verdict(Action.KEEP, conflict)
    if conflict.origin is ConflictOrigin.STALE_OWN:
        # No person was shown anything. The head stays, and a resolution that fails is tried again.
        return Verdict(Action.KEEP, conflict)
    if known.decision is not None:
        return _take_decision(conflict, known.decision)
    if known.ended is not None and conflict.state is not ConflictState.RESOLVING:
        ended = _after_end(conflict, known, known.ended)
        if ended is not None:
            return ended
    if known.busy or Presence.UNKNOWN in (known.local.presence, known.remote.presence):
        # Nothing may be concluded from a side that is not known. A refused decision is withdrawn all the same.
        return _withdraw(conflict, known) if known.refusal else Verdict(Action.KEEP, conflict)
    one_way = known.mode is not Mode.BIDIRECTIONAL and known.local.presence is not Presence.OUT_OF_SCOPE
    if conflict.origin in HEAD_IS_LOCAL and one_way and not known.head_is_known_here and known.step is not Step.PARK:
        # The folder never receives the head. It is the local side, because a decision replaces only what was shown.
        known = replace(known, local=known.remote)
    if conflict.state is ConflictState.RESOLVING and known.refusal is None and _is_progress(conflict, known):
        # Each side holds either what was shown or what was decided: this is our own carrying out.
        return Verdict(Action.KEEP, conflict)
    if known.local.presence is Presence.OUT_OF_SCOPE:
        return _excluded(conflict, known)
    if conflict.origin in HEAD_IS_LOCAL:
        return _beside_head(conflict, known)
    return _between_trees(conflict, known)


def _take_decision(conflict: Conflict, decision: UserDecision) -> Verdict:
    if not conflict.parks or decision.generation != conflict.generation:
        # The person saw other texts than the record now shows. The newer generation is shown already.
        return Verdict(Action.KEEP, conflict)
    wanted = {
        Resolution.KEEP_LOCAL: conflict.local_hash,
        Resolution.KEEP_RAVEN: conflict.remote_hash,
        Resolution.MANUAL_MERGE: decision.merged_hash,
    }[decision.choice]
    decided = replace(conflict, state=ConflictState.RESOLVING, choice=decision.choice, wanted_hash=wanted, note=None)
    # A local text that loses goes to the trash when the folder is changed. The other side may exist nowhere else.
    return Verdict(Action.CARRY_OUT, decided, _trash(conflict.remote_hash, unless=(wanted,)))


def _after_end(conflict: Conflict, known: Knowledge, ended: Ended) -> Verdict | None:
    """Judge a conflict that is gone from the server and was not decided here; None if it goes on without the server."""
    reason = "resolved on the server" if ended.decided else "gone from the server"
    if conflict.origin in HEAD_IS_LOCAL:
        # The text beside the head existed only in that conflict, so the trash keeps it unless it became the head.
        return _close(conflict, reason, _trash(conflict.remote_hash, unless=(ended.hash, known.remote.hash)))
    unmoved = known.local.hash == conflict.local_hash and known.local.presence in (Presence.FILE, Presence.ABSENT)
    if ended.decided and unmoved and known.refused_here and known.mode is Mode.BIDIRECTIONAL:
        # Who resolved it had both texts in view, and the folder still holds the one they saw. Their decision covers it.
        # The folder's text goes to the trash with the install.
        return Verdict(
            Action.CLOSE_AND_FOLLOW, replace(conflict, state=ConflictState.CLOSED), reason=reason, follow=ended.held
        )
    # The folder holds a text that the one who ended it has not seen, or a delete wiped the conflict. From here on the
    # two trees alone say whether they disagree.
    return None


def _is_progress(conflict: Conflict, known: Knowledge) -> bool:
    excluded = known.local.presence is Presence.OUT_OF_SCOPE
    here = excluded or known.local.hash in (conflict.local_hash, conflict.wanted_hash)
    return here and known.remote.hash in (conflict.head_hash, conflict.wanted_hash)


def _excluded(conflict: Conflict, known: Knowledge) -> Verdict:
    """The rules exclude the path now; the folder's text stays on the disk whatever is decided."""
    if not conflict.server_ids:
        # Both texts of a disagreement between trees stay where they are. A text beside the head goes to the trash.
        lost = conflict.remote_hash if conflict.origin in HEAD_IS_LOCAL else None
        return _close(conflict, "left the selection", _trash(lost, unless=(known.remote.hash,)))
    if conflict.is_waiting:
        return Verdict(Action.KEEP, conflict)
    # It is open on the server and ours: closing it only here would make it look like another machine's. A decision that
    # comes here was refused, or its head has moved: it must not be carried out on a head that no person has seen.
    shown = replace(_with_head(_undecided(conflict, known), known.remote), note=EXCLUDED)
    if shown == conflict:
        return Verdict(Action.KEEP, conflict)
    if replace(shown, note=conflict.note) == conflict:
        return Verdict(Action.KEEP, shown)
    return Verdict(Action.SHOW, _anew(shown))


def _beside_head(conflict: Conflict, known: Knowledge) -> Verdict:
    """A text beside the head: a refused server edit, or a version our push replaced."""
    other = conflict.remote_hash
    if known.local.hash == known.remote.hash == other:
        # Folder, head and the other text are equal: there is nothing left to decide.
        return _settled(conflict, known)
    if known.refusal and not conflict.server_ids and other is not None and not known.other_text:
        # Somebody closed it on the server meanwhile and its text is nowhere: nothing can be shown any more.
        return _close(conflict, "resolved on the server")
    if not known.head_is_known_here or known.occupied:
        # The head is not in the folder and the folder's text was not made on it, or another conflict of this path comes
        # first. A decision now would replace a head that the person has not seen, so the folder receives it first.
        if conflict.is_waiting:
            return Verdict(Action.KEEP, conflict)
        return Verdict(Action.WAIT, replace(_undecided(conflict, known), mine=False))
    # Here the head is the folder's text or what it was made on: the three texts can be shown.
    return _show_if_moved(conflict, known, other)


def _between_trees(conflict: Conflict, known: Knowledge) -> Verdict:
    """The folder and the server's head differ, or did."""
    if known.local.hash == known.remote.hash:
        # Both sides hold the same bytes: there is nothing left to decide.
        return _settled(conflict, known)
    if known.step is not Step.PARK and not conflict.server_ids:
        # One side went back to the base, so the other side's change is an ordinary push or pull.
        return _close(conflict, "one side went back to what both had")
    if _is_our_own_past(conflict, known):
        # The server refused an older text of ours against what both sides agree on now. The edit is based on the head.
        decided = replace(
            _with_sides(conflict, known, known.remote.hash), state=ConflictState.RESOLVING,
            choice=Resolution.KEEP_LOCAL, wanted_hash=known.local.hash,
        )  # fmt: skip
        return Verdict(Action.CARRY_OUT, decided)
    return _show_if_moved(conflict, known, known.remote.hash)


def _is_our_own_past(conflict: Conflict, known: Knowledge) -> bool:
    unmoved = conflict.generation == 1 and known.local.hash == conflict.local_hash
    refused = conflict.origin is ConflictOrigin.TREES and bool(conflict.server_ids)
    return refused and unmoved and conflict.state is ConflictState.OPEN and known.step is Step.PUSH


def _settled(conflict: Conflict, known: Knowledge) -> Verdict:
    if not conflict.server_ids:
        return _close(conflict, "both sides became equal")
    if known.occupied:
        return Verdict(Action.KEEP, conflict)
    decided = replace(
        _with_sides(conflict, known, known.remote.hash), state=ConflictState.RESOLVING, mine=True,
        choice=Resolution.KEEP_RAVEN, wanted_hash=known.remote.hash,
    )  # fmt: skip
    return Verdict(Action.CARRY_OUT, decided)


def _show_if_moved(conflict: Conflict, known: Knowledge, other: str | None) -> Verdict:
    shown = (conflict.local_hash, conflict.remote_hash, conflict.head_hash)
    moved = (known.local.hash, other, known.remote.hash) != shown
    if not moved and known.refusal is None and conflict.mine:
        # The texts are those that were shown. Only the note, and the head's revision, may be newer.
        note = None if conflict.note == EXCLUDED else conflict.note
        remote_rev = _remote_rev(conflict, known, other)
        if (note, remote_rev) == (conflict.note, conflict.remote_rev):
            return Verdict(Action.KEEP, conflict)
        return Verdict(Action.KEEP, replace(conflict, note=note, remote_rev=remote_rev))
    undecided = _with_sides(_undecided(conflict, known), known, other)
    undecided = replace(undecided, mine=True)
    return Verdict(Action.SHOW, _anew(undecided) if moved or known.refusal else undecided)


def _with_sides(conflict: Conflict, known: Knowledge, other: str | None) -> Conflict:
    kind = conflict.kind
    if known.local.is_file or other is not None:
        kind = disagreement(conflict.base_hash is not None, known.local.is_file, other is not None)
    return replace(
        conflict, kind=kind, local_hash=known.local.hash, remote_hash=other, head_hash=known.remote.hash,
        local_rev=conflict.local_rev if known.local.hash == conflict.local_hash else None,
        remote_rev=_remote_rev(conflict, known, other),
    )  # fmt: skip


def _remote_rev(conflict: Conflict, known: Knowledge, other: str | None) -> str | None:
    """Return the revision of the remote side ``other``: the head, or else the text that the record has."""
    return known.remote.rev if other == known.remote.hash else conflict.remote_rev


def _undecided(conflict: Conflict, known: Knowledge) -> Conflict:
    note = known.refusal or (LOOK_AGAIN if conflict.choice else None)
    return replace(conflict, state=ConflictState.OPEN, choice=None, wanted_hash=None, note=note)


def _withdraw(conflict: Conflict, known: Knowledge) -> Verdict:
    """A decision was refused while a side is not known. A head that is known is shown, or each try would be refused."""
    undecided = replace(conflict, state=ConflictState.OPEN, choice=None, wanted_hash=None, note=known.refusal)
    if known.remote.presence is not Presence.UNKNOWN and not known.busy:
        undecided = _with_head(undecided, known.remote)
    return Verdict(Action.SHOW, _anew(undecided))


def _with_head(conflict: Conflict, head: Side) -> Conflict:
    """The record with this head; the other side stays."""
    if conflict.origin in HEAD_IS_LOCAL:
        return replace(conflict, head_hash=head.hash, local_hash=head.hash, local_rev=head.rev)
    return replace(conflict, head_hash=head.hash, remote_hash=head.hash, remote_rev=head.rev)


def _anew(conflict: Conflict) -> Conflict:
    """The record in a new generation: a decision made on the older one is refused from now on."""
    return replace(conflict, generation=conflict.generation + 1)


def _close(conflict: Conflict, reason: str, to_trash: tuple[str, ...] = ()) -> Verdict:
    return Verdict(Action.CLOSE, replace(conflict, state=ConflictState.CLOSED), to_trash, reason)


def _trash(digest: str | None, unless: Iterable[str | None]) -> tuple[str, ...]:
    return () if digest is None or digest in unless else (digest,)
