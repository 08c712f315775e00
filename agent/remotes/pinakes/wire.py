"""Every body of Pinakes' API, both ways, and the algorithms of its content hashes.

The paths, methods and statuses of the API are known. Every body here is this project's choice, as the published schema
is not available. A server that differs is matched by a change of this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from agent.remotes.fields import maybe_text, number, row, rows, text, texts
from agent.remotes.http.failures import malformed

HASHES: Final = ("sha256", "blake3")
"""Algorithms of a server's content hashes; the first one is the default. Both have 64 hexadecimal digits, so the
algorithm is a setting and is never concluded from a hash."""
SERVER_WINS: Final = "server_wins"
CREATED: Final = "created"
MODIFIED: Final = "modified"
DELETED: Final = "deleted"
MOVED: Final = "moved"
_CHANGES: Final = (CREATED, MODIFIED, DELETED, MOVED)
_COMPLETED: Final = "completed"
_OPEN: Final = ("active", "created", "in_progress", "pending", "uploading")
"""Words for an upload that takes chunks."""
PATH_FIELDS: Final = frozenset({"path", "old_path", "target_path", "name"})
"""Fields with a path or a name. A token in them is not replaced."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DESKTOP: Final = ("darwin", "win32", "linux")

Row = Mapping[str, Any]


# Values


def relative(path: str) -> str:
    """Return a path of the account without a leading slash."""
    return path.removeprefix("/")


def maybe_digest(source: Row, key: str) -> str | None:
    """Return an optional content hash; None for null. Raises GARBLED for anything else that is no hash."""
    value = source.get(key)
    if value is None:
        return None
    found = as_digest(value)
    if found is None:
        raise malformed(f"the server's answer holds a {key} that is no hash")
    return found


def as_digest(value: Any) -> str | None:
    """Return a content hash in lower case; None if the value is none. Of an entity tag, the quotes are taken off."""
    if not isinstance(value, str):
        return None
    found = value.strip('"').lower()
    return found if _DIGEST.fullmatch(found) else None


def _id(source: Row, key: str) -> str:
    """Return an id as text; some servers number their rows. Raises GARBLED."""
    value = source.get(key)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(source, key)


def _maybe_id(source: Row, key: str) -> str | None:
    return None if source.get(key) is None else _id(source, key)


# Devices


class DeviceRow(Struct, frozen=True):
    """This machine, or another one of the account, as the server knows it.

    Attributes:
        mark: a text that the client chose at the registration; "" if the server does not repeat it.
        enabled: False if the device was switched off on the server.
        seen_at: RFC 3339 time at which the server last heard of it; None if the server does not tell.
        synced_at: RFC 3339 time of its last report of a position; None if it never made one.
        position: that position, in the changes of the account.
    """

    id: str
    name: str
    version: str
    mark: str
    enabled: bool
    seen_at: str | None = None
    synced_at: str | None = None
    position: int = 0


def device_body(name: str, platform: str, version: str, mark: str) -> dict[str, Any]:
    """Encode ``POST devices``.

    Args:
        mark: repeated by the list of devices, so that a registration whose answer was lost is found again.
    """
    kind = "desktop" if platform in _DESKTOP else "other"
    return {"name": name, "device_type": kind, "client_version": version, "os_info": mark}


def device_change_body(name: str | None = None, enabled: bool | None = None) -> dict[str, Any]:
    """Encode ``PUT devices/{id}``; None leaves a value as it is."""
    given = {"name": name, "enabled": enabled}
    return {key: value for key, value in given.items() if value is not None}


def device_of(data: Any) -> DeviceRow:
    """Decode a device."""
    found = row(data, "device")
    version, mark = maybe_text(found, "client_version") or "", maybe_text(found, "os_info") or ""
    return DeviceRow(
        _id(found, "id"), text(found, "name"), version, mark, found.get("enabled") is not False,
        maybe_text(found, "last_seen_at"), maybe_text(found, "last_sync_at"),
        0 if found.get("sync_cursor") is None else number(found, "sync_cursor"),
    )  # fmt: skip


