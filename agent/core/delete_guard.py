"""The delete guard: a pure judgement of the deletes of one direction.

``judge`` is total: from the deletes that are due, the texts that arrived, the renames that were seen, the running hold
and the recent deletes it derives which deletes go, wait, or are held for a person.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from agent.core import defaults
from agent.core.model import EMPTY_HASH


class DeleteGuardLimits(Struct, frozen=True):
    """Limits from which on deletes are held.

    Attributes:
        least: fewer files than this are never held.
        share: more than this part of the source's files (0 to 1) is held, once there are ``least``.
        most: this many files are held whatever the share.
        window: seconds for which carried-out deletes count together with those that are due.
    """

    least: int = defaults.BRAKE_MIN
    share: float = defaults.BRAKE_PERCENT / 100
    most: int = defaults.BRAKE_TOTAL
    window: float = defaults.BRAKE_WINDOW_MINUTES * 60.0


class DueDelete(Struct, frozen=True):
    """A delete that is due.

    Attributes:
        path: relative path.
        hash: the text both sides last agreed on.
        renamed: the file was seen under another path, by its inode or its id on the server.
        approved: a person approved this delete of this text.
    """

    path: str
    hash: str
    renamed: bool = False
    approved: bool = False


class DeleteEvidence(Struct, frozen=True):
    """Everything the judgement of one direction depends on.

    Attributes:
        due: the deletes that are due.
        carried_out: text to the number of its unapproved deletes within the window whose path is still empty.
        arrivals: text to the number of other paths that received it within the window and still hold it. Paths of
            renames (``DueDelete.renamed``) are not among them.
        files: number of files both sides agreed on, carried-out deletes included.
        hold: a hold is running.
        emptied: the side that lost the files holds none at all any more.
        quiet: no delete became due within the last second, and no scan or page is under way.
    """

    due: tuple[DueDelete, ...]
    carried_out: Mapping[str, int] = field(default_factory=dict)
    arrivals: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    hold: bool = False
    emptied: bool = False
    quiet: bool = True


class DeleteVerdict(enum.Enum):
    """The judgement of one delete."""

    GO = "go"
    WAIT = "wait"
    """Judged later, together with the deletes that follow."""
    HOLD = "hold"
    """Only a person lets it go."""


class UnansweredVerdict(enum.Enum):
    """The judgement of a delete whose operation was stored before, and has no answer yet."""

    SEND = "send"
    WAIT = "wait"
    """The due deletes are about to be judged."""
    GIVE_UP = "give_up"
    """It has not reached the server. The guard decides about the file as if nothing had been sent."""
    ASK = "ask"
    """It may have reached the server. The server is asked, and nothing is sent again."""


class MissingFile(Struct, frozen=True):
    """A file whose delete is due.

    Attributes:
        path: relative path.
        hash: the text both sides last agreed on.
        identity: its inode, or its id on the server; None if it is not known.
        changed_ns: last known ctime of its inode in nanoseconds; None for an id of the server, which is never reused.
    """

    path: str
    hash: str
    identity: object = None
    changed_ns: int | None = None


class ArrivedFile(Struct, frozen=True):
    """A file that received a new text.

    Attributes:
        path, hash, identity: as in ``MissingFile``; ``hash`` is its present text.
        born_ns: birth time of its inode in nanoseconds; None if it is not known.
    """

    path: str
    hash: str
    identity: object = None
    born_ns: int | None = None


def is_rename(old: MissingFile, new: ArrivedFile) -> bool:
    """True if ``new`` is the missing file under another path.

    A file system gives the inode of a deleted file to a new one. So an inode is the old file only if it was born before
    the last known change of the old file. The texts must be equal too if there is no birth time, or if both times are
    equal, because some file systems count in seconds. An empty file may have been filled since.
    """
    if old.identity is None or old.identity != new.identity:
        return False
    if old.changed_ns is None:
        return True
    if new.born_ns is None:
        return old.hash == new.hash
    if new.born_ns == old.changed_ns:
        return old.hash in (new.hash, EMPTY_HASH)
    return new.born_ns < old.changed_ns


def find_renames(missing: Iterable[MissingFile], arrived: Iterable[ArrivedFile]) -> dict[str, ArrivedFile]:
    """Return the new file of each missing path that was renamed.

    Each identity is one file: a hard link excuses one delete, not those of all its other names.
    """
    by_identity = {new.identity: new for new in arrived if new.identity is not None}
    renames: dict[str, ArrivedFile] = {}
    for old in missing:
        new = by_identity.get(old.identity)
        if new is not None and is_rename(old, new):
            renames[old.path] = by_identity.pop(old.identity)
    return renames


def judge(evidence: DeleteEvidence, limits: DeleteGuardLimits) -> dict[str, DeleteVerdict]:
    """Return the verdict on each due delete, by path."""
    if not evidence.quiet:
        # More deletes may follow. Judged one by one, the first ones would pass before their number is known.
        return {delete.path: DeleteVerdict.WAIT for delete in evidence.due}
    lost, number = _lost(evidence)
    # A running hold stays: a plan that shrinks below the limit is still the plan that a person must decide.
    held = bool(lost) and (evidence.hold or evidence.emptied or must_hold(number, evidence.files, limits))
    return {
        delete.path: DeleteVerdict.HOLD if held and delete.path in lost else DeleteVerdict.GO for delete in evidence.due
    }


def _lost(evidence: DeleteEvidence) -> tuple[set[str], int]:
    """Return the due paths whose text may be lost, and the number of lost texts, carried-out deletes included.

    Equal texts are counted: each arrival excuses one delete. Which of several equal files moved cannot be known, so all
    of them count as lost while one delete has no arrival.
    """
    due: dict[str, list[str]] = {}
    for delete in evidence.due:
        if not delete.renamed and not delete.approved:
            due.setdefault(delete.hash, []).append(delete.path)
    deletes = Counter(evidence.carried_out)
    deletes.update({digest: len(paths) for digest, paths in due.items()})
    excess = {digest: count - evidence.arrivals.get(digest, 0) for digest, count in deletes.items()}
    lost = {path for digest, paths in due.items() if excess[digest] > 0 for path in paths}
    return lost, sum(count for count in excess.values() if count > 0)


def judge_unanswered(*, in_doubt: bool, held: bool, pending: bool) -> UnansweredVerdict:
    """Return what becomes of a delete whose operation has no answer yet. Total and pure.

    Args:
        in_doubt: it was sent, and its outcome is not known.
        held: a person is asked about this delete, or has undone it.
        pending: the due deletes must be judged before any is carried out.
    """
    if held:
        # Sent again, it would delete what the person was promised to decide about.
        return UnansweredVerdict.ASK if in_doubt else UnansweredVerdict.GIVE_UP
    return UnansweredVerdict.WAIT if pending else UnansweredVerdict.SEND


def must_hold(deletes: int, files: int, limits: DeleteGuardLimits) -> bool:
    """True if ``deletes`` out of ``files`` synced files need a person's approval."""
    if deletes >= limits.most:
        return True
    return deletes >= limits.least and deletes > files * limits.share


def plan_id(direction: str, paths: Iterable[str]) -> str:
    """Return the id under which exactly these deletes can be approved; another set has another id."""
    digest = hashlib.sha256(direction.encode())
    for path in sorted(paths):
        digest.update(b"\0" + path.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:12]
