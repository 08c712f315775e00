"""The nouns every room shares: modes, the sides of a path, observations and the outcomes of operations.

All records are frozen. Those that a pass makes by the hundred thousand are structs: they cost a tenth of a dataclass to
make, and the garbage collector nothing; ``msgspec.structs.replace`` gives a changed copy of one. Nothing here performs
I/O or reads a clock. Hashes are lower-case hexadecimal sha256 of a file's bytes, sizes are bytes, times are seconds
since the epoch (UTC) as floats unless a name ends in ``_ns``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import Struct, structs

from agent.core.states import Reason as Reason
from agent.core.states import SourceState as SourceState

SENTINEL_BASE: Final = "0" * 64
"""A base hash no content can have: "this path must not exist yet" on servers that overwrite when no base is given."""

EMPTY_HASH: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""sha256 of no bytes at all."""


class Mode(enum.StrEnum):
    """Which way changes may travel for one source."""

    BIDIRECTIONAL = "bidirectional"
    LOCAL_TO_CLOUD = "local_to_cloud"
    IMPORT_ONLY = "import_only"


class Presence(enum.IntEnum):
    """What one side holds at a path."""

    ABSENT = 0
    FILE = 1
    UNKNOWN = 2
    """Could not be looked at. Never the same as absent."""
    OUT_OF_SCOPE = 3
    """There or not, the rules do not select it."""


class Side(Struct, frozen=True, gc=False):
    """What base, local or remote holds at one path.

    Attributes:
        presence: whether there is a file, and whether that is known.
        hash: sha256 of the bytes; None unless ``presence`` is FILE.
        size: bytes, where known.
        reason: why the file cannot be sent, or why it is unknown.
        rev: the server's own revision, never read by the engine.
    """

    presence: Presence
    hash: str | None = None
    size: int | None = None
    reason: Reason | None = None
    rev: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether there is a file here."""
        return self.presence is Presence.FILE

    @property
    def category(self) -> tuple[Presence, Reason | None]:
        """What the side is, whatever bytes it holds."""
        return self.presence, self.reason

    def same_content(self, other: Side) -> bool:
        """Whether both sides hold the same bytes, or both hold nothing."""
        return self.presence is other.presence and self.hash == other.hash


ABSENT: Final = Side(Presence.ABSENT)
UNKNOWN: Final = Side(Presence.UNKNOWN)
OUT_OF_SCOPE: Final = Side(Presence.OUT_OF_SCOPE)


def file_side(digest: str, size: int | None = None, reason: Reason | None = None) -> Side:
    """The side that holds a file with this sha256."""
    return Side(Presence.FILE, digest, size, reason)


def side_of(digest: str | None) -> Side:
    """The side a nullable hash stands for: None is "no such file"."""
    return ABSENT if digest is None else file_side(digest)


class Fingerprint(Struct, frozen=True, gc=False):
    """What a stat said of a file when it was last looked at; decides whether to look again.

    Attributes:
        size: bytes.
        mtime_ns, ctime_ns: nanoseconds.
        inode: inode number.
        xxh3: xxh3-128 of the bytes (hex); decides whether the sha256 is computed again.
        racy: the mtime lay within two seconds of the look, so an equal stat proves nothing.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    xxh3: str
    racy: bool = False


class Observation(Struct, frozen=True, gc=False):
    """What a look at one path found.

    Attributes:
        path: relative to the root, '/' between its parts.
        side: the local side as it stands.
        fingerprint: the stat it goes with; None unless there is a readable file.
        text_reason: words for a person, where there is a reason.
    """

    path: str
    side: Side
    fingerprint: Fingerprint | None = None
    text_reason: str | None = None


class SkippedEntry(Struct, frozen=True, gc=False):
    """An entry of the folder that can never be a synced file: a name that is not UTF-8, a FIFO, a name twin.

    Attributes:
        raw_path: the name as the disk has it, undecodable bytes as surrogate escapes.
        reason: why.
        text: words for a person.
    """

    raw_path: str
    reason: Reason
    text: str


class Verb(enum.StrEnum):
    """What an operation does on the server."""

    UPSERT = "upsert"
    DELETE = "delete"


class Operation(Struct, frozen=True, gc=False):
    """One change on its way to the server, stored before it is sent.

    Attributes:
        id: unique, kept over every retry and restart, only ever used for these bytes.
        path: relative path.
        verb: upsert or delete.
        hash: sha256 of the bytes sent; None for a delete.
        size: bytes; 0 for a delete.
        base: what the server must hold for this to apply; None means "must not exist".
    """

    id: str
    path: str
    verb: Verb
    hash: str | None
    size: int
    base: str | None