def devices_of(data: Any) -> list[DeviceRow]:
    """Decode ``GET devices``."""
    return [device_of(each) for each in rows(data, "device")]


def registered_of(data: Any) -> tuple[DeviceRow, str]:
    """Decode the answer of ``POST devices``: the device, and its token, which the server shows once."""
    found = row(data, "device")
    return device_of(found.get("device")), text(found, "device_token")


def device_token_of(data: Any) -> str:
    """Decode the answer of ``POST devices/{id}/token``."""
    return text(row(data, "token"), "device_token")


# The session


class SessionEnd(Struct, frozen=True):
    """The end of an extended session. Its ``repr`` leaves the token out.

    Attributes:
        token: a token in place of the present one; None if that stays.
        at: seconds since the epoch; None if the server does not say.
    """

    token: str | None
    at: float | None

    def __repr__(self) -> str:
        return f"SessionEnd(at={self.at})"


def session_end_of(data: Any) -> SessionEnd:
    """Decode the answer of ``POST auth/refresh``. A server that says no end gives none."""
    found = data if isinstance(data, dict) else {}
    said, token = found.get("expires_at"), found.get("token")
    try:
        end = datetime.fromisoformat(said).timestamp() if isinstance(said, str) else None
    except ValueError:
        end = None
    # The client replaces the session's own token in answers.
    another = isinstance(token, str) and bool(token) and not token.startswith("[")
    return SessionEnd(token if another else None, end)


# Changes


class PinakesChange(Struct, frozen=True):
    """One entry of the account's changes.

    Attributes:
        old_path: with ``moved``, the path that it leaves.
        hash: the server's hash of the content; None for a delete.
        by: id of the device that made it; None if no device did.
        at: RFC 3339, "" if not stated.
    """

    id: str
    change: str
    path: str
    old_path: str | None
    hash: str | None
    size: int | None
    by: str | None
    at: str

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that it concerns."""
        return (self.path,) if self.old_path is None else (self.path, self.old_path)


class PinakesPage(Struct, frozen=True):
    """A page of changes. ``cursor``: the position behind its last one."""

    changes: tuple[PinakesChange, ...]
    cursor: int
    more: bool


def changes_query(cursor: int, limit: int) -> dict[str, str | int]:
    """Encode the parameters of ``GET changes``. The cursor is always sent: the server's own may be ahead of ours."""
    return {"cursor": cursor, "limit": limit}


def changes_of(data: Any) -> PinakesPage:
    """Decode ``GET changes``."""
    found = row(data, "page of changes")
    changes = tuple(_change(each) for each in rows(found.get("changes"), "change"))
    if not isinstance(found.get("has_more"), bool):
        raise malformed("the server's answer lacks has_more")
    return PinakesPage(changes, number(found, "cursor"), found["has_more"])


def _change(value: Row) -> PinakesChange:
    change, old = text(value, "change_type"), maybe_text(value, "old_path")
    digest = maybe_digest(value, "content_hash")
    if change not in _CHANGES or (change == MOVED and old is None) or (change != DELETED and digest is None):
        raise malformed("the server's answer holds a change that is not understood")
    size = None if value.get("file_size") is None else number(value, "file_size")
    gone = change == DELETED
    return PinakesChange(
        _id(value, "id"), change, relative(text(value, "path")), relative(old) if old and change == MOVED else None,
        None if gone else digest, None if gone else size, _maybe_id(value, "changed_by_device"),
        maybe_text(value, "timestamp") or "",
    )  # fmt: skip


def ack_body(cursor: int) -> dict[str, Any]:
    """Encode ``POST ack``."""
    return {"cursor": cursor}


# Reports


class ReportItem(Struct, frozen=True):
    """One change of this machine, in the server's hashes. ``base`` None: the path must be free."""

    path: str
    change: str
    hash: str | None
    size: int
    base: str | None


def report_body(items: Iterable[ReportItem]) -> dict[str, Any]:
    """Encode ``POST report``. The time of the local file is not known here, so it is null."""
    return {
        "changes": [
            {
                "path": item.path, "change_type": item.change, "content_hash": item.hash, "file_size": item.size,
                "local_mtime": None, "base_hash": item.base,
            }
            for item in items
        ]
    }  # fmt: skip


