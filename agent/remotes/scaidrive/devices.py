"""The devices of the account's user: listed, renamed, switched on and off, deleted."""

from __future__ import annotations

from typing import Any, Final

from agent.core.errors import Problem, ProblemKind
from agent.remotes.device_admin import RemoteDevice
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.request import ApiRequest, encode_json
from agent.remotes.scaidrive.calls import LIST_COST, WRITE_COST, Calls
from agent.remotes.scaidrive.wire_devices import device_change_body, devices_of

_DEVICE: Final = "sync/devices/{}"


class DriveDevices:
    """``DeviceAdmin`` for ScaiDrive's API.

    Args:
        own: id of this machine's device; "" before it is registered.
    """

    has_tokens = False

    def __init__(self, calls: Calls, own: str) -> None:
        self._calls = calls
        self._own = own

    def devices(self) -> list[RemoteDevice]:
        """See ``DeviceAdmin``."""
        return [
            RemoteDevice(
                each.id, each.name, each.platform, each.version, each.active, each.seen_at, each.id == self._own
            )
            for each in devices_of(self._calls.get("sync/devices", cost=LIST_COST))
        ]

    def rename(self, device: str, name: str) -> None:
        """See ``DeviceAdmin``."""
        self._change(device, device_change_body(name=name))

    def set_active(self, device: str, active: bool) -> None:
        """See ``DeviceAdmin``. The documentation does not say what an inactive device may do."""
        self._change(device, device_change_body(active=active))

    def delete(self, device: str) -> None:
        """See ``DeviceAdmin``."""
        self._calls.send(ApiRequest("DELETE", _DEVICE, (device,), may_be_empty=True, cost=WRITE_COST))

    def renew_token(self, device: str) -> None:
        """See ``DeviceAdmin``. Never called: a device has no token of its own."""
        problem = Problem(ProblemKind.BAD_REQUEST, "devices have no token of their own on this server")
        raise RemoteCallError(problem, SideEffect.NONE)

    def _change(self, device: str, body: dict[str, Any]) -> None:
        self._calls.send(
            ApiRequest(
                "PATCH", _DEVICE, (device,), body=encode_json(body), limits=DecodeLimits.RECORD, may_be_empty=True,
                cost=WRITE_COST,
            )
        )  # fmt: skip
