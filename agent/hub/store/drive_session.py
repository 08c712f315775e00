"""Queries of the drive face about devices, conflicts and uploads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, literal_column, select, update

from agent.hub.domain.drive_model import (
    Device,
    DeviceCursor,
    DevicePreference,
    UploadSession,
    VersionConflict,
)
from agent.hub.store import tables as t
from agent.hub.store.bulk import OnDuplicate, add_rows
from agent.hub.store.file_queries import IS_THERE, FileQueries
from agent.hub.store.rows import hex_hash, raw_hash, to_json
from agent.hub.store.statements import Statement, insert_into, is_value, removal

_MINE = (
    is_value(t.devices.c.workspace, "w"),
    is_value(t.devices.c.user_id, "u"),
    t.devices.c.token.is_(None),
)
_DEVICE = Statement(select(t.devices).where(*_MINE, is_value(t.devices.c.id, "i")))
_DEVICES = Statement(select(t.devices).where(*_MINE).order_by(t.devices.c.number))
_ADD_DEVICE = Statement(insert_into(t.devices, "number"))
_SAVE_DEVICE = Statement(
    update(t.devices)
    .where(is_value(t.devices.c.number, "d"))
    .values(
        name=bindparam("new_name"), platform=bindparam("new_platform"), version=bindparam("new_version"),
        is_active=bindparam("active"), last_seen_at=bindparam("at"),
    )
)  # fmt: skip
_OF_DEVICE = (
    removal(t.device_cursors, t.device_cursors.c.device),
    removal(t.preferences, t.preferences.c.device),
)
_NO_DEVICE = removal(t.devices, t.devices.c.number)
_POSITION = Statement(
    select(t.device_cursors.c.position, t.device_cursors.c.last_sync_at).where(
        is_value(t.device_cursors.c.device, "d"), is_value(t.device_cursors.c.source, "s")
    )
)
_AHEAD = Statement(
    select(t.sources.c.id)
    .join(t.device_cursors, t.device_cursors.c.source == t.sources.c.number)
    .where(is_value(t.device_cursors.c.device, "d"), t.device_cursors.c.position > t.sources.c.last_cursor, IS_THERE)
    .order_by(t.sources.c.number)
)
_NO_POSITION = removal(t.device_cursors, t.device_cursors.c.device, t.device_cursors.c.source)
_PREFERENCES = Statement(
    select(t.sources.c.id, t.preferences.c.sync_enabled, t.preferences.c.selected, t.preferences.c.excluded)
    .join(t.sources, t.sources.c.number == t.preferences.c.source)
    .where(is_value(t.preferences.c.device, "d"))
    .order_by(t.preferences.c.source)
)
_NO_PREFERENCE = removal(t.preferences, t.preferences.c.device, t.preferences.c.source)
_CONFLICTS = (
    select(t.device_conflicts)
    .join(t.sources, t.sources.c.number == t.device_conflicts.c.source)
    .where(is_value(t.sources.c.workspace, "w"))
    .order_by(t.device_conflicts.c.created_at.desc(), t.device_conflicts.c.id.desc())
)
_ALL_CONFLICTS = Statement(_CONFLICTS)
_CONFLICTS_OF = Statement(_CONFLICTS.where(is_value(t.device_conflicts.c.source, "s")))
_CONFLICT = Statement(_CONFLICTS.where(is_value(t.device_conflicts.c.id, "i")))
_NO_CONFLICT = removal(t.device_conflicts, t.device_conflicts.c.id)
_UPLOAD = Statement(
    select(t.upload_sessions).where(
        is_value(t.upload_sessions.c.id, "i"),
        is_value(t.upload_sessions.c.workspace, "w"),
        is_value(t.upload_sessions.c.user_id, "u"),
        t.upload_sessions.c.target.is_(None),
    )
)
_FINISH = Statement(
    update(t.upload_sessions)
    .where(is_value(t.upload_sessions.c.id, "i"))
    .values(result=bindparam("new_result"), touched_at=bindparam("at"))
)
_TOUCH = Statement(
    update(t.upload_sessions).where(is_value(t.upload_sessions.c.id, "i")).values(touched_at=bindparam("at"))
)
_CHUNKS = Statement(
    select(t.upload_chunks.c.number).where(is_value(t.upload_chunks.c.session, "i")).order_by(t.upload_chunks.c.number)
)
_STALE = Statement(
    select(t.upload_sessions.c.id, t.upload_sessions.c.result)
    .where(t.upload_sessions.c.touched_at < bindparam("before"))
    .order_by(t.upload_sessions.c.touched_at)
    .limit(bindparam("n"))
)
_NO_CHUNKS = removal(t.upload_chunks, t.upload_chunks.c.session)
_NO_UPLOAD = removal(t.upload_sessions, t.upload_sessions.c.id)
_NO_PIECE = removal(t.pieces, t.pieces.c.owner, t.pieces.c.start)
_NO_PIECES = removal(t.pieces, t.pieces.c.owner)
_PIECE = Statement(
    select(t.pieces.c.start, t.pieces.c.data)
    .where(is_value(t.pieces.c.owner, "o"), t.pieces.c.start <= bindparam("at"))
    .order_by(t.pieces.c.start.desc())
    .limit(literal_column("1"))
)


def device_of_row(row: Sequence[Any]) -> Device:
    """Return the device in a row of `devices`."""
    number, workspace, user, id_, name, platform, version, is_active, last_seen_at, created_at, os_info, token = row
    return Device(
        number, workspace, user, id_, name, platform, version, bool(is_active), last_seen_at, created_at, os_info,
        hex_hash(token),
    )  # fmt: skip


def _version_conflict(row: Sequence[Any]) -> VersionConflict:
    id_, source, user, device, is_folder, resource, change, path, new_path, base, client, server, *rest = row
    metadata, created_at, resolution, resolved_at = rest
    return VersionConflict(
        id_, source, user, device, bool(is_folder), resource, change, path, new_path, base, client, server,
        orjson.loads(metadata) if metadata else {}, created_at, resolution, resolved_at,
    )  # fmt: skip


def upload_of_row(row: Sequence[Any]) -> UploadSession:
    """Return the upload in a row of `upload_sessions`."""
    id_, workspace, user, source, folder, name, size, chunk_size, mime_type, hash_, replaces, *rest = row
    created_at, touched_at, result, target, base, device = rest
    return UploadSession(
        id_, workspace, user, source, folder, name, size, chunk_size, mime_type, hex_hash(hash_), replaces,
        created_at, touched_at, None if result is None else orjson.loads(result), target, hex_hash(base), device,
    )  # fmt: skip


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(orjson.loads(text))


def _json_list(values: tuple[str, ...] | None) -> str | None:
    return None if values is None else orjson.dumps(values).decode()


class DriveSession(FileQueries):
    """`agent.hub.domain.drive_ports.DriveStoreSession` inside one transaction."""

    def device(self, workspace: str, user: str, device: str) -> Device | None:
        row = _DEVICE.first(self._db, w=workspace, u=user, i=device)
        return None if row is None else device_of_row(row)

    def devices(self, workspace: str, user: str) -> list[Device]:
        return [device_of_row(row) for row in _DEVICES.rows(self._db, w=workspace, u=user)]

    def add_device(self, device: Device) -> None:
        _ADD_DEVICE.run(
            self._db,
            workspace=device.workspace,
            user_id=device.user,
            id=device.id,
            name=device.name,
            platform=device.platform,
            version=device.version,
            is_active=int(device.is_active),
            last_seen_at=device.last_seen_at,
            created_at=device.created_at,
            os_info=device.os_info,
            token=raw_hash(device.token),
        )

    def save_device(self, device: Device) -> None:
        _SAVE_DEVICE.run(
            self._db,
            d=device.number,
            new_name=device.name,
            new_platform=device.platform,
            new_version=device.version,
            active=int(device.is_active),
            at=device.last_seen_at,
        )

    def remove_device(self, device: Device) -> None:
        for statement in _OF_DEVICE:
            statement.run(self._db, device=device.number)
        _NO_DEVICE.run(self._db, number=device.number)

    def device_cursor(self, device: int, source: int) -> DeviceCursor | None:
        row = _POSITION.first(self._db, d=device, s=source)
        return None if row is None else DeviceCursor(*row)

    def shares_ahead(self, device: int) -> list[str]:
        return [str(id_) for (id_,) in _AHEAD.rows(self._db, d=device)]

    def save_device_cursor(self, device: int, source: int, cursor: DeviceCursor) -> None:
        _NO_POSITION.run(self._db, device=device, source=source)
        add_rows(self._db, t.device_cursors, [(device, source, cursor.position, cursor.last_sync_at)])

    def device_preferences(self, device: int) -> list[DevicePreference]:
        return [
            DevicePreference(source, bool(enabled), _list(selected), _list(excluded))
            for source, enabled, selected, excluded in _PREFERENCES.rows(self._db, d=device)
        ]

    def save_preference(self, device: int, source: int, preference: DevicePreference) -> None:
        _NO_PREFERENCE.run(self._db, device=device, source=source)
        folders = _json_list(preference.selected), _json_list(preference.excluded)
        add_rows(self._db, t.preferences, [(device, source, int(preference.sync_enabled), *folders)])

    def version_conflicts(self, workspace: str, source: int | None, *, resolved: bool) -> list[VersionConflict]:
        if source is None:
            rows = _ALL_CONFLICTS.rows(self._db, w=workspace)
        else:
            rows = _CONFLICTS_OF.rows(self._db, w=workspace, s=source)
        found = map(_version_conflict, rows)
        return [conflict for conflict in found if resolved or conflict.resolution is None]

    def version_conflict(self, workspace: str, conflict: str) -> VersionConflict | None:
        row = _CONFLICT.first(self._db, w=workspace, i=conflict)
        return None if row is None else _version_conflict(row)

    def save_version_conflict(self, conflict: VersionConflict) -> None:
        _NO_CONFLICT.run(self._db, id=conflict.id)
        c = conflict
        row = (
            c.id, c.source, c.user, c.device, int(c.is_folder), c.resource, c.change, c.path, c.new_path, c.base,
            c.client, c.server, to_json(c.metadata), c.created_at, c.resolution, c.resolved_at,
        )  # fmt: skip
        add_rows(self._db, t.device_conflicts, [row])

    def upload(self, workspace: str, user: str, session: str) -> UploadSession | None:
        row = _UPLOAD.first(self._db, i=session, w=workspace, u=user)
        return None if row is None else upload_of_row(row)

    def add_upload(self, upload: UploadSession) -> None:
        u = upload
        row = (
            u.id, u.workspace, u.user, u.source, u.folder, u.name, u.size, u.chunk_size, u.mime_type,
            raw_hash(u.hash), u.replaces, u.created_at, u.touched_at, None,
            u.target, raw_hash(u.base), u.device,
        )  # fmt: skip
        add_rows(self._db, t.upload_sessions, [row])

    def finish_upload(self, session: str, result: Mapping[str, object], at: int) -> None:
        _FINISH.run(self._db, i=session, new_result=orjson.dumps(result).decode(), at=at)

    def received_chunks(self, session: str) -> list[int]:
        return [number for (number,) in _CHUNKS.rows(self._db, i=session)]

    def add_chunk(self, session: str, chunk: int, at: int) -> None:
        add_rows(self._db, t.upload_chunks, [(session, chunk)], OnDuplicate.LEFT_ALONE)
        _TOUCH.run(self._db, i=session, at=at)

    def stale_uploads(self, before: int, limit: int) -> list[tuple[str, bool]]:
        return [(id_, result is None) for id_, result in _STALE.rows(self._db, before=before, n=limit)]

    def remove_uploads(self, sessions: Collection[str]) -> None:
        for session in sessions:
            _NO_CHUNKS.run(self._db, session=session)
            _NO_UPLOAD.run(self._db, id=session)

    def put_piece(self, owner: str, start: int, data: bytes) -> None:
        _NO_PIECE.run(self._db, owner=owner, start=start)
        add_rows(self._db, t.pieces, [(owner, start, data)])

    def piece_at(self, owner: str, at: int) -> tuple[int, bytes] | None:
        row = _PIECE.first(self._db, o=owner, at=at)
        return None if row is None else (row[0], bytes(row[1]))

    def drop_pieces(self, owners: Collection[str]) -> None:
        for owner in owners:
            _NO_PIECES.run(self._db, owner=owner)
