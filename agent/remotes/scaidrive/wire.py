"""Every body of ScaiDrive's API, both ways; the modules ``wire_*`` have those of their parts.

Parts of it are published and parts are this project's choice, as the published pages say nothing. A server that differs
is matched by a change of this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.core.model import Mode
from agent.remotes.fields import maybe_text, number, row, rows, text
from agent.remotes.http.failures import malformed
from agent.remotes.protocol import RemoteSource

ROOT: Final = "root"
"""The id by which the folder at the top of a share is requested."""
READER: Final = "reader"
MANUAL: Final = "MANUAL"
SERVER_WINS: Final = "SERVER_WINS"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_INTEGER: Final = 2**53

Row = Mapping[str, Any]


# Values


def relative(path: str) -> str:
    """Return a path of the server without its leading slash."""
    return path.removeprefix("/")


def absolute(path: str) -> str:
    """Return a relative path as the server writes it."""
    return f"/{path}"


def cursor_of(source: Row, key: str) -> str:
    """Return a cursor as text. It is opaque; a number today. Raises GARBLED."""
    value = source.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise malformed(f"the server's answer lacks {key}")


def is_beyond(cursor: str, head: str) -> bool:
    """Return True if both are numbers and the cursor is the larger one."""
    return cursor.isdecimal() and head.isdecimal() and int(cursor) > int(head)


def maybe_number(source: Row, key: str) -> int | None:
    """Return an optional whole number; None for anything else."""
    value = source.get(key)
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_INTEGER
    return value if fine else None


def maybe_digest(source: Row, key: str = "checksum_sha256") -> str | None:
    """Return an optional sha256; None if it is missing or is none."""
    value = source.get(key)
    return value.lower() if isinstance(value, str) and _SHA256.fullmatch(value.lower()) else None


# Account


class BatchLimits(Struct, frozen=True):
    """The most files, and bytes of contents, in one batch. Only this project's hub has batches."""

    files: int
    bytes: int


class AccountUser(Struct, frozen=True):
    """The account's user.

    Attributes:
        max_bytes: the largest file that the tenant allows; None if the server does not say.
        batch: limits of the hub's batches; None for a server that has none.
    """

    id: str
    max_bytes: int | None
    batch: BatchLimits | None = None


def user_of(data: Any) -> AccountUser:
    """Decode ``GET users/me``."""
    found = row(data, "user")
    return AccountUser(text(found, "id"), maybe_number(found, "max_file_size_bytes"), _batch_of(found.get("batch")))


def _batch_of(value: Any) -> BatchLimits | None:
    files, size = (maybe_number(value, key) if isinstance(value, dict) else None for key in ("files", "bytes"))
    return BatchLimits(files, size) if files and size else None


def share_body(name: str, owner: str) -> dict[str, Any]:
    """Encode ``POST shares``."""
    return {"name": name, "share_type": "personal", "owner_id": owner}


class ListedShare(Struct, frozen=True):
    """A share as it is listed. ``created_at``: RFC 3339, "" if unknown."""

    source: RemoteSource
    created_at: str


def share_of(value: Row) -> ListedShare:
    """Decode a share. Its creator is its owner, so a missing role allows writing."""
    writable = value.get("role") != READER
    source = RemoteSource(text(value, "id"), text(value, "name"), Mode.BIDIRECTIONAL, None, False, writable=writable)
    return ListedShare(source, maybe_text(value, "created_at") or "")


def shares_page_of(data: Any) -> tuple[list[ListedShare], int]:
    """Decode a page of ``GET users/me/shares``: its shares and the number of all."""
    found = row(data, "list")
    return [share_of(value) for value in rows(found.get("shares"), "share")], number(found, "total")


# Files and folders


class VersionRow(Struct, frozen=True):
    """One version of a file.

    Attributes:
        rev: the version's id.
        number: counts 1, 2, 3 for each file.
        by: id of the user who made it.
        at: RFC 3339.
    """

    rev: str
    number: int
    hash: str
    size: int
    by: str | None
    at: str | None


