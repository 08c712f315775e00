"""The port for the devices of an account, where a server lets their user change them."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class RemoteDevice(Struct, frozen=True):
    """One device of the account.

    Attributes:
        id: on the server.
        platform, version: as the device stated them; None if the server does not repeat them.
        active: False if it is switched off on the server.
        seen_at: RFC 3339 time at which the server last heard of it; None if the server does not tell.
        is_this: it is this machine, as far as the adapter knows.
    """

    id: str
    name: str
    platform: str | None = None
    version: str | None = None
    active: bool = True
    seen_at: str | None = None
    is_this: bool = False


class DeviceAdmin(Protocol):
    """The devices of one account. Each call raises RemoteError; NOT_FOUND for a device that the server does not know.

    Attributes:
        has_tokens: a device has a token of its own beside the account's.
    """

    has_tokens: bool

    def devices(self) -> list[RemoteDevice]:
        """List the devices of the account's user."""
        ...

    def rename(self, device: str, name: str) -> None:
        """Give a device another name on the server."""
        ...

    def set_active(self, device: str, active: bool) -> None:
        """Switch a device on or off on the server."""
        ...

    def delete(self, device: str) -> None:
        """Delete a device with its position and preferences. No file is deleted."""
        ...

    def renew_token(self, device: str) -> None:
        """End the token of a device. Its machine requests a new one by itself. Only with ``has_tokens``."""
        ...