class ConflictLine(Struct, frozen=True):
    """A conflict as the server lists it, in its hashes.

    Attributes:
        device: id of the device whose change was refused.
        local, server: hashes of the refused content and of the head then; None is "no file".
        at: RFC 3339, "" if not stated.
        resolved: it is closed.
    """

    id: str
    device: str | None
    path: str
    local: str | None
    server: str | None
    at: str
    resolved: bool


def conflict_of(data: Any) -> ConflictLine:
    """Decode a conflict."""
    found = row(data, "conflict")
    return ConflictLine(
        _id(found, "id"), _maybe_id(found, "device_id"), relative(text(found, "path")),
        maybe_digest(found, "local_hash"), maybe_digest(found, "server_hash"),
        maybe_text(found, "detected_at") or "",
        found.get("resolved_at") is not None or found.get("resolution") is not None,
    )  # fmt: skip


def conflicts_of(data: Any) -> list[ConflictLine]:
    """Decode ``GET conflicts``."""
    return [conflict_of(each) for each in rows(data, "conflict")]


def resolve_body() -> dict[str, Any]:
    """Encode ``POST conflicts/{id}/resolve``. No other word is sent: it could replace a head that no person saw."""
    return {"resolution": SERVER_WINS}


class ReportAnswer(Struct, frozen=True):
    """The answer of ``POST report``: paths whose change was carried out, paths to upload, and refused changes."""

    accepted: frozenset[str]
    wanted: frozenset[str]
    conflicts: tuple[ConflictLine, ...]


def report_answer_of(data: Any) -> ReportAnswer:
    """Decode the answer of ``POST report``."""
    found = row(data, "report")
    accepted, wanted = (frozenset(map(relative, texts(found, key))) for key in ("accepted", "upload_required"))
    return ReportAnswer(accepted, wanted, tuple(conflicts_of(found.get("conflicts") or [])))


# Uploads


class UploadLine(Struct, frozen=True):
    """An upload session.

    Attributes:
        chunk_size: bytes of every chunk but the last.
        chunks: number of chunks.
        completed: its content is the head, or was.
        takes_chunks: it is neither completed nor ended.
        received: indexes of the chunks that the server has.
    """

    id: str
    chunk_size: int
    chunks: int
    completed: bool
    takes_chunks: bool
    received: frozenset[int]


def upload_body(path: str, digest: str, size: int, base: str | None, chunk_size: int | None) -> dict[str, Any]:
    """Encode ``POST upload``. ``chunk_size`` None lets the server choose. A null base is sent as well."""
    body: dict[str, Any] = {"target_path": path, "expected_hash": digest, "expected_size": size, "base_hash": base}
    return body if chunk_size is None else {**body, "chunk_size": chunk_size}


def upload_of(data: Any, size: int) -> UploadLine:
    """Decode an upload session for a content of ``size`` bytes. Raises GARBLED if its chunks do not make this size."""
    found = row(data, "upload")
    state, chunk, count = text(found, "status"), number(found, "chunk_size"), number(found, "chunk_count")
    received = found.get("received_chunks") or []
    if not isinstance(received, list) or not all(isinstance(each, int) for each in received):
        raise malformed("the server's answer does not say which chunks it has")
    fits = chunk > 0 and count in ((0, 1) if size == 0 else (-(-size // chunk),))
    if not fits or number(found, "expected_size") != size:
        raise malformed("the chunks of the server's answer do not make the file")
    return UploadLine(_id(found, "id"), chunk, count, state == _COMPLETED, state in _OPEN, frozenset(received))


def check_chunk(data: Any, index: int, offset: int, size: int) -> None:
    """Check the answer of ``PUT upload/{id}/chunks/{index}``. Raises GARBLED if it names another chunk."""
    found = row(data, "chunk")
    if [number(found, key) for key in ("chunk_index", "offset", "size")] != [index, offset, size]:
        raise malformed("the server's answer names another chunk than the one that was sent")
