"""Queries of Pinakes' API: the account of a workspace, sessions, devices with tokens, blake3 hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, delete, select, update

from agent.hub.domain.drive_model import Device, LoginSession, UploadSession
from agent.hub.store import tables as t
from agent.hub.store.bulk import BulkLookup, OnDuplicate, add_rows
from agent.hub.store.drive_session import DriveSession, device_of_row, upload_of_row
from agent.hub.store.rows import MAX_PARAMETERS, batched, to_blob
from agent.hub.store.statements import Statement, insert_into, is_value, removal

_ACCOUNT = select(t.accounts.c.source).where(is_value(t.accounts.c.workspace, "w"))
_ACCOUNT_SOURCE = Statement(_ACCOUNT)
_LOCKED_ACCOUNT = Statement(_ACCOUNT.with_for_update())
"""SQLite has no such clause, and one writer at a time anyway."""
_SAVE_ACCOUNT = Statement(
    update(t.accounts).where(is_value(t.accounts.c.workspace, "w")).values(source=bindparam("chosen"))
)
_LOGIN = Statement(select(t.login_sessions).where(is_value(t.login_sessions.c.id, "i")))
_ADD_LOGIN = Statement(insert_into(t.login_sessions))
_EXTEND_LOGIN = Statement(
    update(t.login_sessions).where(is_value(t.login_sessions.c.id, "i")).values(expires_at=bindparam("at"))
)
_NO_LOGIN = removal(t.login_sessions, t.login_sessions.c.id)
_ENDED_LOGINS = Statement(delete(t.login_sessions).where(t.login_sessions.c.expires_at < bindparam("now")))
_DEVICES = select(t.devices).where(is_value(t.devices.c.workspace, "w"), t.devices.c.token.is_not(None))
_DEVICE = Statement(_DEVICES.where(is_value(t.devices.c.id, "i")))
_DEVICES_OF = Statement(_DEVICES.where(is_value(t.devices.c.user_id, "u")).order_by(t.devices.c.number))
_DEVICE_OF_TOKEN = Statement(
    _DEVICES.where(is_value(t.devices.c.user_id, "u"), is_value(t.devices.c.token, "device_token"))
)
_SAVE_TOKEN = Statement(
    update(t.devices).where(is_value(t.devices.c.number, "d")).values(token=bindparam("device_token"))
)
_UPLOAD = Statement(
    select(t.upload_sessions).where(
        is_value(t.upload_sessions.c.id, "i"),
        is_value(t.upload_sessions.c.workspace, "w"),
        is_value(t.upload_sessions.c.user_id, "u"),
        t.upload_sessions.c.target.is_not(None),
    )
)
_BLAKE3 = BulkLookup(select(t.blake3_hashes), t.blake3_hashes.c.hash)


class AccountSession(DriveSession):
    """`agent.hub.domain.account_ports.AccountStoreSession` inside one transaction."""

    def account_source(self, workspace: str) -> int | None:
        row = _ACCOUNT_SOURCE.first(self._db, w=workspace)
        return None if row is None else row[0]

    def locked_account(self, workspace: str) -> int | None:
        # The row is there before it is locked, so that two transactions cannot both choose a source.
        add_rows(self._db, t.accounts, [(workspace, None)], OnDuplicate.LEFT_ALONE)
        row = _LOCKED_ACCOUNT.first(self._db, w=workspace)
        return None if row is None else row[0]

    def save_account(self, workspace: str, source: int) -> None:
        _SAVE_ACCOUNT.run(self._db, w=workspace, chosen=source)

    def login_session(self, session: str) -> LoginSession | None:
        row = _LOGIN.first(self._db, i=to_blob(session))
        return None if row is None else LoginSession(session, *row[1:])

    def add_login_session(self, session: LoginSession) -> None:
        _ADD_LOGIN.run(
            self._db,
            id=to_blob(session.id),
            workspace=session.workspace,
            user_id=session.user,
            hub_token=session.hub_token,
            created_at=session.created_at,
            expires_at=session.expires_at,
            ends_at=session.ends_at,
        )

    def extend_login_session(self, session: str, expires_at: int) -> None:
        _EXTEND_LOGIN.run(self._db, i=to_blob(session), at=expires_at)

    def remove_login_session(self, session: str) -> None:
        _NO_LOGIN.run(self._db, id=to_blob(session))

    def remove_ended_login_sessions(self, now: int) -> None:
        _ENDED_LOGINS.run(self._db, now=now)

    def account_device(self, workspace: str, device: str) -> Device | None:
        row = _DEVICE.first(self._db, w=workspace, i=device)
        return None if row is None else device_of_row(row)

    def account_devices(self, workspace: str, user: str) -> list[Device]:
        return [device_of_row(row) for row in _DEVICES_OF.rows(self._db, w=workspace, u=user)]

    def device_by_token(self, workspace: str, user: str, token: str) -> Device | None:
        row = _DEVICE_OF_TOKEN.first(self._db, w=workspace, u=user, device_token=to_blob(token))
        return None if row is None else device_of_row(row)

    def save_device_token(self, device: int, token: str) -> None:
        _SAVE_TOKEN.run(self._db, d=device, device_token=to_blob(token))

    def account_upload(self, workspace: str, user: str, session: str) -> UploadSession | None:
        row = _UPLOAD.first(self._db, i=session, w=workspace, u=user)
        return None if row is None else upload_of_row(row)

    def blake3_hashes(self, hashes: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for some in batched(hashes, MAX_PARAMETERS):
            rows = _BLAKE3.rows(self._db, [to_blob(hash_) for hash_ in some])
            found.update({hash_.hex(): other.hex() for hash_, other in rows})
        return found

    def add_blake3_hashes(self, hashes: Mapping[str, str]) -> None:
        rows = [(to_blob(hash_), to_blob(other)) for hash_, other in sorted(hashes.items())]
        add_rows(self._db, t.blake3_hashes, rows, OnDuplicate.LEFT_ALONE)
