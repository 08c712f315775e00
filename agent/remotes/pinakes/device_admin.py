"""The devices of the account for their user: listed, renamed, switched on and off, deleted, given new tokens."""

from __future__ import annotations

from agent.remotes.device_admin import RemoteDevice
from agent.remotes.pinakes.devices import PinakesDevices


class AccountDevices:
    """``DeviceAdmin`` for Pinakes' API."""

    has_tokens = True

    def __init__(self, devices: PinakesDevices) -> None:
        self._devices = devices

    def devices(self) -> list[RemoteDevice]:
        """See ``DeviceAdmin``. The server states a kind of device, and no platform."""
        own = self._devices.id
        return [
            RemoteDevice(each.id, each.name, None, each.version or None, each.enabled, each.seen_at, each.id == own)
            for each in self._devices.all()
        ]

    def rename(self, device: str, name: str) -> None:
        """See ``DeviceAdmin``."""
        self._devices.change(device, name=name)

    def set_active(self, device: str, active: bool) -> None:
        """See ``DeviceAdmin``. A device that is switched off is refused."""
        self._devices.change(device, enabled=active)

    def delete(self, device: str) -> None:
        """See ``DeviceAdmin``."""
        self._devices.remove(device)

    def renew_token(self, device: str) -> None:
        """See ``DeviceAdmin``. The token of this machine is kept, that of another one is dropped unseen."""
        self._devices.renew_token(device)
