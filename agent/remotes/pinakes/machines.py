"""The devices of an account, and the position of each in the account's changes."""

from __future__ import annotations

from agent.core.errors import ProblemKind
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.machine_list import RemoteMachine
from agent.remotes.pinakes.calls import PinakesCalls
from agent.remotes.pinakes.devices import PinakesDevices
from agent.remotes.pinakes.wire import DeviceRow, changes_of, changes_query


class AccountMachines:
    """``MachineList`` for Pinakes' API. A position counts the changes of the whole account, not of one source."""

    def __init__(self, calls: PinakesCalls, devices: PinakesDevices) -> None:
        self._calls = calls
        self._devices = devices

    def machines(self, source_id: str) -> list[RemoteMachine]:
        """See ``MachineList``. Positions may have gaps, so the changes that are missing are not counted."""
        reported = [device for device in self._devices.all() if device.synced_at is not None]
        newest = self._newest(max((device.position for device in reported), default=0))
        return [self._machine(device, newest) for device in reported]

    def leave(self, source_id: str) -> None:
        """See ``MachineList``. The server has no such call; its user deletes a device that is not used any more."""

    def _machine(self, device: DeviceRow, newest: int | None) -> RemoteMachine:
        is_current = None if newest is None else device.position >= newest
        return RemoteMachine(
            device.id, device.name, None, device.version or None, device.seen_at, device.synced_at, is_current,
            0 if is_current else None, device.id == self._devices.id,
        )  # fmt: skip

    def _newest(self, position: int) -> int | None:
        """Return the newest position, or any that is larger than the given one if there are changes behind it.

        None if the server does not know the given one: then its own records of positions prove nothing.
        """
        try:
            page = changes_of(self._calls.get("sync/changes", query=changes_query(position, 1)))
        except RemoteCallError as failure:
            if failure.problem.kind is ProblemKind.CURSOR_LOST:
                return None
            raise
        return page.cursor if page.changes or page.more else position
