"""Every body of Pinakes' API, both ways, with the names of headers and parameters.

The paths, methods and statuses of the API are known. Every body here is this project's choice, as the published schema
is not available. A real schema is followed by a change of this file.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

DEVICE_TOKEN_HEADER: Final = "x-device-token"  # noqa: S105 - the name of a header
CURSOR: Final = "cursor"
LIMIT: Final = "limit"
"""Parameters of the list of changes."""
MOST_CHANGES: Final = 1000
"""Changes in one page, and in one report."""

CREATED: Final = "created"
MODIFIED: Final = "modified"
DELETED: Final = "deleted"
MOVED: Final = "moved"
CLIENT_WINS: Final = "client_wins"
KEEP_BOTH: Final = "keep_both"
PENDING: Final = "pending"
IN_PROGRESS: Final = "in_progress"
COMPLETED: Final = "completed"

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Short = Annotated[str, Meta(max_length=255)]
Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Hash = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
DeviceType = Literal["desktop", "mobile", "tablet", "server", "other"]
ChangeType = Literal["created", "modified", "deleted", "moved"]
UploadStatus = Literal["pending", "in_progress", "completed"]
Decision = Literal["server_wins", "client_wins", "keep_both", "manual"]


class DeviceRequest(Struct, frozen=True):
    """A device to register."""

    name: Name
    device_type: DeviceType
    client_version: Short
    os_info: Short | None = None


class DeviceUpdate(Struct, frozen=True):
    """Changes of a device."""

    name: Name | None = None
    enabled: bool | None = None


class DeviceBody(Struct, frozen=True):
    """A device. Times are in RFC 3339."""

    id: str
    name: str
    device_type: str
    client_version: str
    os_info: str | None
    last_sync_at: str | None
    last_seen_at: str
    sync_cursor: int
    enabled: bool
    created_at: str


class RegistrationBody(Struct, frozen=True):
    """A registered device with its token, which is shown once."""

    device: DeviceBody
    device_token: str


class DeviceTokenBody(Struct, frozen=True):
    """The new token of a device. The old one is not valid any more."""

    device_token: str


class ChangeBody(Struct, frozen=True):
    """A change of the account. The hash is None for a deleted file."""

    id: str
    sequence: int
    change_type: ChangeType
    path: str
    old_path: str | None
    content_hash: str | None
    file_size: int | None
    changed_by_device: str | None
    timestamp: str


class ChangesBody(Struct, frozen=True):
    """A page of changes, and the position behind it."""

    changes: list[ChangeBody]
    cursor: int
    has_more: bool


class CursorBody(Struct, frozen=True):
    """A position in the list of changes."""

    cursor: Count


class ReportedChange(Struct, frozen=True):
    """A change of a device. Without `base_hash` the path must be free."""

    path: Path
    change_type: ChangeType
    content_hash: Hash | None = None
    file_size: Count | None = None
    local_mtime: Any = None
    base_hash: Hash | None = None
    old_path: Path | None = None


class ReportRequest(Struct, frozen=True):
    """Changes of a device."""

    changes: Annotated[list[ReportedChange], Meta(max_length=MOST_CHANGES)]


class ConflictBody(Struct, frozen=True):
    """A refused change. A hash is None for no file, and for a content whose hash is not known."""

    id: str
    device_id: str | None
    path: str
    local_hash: str | None
    server_hash: str | None
    detected_at: str
    resolved_at: str | None
    resolution: str | None


class ReportBody(Struct, frozen=True):
    """The outcome of each reported change: done, its content is wanted, or refused."""

    accepted: list[str]
    upload_required: list[str]
    conflicts: list[ConflictBody]


class ResolveRequest(Struct, frozen=True):
    """The decision about a conflict."""

    resolution: Decision


class UploadRequest(Struct, frozen=True):
    """A content that is to become the file at a path. Without `base_hash` the path must be free."""

    target_path: Path
    expected_hash: Hash
    expected_size: Count
    chunk_size: Count | None = None
    base_hash: Hash | None = None


class UploadBody(Struct, frozen=True, omit_defaults=True):
    """An upload session. `received_chunks` is in the answer about its state only."""

    id: str
    target_path: str
    expected_hash: str
    expected_size: int
    chunk_size: int
    chunk_count: int
    status: UploadStatus
    created_at: str
    expires_at: str
    received_chunks: list[int] | None = None


class ChunkBody(Struct, frozen=True):
    """A chunk that has arrived."""

    upload_id: str
    chunk_index: int
    offset: int
    size: int
    hash: str


class LoginRequest(Struct, frozen=True):
    """Credentials. This hub has no passwords: a token of `hub token` is given in their place."""

    username: Short
    password: Annotated[str, Meta(max_length=16_384)]


class LoginBody(Struct, frozen=True):
    """A session and its end."""

    token: str
    expires_at: str
    username: str


class SessionBody(Struct, frozen=True):
    """The end of an extended session."""

    expires_at: str


class UserBody(Struct, frozen=True):
    """The caller."""

    id: str
    username: str


class ErrorBody(Struct, frozen=True):
    """A refusal."""

    error: str


def conflict_refusal(conflict: str) -> str:
    """Return the message of a completed upload whose base is not the head any more."""
    return f"The file has changed since its base_hash: conflict {conflict}"