def versions_of(data: Any) -> list[VersionRow]:
    """Decode ``GET files/{id}/versions``, newest first."""
    found = [version_of(value) for value in rows(row(data, "history").get("versions"), "version")]
    return sorted(found, key=lambda version: -version.number)


def version_of(value: Row) -> VersionRow:
    """Decode one version of a file."""
    digest = maybe_digest(value)
    if digest is None:
        raise malformed("the server's answer holds a version without its checksum")
    return VersionRow(
        text(value, "id"),
        number(value, "version_number"),
        digest,
        number(value, "size"),
        maybe_text(value, "created_by"),
        maybe_text(value, "created_at"),
    )


class FileRow(Struct, frozen=True):
    """A file's record. ``path`` is relative."""

    id: str
    path: str
    hash: str | None
    size: int | None
    deleted: bool


def file_of(data: Any) -> FileRow:
    """Decode ``GET files/{id}``, or the answer of ``POST files``."""
    found = row(data, "file")
    path = relative(text(found, "path"))
    return FileRow(
        text(found, "id"), path, maybe_digest(found), maybe_number(found, "size"), found.get("is_deleted") is True
    )


class ChildRow(Struct, frozen=True):
    """An entry of a folder. ``mark`` changes with the file's content; None if the server sends no times."""

    id: str
    name: str
    is_folder: bool
    size: int | None
    mark: str | None


def children_of(data: Any) -> tuple[list[ChildRow], int | None]:
    """Decode ``GET folders/{id}/children``: entries of known types, and the number of all if the server says it."""
    found = row(data, "folder")
    items = rows(found.get("items"), "entry")
    total = maybe_number(found, "total")
    shown = [_child_of(value) for value in items if value.get("type") in ("file", "folder")]
    return shown, None if total is None else total - (len(items) - len(shown))


def _child_of(value: Row) -> ChildRow:
    size, at = maybe_number(value, "size"), maybe_text(value, "modified_at")
    mark = None if at is None else f"{size}@{at}"
    name = text(value, "name")
    if not name or "/" in name or name in (".", ".."):
        raise malformed("the server's answer holds an entry without a usable name")
    return ChildRow(text(value, "id"), name, value["type"] == "folder", size, mark)


def folder_body(share: str, parent: str | None, name: str) -> dict[str, Any]:
    """Encode ``POST folders``. ``parent`` None is the top of the share, which is left out."""
    above = {} if parent is None else {"parent_id": parent}
    return {"share_id": share, **above, "name": name}


# Changes


class ChangeRow(Struct, frozen=True):
    """One entry of the log. Paths are relative.

    Attributes:
        kind: file, folder, share, or one that is not known.
        change: created, updated, deleted, moved, renamed, or one that is not known.
        rev: the version's id; None for folders and deletes, or if the server leaves it out.
        hash, size, number: of the version; None if the server leaves them out.
    """

    id: str
    kind: str
    resource: str
    change: str
    old_path: str | None
    path: str | None
    rev: str | None
    hash: str | None
    size: int | None
    number: int | None

    @property
    def is_delete(self) -> bool:
        """True if nothing is left at a path."""
        return self.change == "deleted" or self.path is None


class ChangesPage(Struct, frozen=True):
    """A page of the log, and the cursor behind it."""

    changes: list[ChangeRow]
    cursor: str
    more: bool


def changes_of(data: Any) -> ChangesPage:
    """Decode ``GET sync/changes``."""
    found = row(data, "page")
    changes = [_change_of(value) for value in rows(found.get("changes"), "change")]
    return ChangesPage(changes, cursor_of(found, "cursor"), found.get("has_more") is True)