class Result(enum.StrEnum):
    """What became of one operation."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    UNCERTAIN = "uncertain"
    """Sent, and the answer does not say. It is settled before anything else happens to the path."""
    NOT_SENT = "not_sent"
    CHANGED = "changed"
    """Its bytes were gone before it was sent for the first time."""


@dataclass(frozen=True, slots=True)
class RemoteConflict:
    """An open conflict as the server lists it.

    Attributes:
        id: the server's id.
        path: relative path.
        base_hash, local_hash, remote_hash: the snapshot of the moment it opened; None is "no such file".
        local_text, remote_text: the two texts, where the server sends them.
        opened_at: RFC 3339.
    """

    id: str
    path: str
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    local_text: bytes | None = None
    remote_text: bytes | None = None
    opened_at: str | None = None


class Outcome(Struct, frozen=True, gc=False):
    """What the server, or the dialect in its place, says of one operation.

    Attributes:
        operation_id: whose outcome.
        result: what happened.
        conflict: the conflict it opened or met, for CONFLICT.
        detail: words for a person, for REJECTED and TOO_LARGE.
        limit: the largest content the server takes, in bytes, for TOO_LARGE.
        position: where its event stands in the feed, for APPLIED, if the server says so.
    """

    operation_id: str
    result: Result
    conflict: RemoteConflict | None = None
    detail: str | None = None
    limit: int | None = None
    position: int | None = None


class RemoteFile(Struct, frozen=True, gc=False):
    """One row of the server's listing."""

    path: str
    hash: str
    rev: str | None = None
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """One version in a file's history; ``content`` only where the server sends it."""

    hash: str
    recorded_at: str | None
    origin: str | None
    size: int | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteHead:
    """What the server holds at a path right now, and the hashes that were there before."""

    path: str
    hash: str
    content: bytes = field(repr=False)
    rev: str | None = None
    remote_id: str | None = None
    versions: tuple[RemoteVersion, ...] = ()


class ConflictKind(enum.StrEnum):
    """How the two sides disagree, the local side first."""

    EDIT_EDIT = "edit_edit"
    EDIT_DELETE = "edit_delete"
    DELETE_EDIT = "delete_edit"
    NO_BASE = "no_base"


class Resolution(enum.StrEnum):
    """A person's decision on a conflict."""

    KEEP_LOCAL = "keep_local"
    KEEP_RAVEN = "keep_raven"
    MANUAL_MERGE = "manual_merge"


class Purpose(enum.StrEnum):
    """Why the agent changes the folder; recorded with what goes to the trash."""

    PULL = "pull"
    RESOLVE = "resolve"
    RESTORE = "restore"


class Intent(Struct, frozen=True, gc=False):
    """One change to the folder, journalled before it is made.

    Attributes:
        id: 16 hexadecimal digits, unique in this home; names the temporary file and the trash entry.
        path: relative path.
        new: sha256 to be there afterwards; None to remove what stands there.
        expected: sha256 that must stand there now; None: nothing may stand there.
        purpose: why.
    """

    id: str
    path: str
    new: str | None
    expected: str | None
    purpose: Purpose


class ApplyOutcome(enum.StrEnum):
    """What became of an intent."""

    DONE = "done"
    CHANGED = "changed"
    """Something else than expected stood there; it still does."""
    BLOCKED = "blocked"
    OUT_OF_SCOPE = "out_of_scope"
    UNSAFE = "unsafe"
    """The way there leads through a link, or the path itself is refused."""
    FAILED = "failed"
    """The disk refused (full, read-only, no permission); nothing was changed."""


class ApplyResult(Struct, frozen=True, gc=False):
    """What became of one intent, and what stands at its path now (None where that could not be looked at)."""

    intent_id: str
    landing: ApplyOutcome
    seen: Observation | None = None
    text: str | None = None


IndexedFileRow = tuple[
    str, int | None, int | None, int | None, int | None, int, int, str | None, str | None, str | None
]
"""The fields of ``IndexedFile`` in their order; every ``IndexedFile`` is one."""


class IndexedFile(NamedTuple):
    """What the index remembers of a path's local side, for a look to compare with.

    In the order of the index's columns: whoever compares a hundred thousand of them takes the bare ``IndexedFileRow``.

    Attributes:
        path: relative path.
        size, mtime_ns, ctime_ns, inode, racy, xxh3: see ``Fingerprint``; None where there is no fingerprint, but the
            size may be known.
        presence, reason, hash: see ``Side``.
    """

    path: str
    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None
    inode: int | None
    racy: int
    presence: int
    reason: str | None
    hash: str | None
    xxh3: str | None

    @classmethod
    def of(cls, path: str, side: Side, fingerprint: Fingerprint | None) -> IndexedFile:
        """What will be remembered of this side."""
        of_side = (int(side.presence), side.reason, side.hash)
        if fingerprint is None:
            return cls(path, side.size, None, None, None, 0, *of_side, None)
        _, mtime_ns, ctime_ns, inode, xxh3, racy = structs.astuple(fingerprint)
        return cls(path, side.size, mtime_ns, ctime_ns, inode, int(racy), *of_side, xxh3)

    @property
    def side(self) -> Side:
        """The local side."""
        if self.presence == Presence.ABSENT:
            return ABSENT
        return Side(Presence(self.presence), self.hash, self.size, Reason(self.reason) if self.reason else None)

    @property
    def fingerprint(self) -> Fingerprint | None:
        """The stat the side goes with."""
        if self.mtime_ns is None or self.ctime_ns is None or self.inode is None or self.xxh3 is None:
            return None
        return Fingerprint(self.size or 0, self.mtime_ns, self.ctime_ns, self.inode, self.xxh3, bool(self.racy))
