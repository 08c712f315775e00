"""The devices of an account, and the position of each in a share."""

from __future__ import annotations

from typing import Final

from agent.remotes.fields import maybe_text, number, row
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.machine_list import RemoteMachine
from agent.remotes.scaidrive.calls import LIST_COST, MISSING, Calls
from agent.remotes.scaidrive.wire_devices import DeviceListing, devices_of

MOST_DEVICES: Final = 50
"""Devices whose position is requested, at one call each: those that the server heard of last."""


class ShareMachines:
    """``MachineList`` for ScaiDrive's API.

    Args:
        device: id of this machine's device.
    """

    def __init__(self, calls: Calls, device: str) -> None:
        self._calls = calls
        self._device = device

    def machines(self, source_id: str) -> list[RemoteMachine]:
        """See ``MachineList``. Only devices of the account's user are listed."""
        listed = devices_of(self._calls.get("sync/devices", cost=LIST_COST))
        newest = sorted(listed, key=lambda device: device.seen_at or "", reverse=True)[:MOST_DEVICES]
        found = (self._machine(source_id, device) for device in newest)
        return [machine for machine in found if machine is not None]

    def leave(self, source_id: str) -> None:
        """See ``MachineList``. The server has no such call; its user deletes a device that is not used any more."""

    def _machine(self, share: str, device: DeviceListing) -> RemoteMachine | None:
        """Return a device with its position; None if it never reported one for this share."""
        query: dict[str, str | int] = {"share_id": share, "device_id": device.id}
        try:
            status = row(self._calls.get("sync/status", query=query), "status")
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise
        reached_at, behind = maybe_text(status, "last_sync_at"), number(status, "pending_changes")
        if reached_at is None:
            # The answer is then the newest position, which the server assumes and the device never reported.
            return None
        return RemoteMachine(
            device.id, device.name, device.platform, device.version, device.seen_at, reached_at, behind == 0, behind,
            device.id == self._device,
        )  # fmt: skip
