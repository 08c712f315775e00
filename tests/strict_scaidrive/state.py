"""The tables of the strict server. Records are frozen, so that a copy of the state is a copy of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

JSON = dict[str, Any]

USER = "usr_owner"
"""The user of every machine."""
COLLEAGUE = "usr_colleague"
"""The user who edits on the server itself."""
TENANT = "ten_1"


class DriveDevice(Struct, frozen=True):
    """One registered machine."""

    id: str
    name: str
    platform: str
    version: str
    active: bool
    seen_at: float


class DriveShare(Struct, frozen=True):
    """One share. ``role``: of the user; ``hidden``: it looks missing."""

    id: str
    name: str
    created_at: float
    role: str = "owner"
    hidden: bool = False


class DriveFolder(Struct, frozen=True):
    """One folder; ``parent`` is None at the top of the share. ``hidden``: it looks missing to the user."""

    id: str
    share: str
    parent: str | None
    name: str
    at: float
    deleted: bool = False
    hidden: bool = False


class DriveVersion(Struct, frozen=True):
    """One version of a file. ``parent``: the head when it was uploaded."""

    id: str
    number: int
    hash: str
    size: int
    by: str
    at: float
    parent: str | None = None


class DriveFile(Struct, frozen=True):
    """One file with its versions, oldest first; a deleted one keeps them."""

    id: str
    share: str
    folder: str | None
    name: str
    versions: tuple[DriveVersion, ...]
    modified_at: float
    deleted: bool = False

    @property
    def head(self) -> DriveVersion:
        """The newest version."""
        return self.versions[-1]


class DriveChange(Struct, frozen=True):
    """One entry of the log."""

    position: int
    id: str
    share: str
    kind: str
    resource: str
    change: str
    by: str
    at: float
    old_path: str | None
    new_path: str | None
    version: DriveVersion | None


class DriveSession(Struct, frozen=True):
    """One upload session. ``done``: the file and version that it made."""

    id: str
    share: str
    folder: str | None
    name: str
    size: int
    hash: str | None
    replaces: str | None
    chunk_size: int
    used_at: float
    chunks: tuple[tuple[int, bytes], ...] = ()
    done: tuple[str, str] | None = None


class DriveConflict(Struct, frozen=True):
    """One refused change. ``client``: the uploaded version; None if none was."""

    id: str
    device: str
    share: str
    file: str
    path: str
    base: str | None
    client: str | None
    server: str | None
    at: float
    metadata: tuple[tuple[str, Any], ...] = ()
    resolution: str | None = None
    resolved_at: float | None = None


@dataclass
class DriveState:
    """Every table."""

    devices: dict[str, DriveDevice] = field(default_factory=dict)
    shares: dict[str, DriveShare] = field(default_factory=dict)
    folders: dict[str, DriveFolder] = field(default_factory=dict)
    files: dict[str, DriveFile] = field(default_factory=dict)
    staged: dict[str, tuple[str, DriveVersion]] = field(default_factory=dict)
    """Version id -> file and version, for uploads that ``apply`` has not published."""
    contents: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, DriveSession] = field(default_factory=dict)
    conflicts: dict[str, DriveConflict] = field(default_factory=dict)
    cursors: dict[tuple[str, str], int] = field(default_factory=dict)
    synced: dict[tuple[str, str], str] = field(default_factory=dict)
    preferences: dict[tuple[str, str], JSON] = field(default_factory=dict)
    log: list[DriveChange] = field(default_factory=list)
    position: int = 0
    cut: int = 0
    """Positions up to this one were deleted from the log."""
    numbers: int = 0
    spent: list[tuple[float, int]] = field(default_factory=list)
    """(time, cost) of the calls of the last minute."""
    access: dict[str, float] = field(default_factory=dict)
    """Access token -> the time it ends."""
    refresh: set[str] = field(default_factory=set)
    """Refresh tokens that were not used yet."""

    def copy(self) -> DriveState:
        """Another state with the same tables."""
        tables: dict[str, Any] = {
            name: value.copy() for name, value in vars(self).items() if isinstance(value, dict | list | set)
        }
        return replace(self, **tables)


@dataclass
class DriveTraps:
    """What the server does to its clients. All off: the documentation at its best.

    Attributes:
        envelope: answers are wrapped into ``{"data": ..., "status": "success"}``.
        counts_only: ``apply`` is answered with the number of applied changes and the list of conflicts.
        bare_409: an ``apply`` with a conflict is refused as a whole with 409.
        forgets: the answer of ``apply`` leaves out its last change, which was carried out all the same.
        no_hash: changes carry no checksum and no version number.
        child_entries: a folder's move or delete also writes an entry for each file below it.
        no_folder_entry: and writes none for the folder itself.
        publishes: ``complete`` with ``replace_file_id`` replaces the head at once, whatever it is.
        compares_no_base: ``apply`` does not compare the base.
        ignores_ranges: a range is answered with the whole content.
        refuses_ranges: a range is answered with 416.
        wrong_bytes: contents have their right size and a wrong byte.
        no_space: the quota is used up.
        hides_cap: the largest file size is not stated.
        limit: cost of the calls of a minute; None for no limit.
        sparse_pages: the limit of a page also counts entries that are not shown, so that a page may be empty.
        no_metadata: changes carry no metadata at all, and moves name no version.
    """

    envelope: bool = False
    counts_only: bool = False
    bare_409: bool = False
    forgets: bool = False
    no_hash: bool = False
    child_entries: bool = False
    no_folder_entry: bool = False
    publishes: bool = False
    compares_no_base: bool = False
    ignores_ranges: bool = False
    refuses_ranges: bool = False
    wrong_bytes: bool = False
    no_space: bool = False
    hides_cap: bool = False
    limit: int | None = None
    no_metadata: bool = False
    sparse_pages: bool = False
