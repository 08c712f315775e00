"""The parts of the database port that Pinakes' API needs: accounts, sessions, devices with tokens, other hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from agent.hub.domain.drive_model import Device, LoginSession, UploadSession


class AccountStoreSession(Protocol):
    """Accounts, sessions, devices with tokens, uploads to a path, and hashes of another algorithm."""

    def account_source(self, workspace: str) -> int | None:
        """Return the number of the source that is the workspace's account, or None if it has none yet."""

    def locked_account(self, workspace: str) -> int | None:
        """Return the same, and keep every other transaction from choosing until this one ends."""

    def save_account(self, workspace: str, source: int) -> None:
        """Choose the source of a locked account."""

    def login_session(self, session: str) -> LoginSession | None:
        """Return a session by the sha256 of its token, or None."""

    def add_login_session(self, session: LoginSession) -> None:
        """Add a session."""

    def extend_login_session(self, session: str, expires_at: int) -> None:
        """Set the end of a session, in milliseconds since the epoch."""

    def remove_login_session(self, session: str) -> None:
        """End a session."""

    def remove_ended_login_sessions(self, now: int) -> None:
        """Remove the sessions that have ended before a time in milliseconds since the epoch."""

    def account_device(self, workspace: str, device: str) -> Device | None:
        """Return a device with a token, of any user of the workspace, or None."""

    def account_devices(self, workspace: str, user: str) -> list[Device]:
        """Return the user's devices with tokens, oldest first."""

    def device_by_token(self, workspace: str, user: str, token: str) -> Device | None:
        """Return the user's device by the sha256 of its token, or None."""

    def save_device_token(self, device: int, token: str) -> None:
        """Replace the token of a device by the one with this sha256."""

    def account_upload(self, workspace: str, user: str, session: str) -> UploadSession | None:
        """Return the user's upload to a path, or None."""

    def blake3_hashes(self, hashes: Collection[str]) -> dict[str, str]:
        """Return the blake3 hashes of stored contents by their sha256, as far as they are recorded."""

    def add_blake3_hashes(self, hashes: Mapping[str, str]) -> None:
        """Record blake3 hashes by the sha256 of the contents. Known ones stay as they are."""
