"""What the plain server stores. Records are frozen, so that a copy of the state is a copy of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

JSON = dict[str, Any]

INLINE = 16
"""Bytes of the largest content that travels inside events, file records and commits."""
CHUNK = 8
"""Bytes of one chunk of an upload."""
MOST = 4096
"""Bytes of the largest file."""


@dataclass(frozen=True)
class Sizes:
    """Bounds of one server, in bytes: of inline contents, of a chunk, and of the largest file."""

    inline: int = INLINE
    chunk: int = CHUNK
    most: int = MOST


ROOT = "root"
"""The id by which every source's top folder is asked for."""


class ApiError(Exception):
    """An answer outside 2xx."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class Device(Struct, frozen=True):
    """One registered machine."""

    id: str
    name: str


class Share(Struct, frozen=True):
    """One source. ``readers_only``: nobody may change it; ``hidden``: it looks missing."""

    id: str
    name: str
    readers_only: bool = False
    hidden: bool = False


class Folder(Struct, frozen=True):
    """One folder; ``parent`` is None at the top of the source."""

    id: str
    source: str
    parent: str | None
    name: str
    deleted: bool = False


class Revision(Struct, frozen=True):
    """One version of a file, or its deletion (no hash). ``by``: the device; None for the server's own people."""

    rev: str
    number: int
    hash: str | None
    size: int
    by: str | None
    at: float


class StoredFile(Struct, frozen=True):
    """One file with its revisions, oldest first. A deleted one keeps its id."""

    id: str
    source: str
    folder: str | None
    name: str
    revisions: tuple[Revision, ...]
    changed_at: float

    @property
    def head(self) -> Revision:
        """The newest revision."""
        return self.revisions[-1]

    @property
    def deleted(self) -> bool:
        """Whether the newest revision is a deletion."""
        return self.head.hash is None


class Change(Struct, frozen=True):
    """One entry of the log."""

    position: int
    id: str
    source: str
    resource: str
    resource_id: str
    kind: str
    old_path: str | None
    new_path: str | None
    rev: str | None
    hash: str | None
    size: int | None
    by: str | None
    at: float


class Upload(Struct, frozen=True):
    """One upload session: the promised content, and the chunks received so far."""

    id: str
    source: str
    hash: str
    size: int
    used_at: float
    chunks: tuple[tuple[int, bytes], ...] = ()


class StoredConflict(Struct, frozen=True):
    """One refused commit. ``hash`` None: a refused delete; ``server_rev`` None: there was no file."""

    id: str
    source: str
    device: str
    file: str | None
    path: str
    base_rev: str | None
    hash: str | None
    size: int
    server_rev: str | None
    server_hash: str | None
    at: float
    open: bool = True


@dataclass
class State:
    """Every table."""

    devices: dict[str, Device] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    conflicts: dict[str, StoredConflict] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    position: int = 0
    cut: int = 0
    """Positions up to this one were deleted from the log."""
    numbers: int = 0
    spent: list[tuple[float, int]] = field(default_factory=list)
    """(time, cost) of the calls of the last minute."""

    def copy(self) -> State:
        """Another state with the same tables."""
        return replace(
            self,
            devices=self.devices.copy(),
            shares=self.shares.copy(),
            folders=self.folders.copy(),
            files=self.files.copy(),
            contents=self.contents.copy(),
            uploads=self.uploads.copy(),
            conflicts=self.conflicts.copy(),
            log=self.log.copy(),
            spent=self.spent.copy(),
        )


@dataclass
class Traps:
    """What the server does to its clients. All off: the server at its best.

    Attributes:
        envelope: answers are wrapped into ``{"data": ..., "status": "success"}``.
        counts_only: a commit is answered with two numbers.
        bare_409: a commit with a conflict is refused as a whole with 409 and without a word.
        forgets: a commit's answer leaves out its last item, which was carried out all the same.
        no_hash: events name no hash and carry no content.
        child_entries: a folder's move or delete also writes an entry for each file below it.
        compares_no_base: a commit on an old revision replaces the head, as if it were the base.
        ignores_ranges: a range is answered with the whole content.
        refuses_ranges: a range is answered with 416.
        wrong_bytes: contents have their right size and a wrong byte.
        no_space: the account's space is used up.
        limit: calls a minute; None for no limit.
        keeps: entries that the log keeps; older ones are deleted, and a position before them is lost. None for all.
    """

    envelope: bool = False
    counts_only: bool = False
    bare_409: bool = False
    forgets: bool = False
    no_hash: bool = False
    child_entries: bool = False
    compares_no_base: bool = False
    ignores_ranges: bool = False
    refuses_ranges: bool = False
    wrong_bytes: bool = False
    no_space: bool = False
    limit: int | None = None
    keeps: int | None = None
