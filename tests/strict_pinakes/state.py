"""The tables of the strict server. Records are frozen, so that a copy of the state is a copy of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

JSON = dict[str, Any]


class PinDevice(Struct, frozen=True):
    """One registered device. ``token``: the token itself; a real server stores its hash."""

    id: str
    name: str
    kind: str
    version: str
    os_info: str
    token: str
    created_at: float
    cursor: int = 0
    synced_at: float | None = None
    enabled: bool = True


class PinFile(Struct, frozen=True):
    """One file: its content's hash and size."""

    hash: str
    size: int


class PinChange(Struct, frozen=True):
    """One entry of the changes. ``by``: id of a device, None for an edit on the server itself."""

    id: str
    sequence: int
    change: str
    path: str
    old_path: str | None
    hash: str | None
    size: int
    by: str | None
    at: float


class PinConflict(Struct, frozen=True):
    """One refused change."""

    id: str
    device: str
    path: str
    base: str | None
    local: str | None
    server: str | None
    at: float
    resolution: str | None = None
    resolved_at: float | None = None


class PinSession(Struct, frozen=True):
    """One upload session."""

    id: str
    path: str
    hash: str
    size: int
    base: str | None
    chunk_size: int
    device: str
    created_at: float
    chunks: tuple[tuple[int, bytes], ...] = ()
    status: str = "pending"

    @property
    def count(self) -> int:
        """Number of chunks."""
        return -(-self.size // self.chunk_size)


@dataclass
class PinState:
    """Every table."""

    devices: dict[str, PinDevice] = field(default_factory=dict)
    files: dict[str, PinFile] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    """Server's hash -> bytes. Those that no file has are unreachable over the API."""
    sessions: dict[str, PinSession] = field(default_factory=dict)
    conflicts: dict[str, PinConflict] = field(default_factory=dict)
    log: list[PinChange] = field(default_factory=list)
    sequence: int = 0
    cut: int = 0
    """Cursors between 0 and this one are unknown by now."""
    numbers: int = 0
    reports: int = 0
    logins: dict[str, float] = field(default_factory=dict)
    """Session token -> the time it ends."""

    def copy(self) -> PinState:
        """Another state with the same tables."""
        tables: dict[str, Any] = {
            name: value.copy() for name, value in vars(self).items() if isinstance(value, dict | list)
        }
        return replace(self, **tables)


@dataclass
class PinTraps:
    """What the server does to its clients. All off: the bodies as they are guessed, at their best.

    Attributes:
        silent_400: a completion over another head is refused without the id of the conflict.
        ignores_ranges: a range is answered with the whole content.
        ignores_if_range: a range is answered although the content is another one.
        wrong_etag: the entity tag of a content is not its hash.
        ack_ahead: a device's cursor runs ahead of what it acknowledged, and is used where a request names none.
        only_unversioned: paths with the version are unknown.
        only_versioned: paths without the version are unknown.
        knows_contents: a report of a content that the server has is carried out without an upload.
        complete_once: a second completion of a session is refused.
        forgets: the answer of a report leaves out its last accepted change, which was carried out all the same.
        forgets_uploads: the answer of each second report leaves out its last change that must be uploaded.
        sparse_pages: the limit of a page also counts entries that are not shown, so that a page may be empty.
        slashes: paths in answers begin with a slash.
        no_os_info: devices are shown without the text that the client chose.
        no_device: changes do not say which device made them.
        silent_refresh: the end of an extended session is not stated.
        compares_no_base: no base is compared at all.
        wrong_bytes: contents have their right size and a wrong byte.
    """

    silent_400: bool = False
    ignores_ranges: bool = False
    ignores_if_range: bool = False
    wrong_etag: bool = False
    ack_ahead: bool = False
    only_unversioned: bool = False
    only_versioned: bool = False
    knows_contents: bool = False
    complete_once: bool = False
    forgets: bool = False
    forgets_uploads: bool = False
    sparse_pages: bool = False
    slashes: bool = False
    no_os_info: bool = False
    no_device: bool = False
    silent_refresh: bool = False
    compares_no_base: bool = False
    wrong_bytes: bool = False