def _change_of(value: Row) -> ChangeRow:
    old, new = maybe_text(value, "old_path"), maybe_text(value, "new_path")
    extra = value.get("metadata")
    details: Row = extra if isinstance(extra, dict) else {}
    return ChangeRow(
        text(value, "id"),
        text(value, "resource_type"),
        text(value, "resource_id"),
        text(value, "change_type"),
        None if old is None else relative(old),
        None if new is None else relative(new),
        maybe_text(value, "version_id"),
        maybe_digest(details),
        maybe_number(details, "size"),
        maybe_number(details, "version"),
    )


# Apply and conflicts


def change_body(
    change: str, resource: str, version: str | None, base: str | None, path: str, old_path: str | None = None,
    digest: str | None = None, size: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Encode one change of ``POST sync/apply``."""
    body: dict[str, Any] = {
        "resource_type": "file",
        "resource_id": resource,
        "change_type": change,
        "version_id": version,
        "base_version_id": base,
        "new_path": None if change == "deleted" else absolute(path),
    }
    if old_path is not None:
        body["old_path"] = absolute(old_path)
    if digest is not None:
        body["metadata"] = {"checksum_sha256": digest, "size": size}
    return body


def apply_body(device: str, share: str, changes: Sequence[Row]) -> dict[str, Any]:
    """Encode ``POST sync/apply``. Always MANUAL: any other word lets the server decide about an unseen version."""
    return {"device_id": device, "share_id": share, "conflict_resolution": MANUAL, "changes": list(changes)}


class ConflictRow(Struct, frozen=True):
    """A conflict as the server lists it. ``hash``: of the refused version, if the server repeats what it was sent."""

    id: str
    device: str | None
    share: str | None
    resource: str
    path: str
    base_rev: str | None
    client_rev: str | None
    server_rev: str | None
    created_at: str | None
    open: bool
    hash: str | None


def conflict_of(value: Row) -> ConflictRow:
    """Decode a conflict."""
    extra = value.get("metadata")
    return ConflictRow(
        text(value, "id"),
        maybe_text(value, "device_id"),
        maybe_text(value, "share_id"),
        text(value, "resource_id"),
        relative(maybe_text(value, "path") or ""),
        maybe_text(value, "base_version_id"),
        maybe_text(value, "client_version_id"),
        maybe_text(value, "server_version_id"),
        maybe_text(value, "created_at"),
        value.get("resolved_at") is None and value.get("resolution") is None,
        maybe_digest(extra) if isinstance(extra, dict) else None,
    )


def conflicts_of(data: Any) -> list[ConflictRow]:
    """Decode ``GET sync/conflicts``: the open ones, newest first. An object with the list inside is read too."""
    listed = data.get("conflicts") if isinstance(data, dict) else data
    found = [conflict_of(value) for value in rows(listed, "conflict")]
    # A stable sort: the server's order decides between equal times.
    return sorted((each for each in found if each.open), key=lambda each: each.created_at or "", reverse=True)


class ApplyAnswer(Struct, frozen=True):
    """The answer of ``POST sync/apply``.

    Attributes:
        applied: resource id -> version id of each applied change; None if the server only counts.
        conflicts: the conflicts it opened; None if the server only counts.
        applied_count, conflict_count: their numbers.
    """

    applied: dict[str, str | None] | None
    conflicts: list[ConflictRow] | None
    applied_count: int
    conflict_count: int


def apply_answer_of(data: Any) -> ApplyAnswer:
    """Decode the answer of ``POST sync/apply``: two lists, or two counts. Raises GARBLED."""
    found = row(data, "result")
    applied, conflicts = found.get("applied"), found.get("conflicts", [])
    listed = refused = None
    if isinstance(applied, list):
        listed = {text(value, "resource_id"): maybe_text(value, "version_id") for value in rows(applied, "change")}
    if isinstance(conflicts, list):
        refused = [conflict_of(value) for value in rows(conflicts, "conflict")]
    count = number(found, "applied") if listed is None else len(listed)
    return ApplyAnswer(listed, refused, count, number(found, "conflicts") if refused is None else len(refused))
