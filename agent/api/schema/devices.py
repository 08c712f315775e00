"""devices, change_device."""

from __future__ import annotations

import enum

from msgspec import Struct


class DevicesParams(Struct, frozen=True, kw_only=True):
    """The account whose devices to list.

    Attributes:
        server: its name; not needed when there is one.
    """

    server: str | None = None


class DeviceDocument(Struct, frozen=True, kw_only=True):
    """One device of an account, as its server lists it.

    Attributes:
        server: name of the account here.
        platform: as the device stated it; null if the server does not repeat it.
        version: of the program on the device; null if the server does not repeat it.
        this_machine: it is the machine that answers.
        active: false if it is switched off on the server.
        seen_at: time at which the server last heard of it; null if it does not tell.
    """

    id: str
    name: str
    server: str
    platform: str | None
    version: str | None
    this_machine: bool
    active: bool
    seen_at: str | None


class DeviceAction(enum.StrEnum):
    """A change of a device on the server."""

    RENAME = "rename"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    NEW_TOKEN = "new-token"  # noqa: S105 - the name of an action
    """End the device's token; its machine gets a new one by itself."""


class DeviceChangeParams(Struct, frozen=True, kw_only=True):
    """A device to change on the server.

    Attributes:
        device: its id, the beginning of its id, or its name.
        action: the change.
        server: name of the account; not needed when there is one.
        name: the new name, for ``rename``.
    """

    device: str
    action: DeviceAction
    server: str | None = None
    name: str | None = None


class DeviceChangeDocument(Struct, frozen=True, kw_only=True):
    """A changed device.

    Attributes:
        name: its name after the change.
        action: the change that was made.
        this_machine: it is the machine that answers.
    """

    changed: bool
    id: str
    name: str
    server: str
    action: str
    this_machine: bool
