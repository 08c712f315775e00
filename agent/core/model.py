"""Records that all packages share: modes, the sides of a path, observations, and changes of the folder.

All records are frozen. Those that a pass makes by the hundred thousand are msgspec structs: making one costs a tenth of
a dataclass, and the garbage collector does not visit them. ``msgspec.structs.replace`` returns a changed copy. Nothing
here performs I/O or reads a clock. Hashes are the lower-case hexadecimal sha256 of a file's bytes, sizes are bytes.
Times are seconds since the epoch (UTC) as floats unless a name ends in ``_ns``.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from msgspec import Struct, structs

from agent.core.states import Reason as Reason
from agent.core.states import SourceState as SourceState
from agent.core.version import Version

SENTINEL_BASE: Final = "0" * 64
"""A base hash no content can have: "this path must not exist yet" on servers that overwrite when no base is given."""

EMPTY_HASH: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""sha256 of no bytes at all."""


class Mode(enum.StrEnum):
    """Direction in which changes travel, for one source."""

    BIDIRECTIONAL = "bidirectional"
    LOCAL_TO_CLOUD = "local_to_cloud"
    IMPORT_ONLY = "import_only"


class Presence(enum.IntEnum):
    """Presence of a file on one side of a path."""

    ABSENT = 0
    FILE = 1
    UNKNOWN = 2
    """It could not be read. Never the same as absent."""
    OUT_OF_SCOPE = 3
    """The rules do not select it, whether it is there or not."""


class Side(Struct, frozen=True, gc=False):
    """State of one path in base, local or remote.

    Attributes:
        presence: see ``Presence``.
        hash: sha256 of the bytes; None unless ``presence`` is FILE.
        size: bytes; None if not known.
        reason: why the file cannot be sent, or why it is unknown.
        rev, remote_id: see ``Version``; None in local. A base without a revision is an agreed content whose revision is
            not known, for example from an index of an older release.
    """

    presence: Presence
    hash: str | None = None
    size: int | None = None
    reason: Reason | None = None
    rev: str | None = None
    remote_id: str | None = None

    @property
    def is_file(self) -> bool:
        """True if there is a file."""
        return self.presence is Presence.FILE

    @property
    def category(self) -> tuple[Presence, Reason | None]:
        """Presence and reason: all of the side but its bytes."""
        return self.presence, self.reason

    @property
    def version(self) -> Version | None:
        """The version that the side holds; None without a file of known content."""
        return None if self.hash is None else Version(self.hash, self.size, self.rev, self.remote_id)

    def same_content(self, other: Side) -> bool:
        """Return True if both sides hold the same bytes, or both hold no file."""
        return self.presence is other.presence and self.hash == other.hash


ABSENT: Final = Side(Presence.ABSENT)
UNKNOWN: Final = Side(Presence.UNKNOWN)
OUT_OF_SCOPE: Final = Side(Presence.OUT_OF_SCOPE)


def file_side(digest: str, size: int | None = None, reason: Reason | None = None) -> Side:
    """Return the side that holds a file with this sha256."""
    return Side(Presence.FILE, digest, size, reason)


def side_of(version: Version | None) -> Side:
    """Return the base or remote side that holds a version; None is "no file"."""
    if version is None:
        return ABSENT
    return Side(Presence.FILE, version.hash, version.size, None, version.rev, version.remote_id)


class Fingerprint(Struct, frozen=True, gc=False):
    """Stat of a file when it was last read. A differing stat means that the file must be read again.

    Attributes:
        size: bytes.
        mtime_ns, ctime_ns: nanoseconds.
        inode: inode number.
        xxh3: xxh3-128 of the bytes (hex). If it is unchanged, the sha256 is not computed again.
        racy: the mtime was within two seconds of the read, so an equal stat proves nothing.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    xxh3: str
    racy: bool = False


class Observation(Struct, frozen=True, gc=False):
    """Result of scanning one path.

    Attributes:
        path: relative to the root, with '/' between its parts.
        side: the local side.
        fingerprint: the stat of that side; None unless there is a readable file.
        text_reason: the side's reason as a sentence for people; None without a reason.
        born_ns: birth time of an inode that the index does not hold for this path, in nanoseconds since the epoch. None
            if it was not taken or the file system keeps none.
    """

    path: str
    side: Side
    fingerprint: Fingerprint | None = None
    text_reason: str | None = None
    born_ns: int | None = None


class SkippedEntry(Struct, frozen=True, gc=False):
    """An entry of the folder that cannot be synced: a name that is not UTF-8, a FIFO, a case collision.

    Attributes:
        raw_path: the path as the disk has it, with undecodable bytes as surrogate escapes.
        reason: why it is skipped.
        text: the reason as a sentence for people.
    """

    raw_path: str
    reason: Reason
    text: str


class ConflictKind(enum.StrEnum):
    """The way in which the two sides disagree, the local side first."""

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
    """Reason for a change of the folder; recorded with the trash entry."""

    PULL = "pull"
    RESOLVE = "resolve"
    RESTORE = "restore"


class Intent(Struct, frozen=True, gc=False):
    """One change of the folder, journalled before it is made.

    Attributes:
        id: 16 hexadecimal digits, unique in this home; names the temporary file and the trash entry.
        path: relative path.
        new: sha256 the path holds afterwards; None to remove the file.
        expected: sha256 the path must hold now; None: there must be no file.
        purpose: see ``Purpose``.
        origin: the path of the same folder from which the file is renamed to ``path``; None unless it is a move.
        rev, remote_id: the server's revision and file id of ``new``; see ``Version``.
    """

    id: str
    path: str
    new: str | None
    expected: str | None
    purpose: Purpose
    origin: str | None = None
    rev: str | None = None
    remote_id: str | None = None

    @property
    def version(self) -> Version | None:
        """The version that the path holds afterwards."""
        return None if self.new is None else Version(self.new, None, self.rev, self.remote_id)


class ApplyOutcome(enum.StrEnum):
    """Outcome of an intent."""

    DONE = "done"
    CHANGED = "changed"
    """The file is not the expected one; it was left as it is."""
    BLOCKED = "blocked"
    OUT_OF_SCOPE = "out_of_scope"
    UNSAFE = "unsafe"
    """The path leads through a link, or is itself refused."""
    FAILED = "failed"
    """The disk refused (full, read-only, no permission). Nothing was changed."""


class ApplyResult(Struct, frozen=True, gc=False):
    """Outcome of one intent, and the file at its path afterwards (``seen`` is None if it could not be read)."""

    intent_id: str
    landing: ApplyOutcome
    seen: Observation | None = None
    text: str | None = None


IndexedFileRow = tuple[
    str, int | None, int | None, int | None, int | None, int, int, str | None, str | None, str | None
]
"""The fields of ``IndexedFile`` in their order; every ``IndexedFile`` is one."""


class IndexedFile(NamedTuple):
    """The local side of a path as the index has it, for a scan to compare with.

    The fields are in the order of the index's columns, so that a large scan can compare the bare ``IndexedFileRow``.

    Attributes:
        path: relative path.
        size, mtime_ns, ctime_ns, inode, racy, xxh3: see ``Fingerprint``; None without a fingerprint. The size may be
            known all the same.
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
        """Return what the index keeps of this side."""
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
        """The stat of the side; None if there is none."""
        if self.mtime_ns is None or self.ctime_ns is None or self.inode is None or self.xxh3 is None:
            return None
        return Fingerprint(self.size or 0, self.mtime_ns, self.ctime_ns, self.inode, self.xxh3, bool(self.racy))
